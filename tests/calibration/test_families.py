"""Every family of kernels that a calibration times is asked for by some plan; what plans ask for is timed."""

import pytest

from calibration import grid
from calibration.pieces import measured_cut
from simulator.costs.measured import ROW_UPDATES
from simulator.graph.steps import StepSource
from simulator.model.work import Kernel
from simulator.policies.compression import COMPRESSORS
from simulator.program.lowering import lower
from simulator.scenario.loader import scenario_from

ONCE = {"data": 2, "microbatch": 4, "global_batch": 8}


def asked(block="sasrec", *, table=None, head=None, software=None, vocab=0, dense=None, **plan) -> set[str]:
    """Ops of the kernels of one step."""
    trunk = {"block": block, "layers": 2, "hidden": 32, "heads": 2, "vocab": vocab, "seq": 16} | (
        {"ffn": 0} if block == "hstu" else {}
    )
    item = {"name": "item", "rows": 100, "dim": 32, "pooling": "none", "dtype": "fp32"} | (table or {})
    model = {"trunk": trunk} | ({"tables": [item]} if not vocab else {}) | ({"head": head} if head else {})
    made = scenario_from({
        "schema_version": 1, "name": "s", "model": model | ({"dense": dense} if dense else {}), "dtype": "fp32",
        "cluster": {"preset": "cpu_host", "gpus_per_node": 2}, "plan": ONCE | plan, "software": software or {},
    })  # fmt: skip
    program, found = lower(made), set()
    source = StepSource(made, measured_cut(made))
    for own in program.ranks:
        for launch in own.launches:
            if launch.stream == "compute":
                pieces = source.steps(own, launch.action)
                found |= {step.op for piece in pieces for step in piece.steps if isinstance(step, Kernel)}
    return found


SPARSE = {"kind": "sampled_softmax", "table": "item", "negatives": 4}
FULL = {"kind": "full_softmax", "table": "item", "tied": True}


@pytest.fixture(scope="module")
def families() -> set[str]:
    found = (
        asked("gpt", vocab=64) | asked("gpt", vocab=64, software={"attention": "unfused"}) | asked("llama", vocab=64)
    )
    found |= asked(head=FULL) | asked("hstu", head=FULL) | asked("gpt", vocab=64, zero=3)
    for ids in ({"kind": "uniform"}, {"kind": "zipf", "alpha": 1.05}):
        for pooling in ("none", "sum"):
            for optimizer in ("sgd", "adagrad", "rowwise_adagrad", "adam"):
                table = {"ids": ids, "pooling": pooling, "optimizer": optimizer}
                if pooling == "sum":
                    table |= {"lookups_per_sample": 3}
                found |= asked(table=table, head=SPARSE if pooling == "none" else {"kind": "binary"})
    for method in COMPRESSORS:
        more = {"density": 0.1} if method in ("topk", "topk_sampled", "randomk", "dgc") else {}
        found |= asked("gpt", vocab=64, compression={"method": method} | more)
    return found


def test_what_plans_ask_for_is_timed(families):
    timed = {point.op for point in grid.kernel_points("fp32")}
    assert families - timed == set()


def test_what_is_timed_some_plan_asks_for(families):
    assert {point.op for point in grid.kernel_points("fp32")} - families == set()
    assert set(ROW_UPDATES) <= families

"""A step that is replayed as a graph: launches cost what the host does on an empty device, and no more."""

from __future__ import annotations

import pytest

from simulator import scenario_from, simulate
from simulator.costs.profile import load_profile
from simulator.registry import profile_path
from simulator.validation.sources.recsys_dlrm import cases

ROWS = {case.name.removeprefix("PyTorch DLRM, "): case.scenario for case in cases()[:4]}
LAUNCH_NS = 30_000


@pytest.mark.parametrize(
    ("name", "launches"),
    # the inputs of a rank and the graph; in fp16 also the flag, the dense update, four small kernels and a large one
    [("large, 8 A100 TF32", 3), ("large, 8 A100 yes", 3 + 7), ("small, 1 A100 TF32", 4), ("small, 1 A100 yes", 4 + 7)],
)
def test_the_step_waits_for_the_launches_of_an_empty_device(name, launches):
    """Small kernels run beside them: copies, of 27 MB on one GPU, and those of a loss scale."""
    exposed = simulate(scenario_from(ROWS[name])).breakdown["other"]
    assert launches * LAUNCH_NS - 60_000 < exposed < launches * LAUNCH_NS


def test_a_launch_costs_what_the_software_loses_without_a_graph():
    """Inference of the README: 13 kernels and 12 one by one, or a graph and two more copies."""
    fp16, tf32 = (0.456e-3 - 0.141e-3) / (13 - 3), (0.414e-3 - 0.158e-3) / (12 - 3)
    constant = load_profile(profile_path("a100_sxm4_80gb")).constant("awaited_launch_s")
    assert constant == pytest.approx((fp16 + tf32) / 2, rel=0.01) == LAUNCH_NS / 1e9


def test_a_small_batch_is_bound_by_the_host_only_without_a_graph():
    def other(stack):
        small = {**ROWS["small, 1 A100 TF32"], "software": {"stack": stack}}
        plan = {**small["plan"], "microbatch": 32, "global_batch": 32}
        return simulate(scenario_from({**small, "plan": plan})).breakdown["other"]

    assert other("deeplearning_examples") < 4 * LAUNCH_NS
    assert other("torch") > 0

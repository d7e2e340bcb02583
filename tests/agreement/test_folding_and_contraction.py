"""Two ways to make a graph smaller, both exact: replicas fold into one, and blocks that nothing overlaps contract.

Random small plans are built four ways (folded or not, contracted or not): the step must be the same to the nanosecond,
the breakdown too, and folding must keep the digest.
"""

from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.simpy_engine import run
from simulator.errors import ScenarioError
from simulator.graph.expand import expand
from simulator.graph.steps import StepSource
from simulator.metrics import breakdown_ns, utilization
from simulator.program.lowering import lower
from simulator.scenario.loader import scenario_from
from simulator.simulation import Prices, run_alone
from simulator.timeline import Timeline

DENSE = {
    "trunk": {"block": "gpt", "layers": 8, "hidden": 512, "heads": 8, "vocab": 32000, "seq": 256},
    "head": {"kind": "lm"},
}
RECOMMENDER = {
    "trunk": {"block": "llama", "layers": 8, "hidden": 512, "heads": 8, "vocab": 1024, "seq": 256},
    "tables": [{"name": "item", "rows": 10**6, "dim": 512, "ids": {"kind": "zipf", "alpha": 1.05}}],
    "head": {"kind": "lm"},
}


@st.composite
def scenarios(draw):
    tensor, pipeline = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (2, 4), (1, 4), (8, 1)]))
    schedule = draw(st.sampled_from(["gpipe", "1f1b", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v"]))
    zero = draw(st.sampled_from([0, 1]))
    methods = ["none"] if zero else ["none", "bf16", "topk", "powersgd"]
    overlap = {key: draw(st.booleans()) for key in ("grad_reduce", "param_gather", "pipeline")}
    data = 8 // (tensor * pipeline) or 1
    plan = {
        "tensor": tensor, "pipeline": pipeline, "data": data, "microbatch": 1,
        "global_batch": data * draw(st.integers(1, 12)), "schedule": schedule, "zero": zero, "overlap": overlap,
        "virtual_stages": 2 if schedule == "interleaved_1f1b" and pipeline > 1 else 1,
        "sequence_parallel": draw(st.booleans()), "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "bucket_mib": draw(st.sampled_from([1, 25, 1000])),
    }  # fmt: skip
    if plan["data"] > 1:
        plan["compression"] = {"method": draw(st.sampled_from(methods))}
    model = draw(st.sampled_from([DENSE, RECOMMENDER]))
    if model is RECOMMENDER:
        plan["embedding_sharding"] = draw(st.sampled_from(["row_wise", "data_parallel"]))
    preset = draw(st.sampled_from(["dgx_a100", "dgx_h100"]))
    cluster = {"preset": preset, "nodes": 1} if draw(st.booleans()) else {
        "preset": preset, "nodes": 2, "gpus_per_node": 4, "nics_per_node": 4,
    }  # fmt: skip
    try:
        return scenario_from({"schema_version": 1, "name": "x", "model": model, "cluster": cluster, "plan": plan})
    except ScenarioError:
        assume(False)


def timeline(scenario, *, folded, contracted):
    prices, program = Prices.of(scenario), lower(scenario)
    program = program if folded else program.unfolded()
    steps = StepSource(scenario, prices.cut)
    expanded = expand(program, steps, prices.pricer, scenario, run_alone, contracted=contracted)
    check_graph(expanded.graph)
    found = Timeline.of(expanded.graph, run(expanded.graph), members=expanded.members, actions=expanded.actions)
    check_timeline(expanded.graph, found)
    return found


@given(scenarios())
def test_folding_and_contraction_change_nothing(scenario):
    reference = timeline(scenario, folded=False, contracted=False)
    whole = timeline(scenario, folded=False, contracted=True)
    folded = timeline(scenario, folded=True, contracted=False)
    smallest = timeline(scenario, folded=True, contracted=True)

    assert folded.digest() == reference.digest()
    assert smallest.digest() == whole.digest()
    assert smallest.step_ns == folded.step_ns == whole.step_ns == reference.step_ns
    assert breakdown_ns(smallest) == breakdown_ns(reference)
    assert utilization(smallest) == utilization(reference)
    assert len(smallest) < len(folded) < len(reference)

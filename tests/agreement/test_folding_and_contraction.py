"""Two ways to make a graph smaller, both exact: replicas fold into one, and blocks that nothing overlaps contract.

Random plans on random clusters, half of them with a slow rank or link, are built four ways (folded or not, contracted
or not): the step must be the same to the nanosecond, the breakdown too, and folding must keep the digest.
"""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.engine.checks import check_graph, check_timeline
from simulator.errors import ScenarioError
from simulator.metrics import breakdown_ns, utilization
from simulator.road import Road
from simulator.scenario.loader import scenario_from

DENSE = {
    "trunk": {"block": "gpt", "layers": 8, "hidden": 512, "heads": 8, "vocab": 32000, "seq": 256},
    "head": {"kind": "lm"},
}
RECOMMENDER = {
    "trunk": {"block": "llama", "layers": 8, "hidden": 512, "heads": 8, "vocab": 1024, "seq": 256},
    "tables": [{"name": "item", "rows": 10**6, "dim": 512, "ids": {"kind": "zipf", "alpha": 1.05}}],
    "head": {"kind": "lm"},
}
ADAPTED = {**DENSE, "adapter": {"kind": "lora", "rank": 8, "targets": ["q", "down"]}}


ROOMS = (
    {"preset": "dgx_a100", "nodes": 1},
    {"preset": "dgx_h100", "nodes": 2, "gpus_per_node": 4, "nics_per_node": 4},
    {"preset": "dgx_h100", "nodes": 2, "gpus_per_node": 4, "nics_per_node": 1},
    {"preset": "dgx_a100", "nodes": 2, "nics_per_node": 2},
    {"preset": "p4d", "nodes": 2},
    {"preset": "dgx_a100", "nodes": 3, "gpus_per_node": 4, "nics_per_node": 2},
    {"preset": "dgx_a100", "nodes": 8, "gpus_per_node": 1},
    {"preset": "fat_tree", "nodes": 4, "gpus_per_node": 2, "nodes_per_leaf": 2, "oversubscription": 3},
    {"preset": "fat_tree", "nodes": 4, "gpus_per_node": 2, "nodes_per_leaf": 1, "spines": 3},
    {"preset": "rail_optimized", "nodes": 4, "gpus_per_node": 2, "nodes_per_pod": 2, "oversubscription": 2},
    {"preset": "dgx_h100", "nodes": 4},
    {"preset": "dgx_h100", "nodes": 8},
    {"preset": "fat_tree", "nodes": 8, "nodes_per_leaf": 4, "oversubscription": 4},
)
"""8 to 64 devices; NICs of their own and shared, leaves, spines, stages that end inside a node."""


@st.composite
def scenarios(draw, broken=None):
    """broken: whether some rank or link is slow."""
    cluster = draw(st.sampled_from(ROOMS))
    gpus = cluster["nodes"] * cluster.get("gpus_per_node", 8)
    tensor, pipeline = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (2, 4), (1, 4), (8, 1), (4, 1)]))
    context = draw(st.sampled_from([1, 1, 2, 4]))
    assume(gpus % (tensor * pipeline * context) == 0)
    data = gpus // (tensor * pipeline * context)
    schedule = draw(st.sampled_from(["gpipe", "1f1b", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v"]))
    zero = draw(st.sampled_from([0, 1, 3] if pipeline > 1 else [0, 1, 2, 3]))
    overlap = {key: draw(st.booleans()) for key in ("grad_reduce", "param_gather", "pipeline", "tensor")}
    chunks = 2 if schedule in ("interleaved_1f1b", "zb_v") and pipeline > 1 else 1
    plan = {
        "tensor": tensor, "pipeline": pipeline, "context": context, "data": data, "microbatch": 1,
        "context_kind": draw(st.sampled_from(["ring", "all_to_all"])),
        "global_batch": data * draw(st.integers(1, 8)), "schedule": schedule, "zero": zero,
        "overlap": overlap, "virtual_stages": chunks,
        "sequence_parallel": draw(st.booleans()), "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "bucket_mib": None if zero == 3 else draw(st.sampled_from([1, 25, 1000])),
        "reshard_after_forward": draw(st.booleans()),
    }  # fmt: skip
    if zero and plan["data"] * context > 2 and draw(st.booleans()):
        plan["shard_group"] = 2
    if plan["data"] * context > 1:
        methods = ["none", "bf16", "int8", "topk", "powersgd"]
        method = "none" if "shard_group" in plan else draw(st.sampled_from(methods))
        hops = {"inside": 2} if method == "int8" and zero and draw(st.booleans()) else {}
        orders = ["backward"] if zero else ["backward", "priority"]
        plan["compression"] = {"method": method, **hops}
        plan["aggregation"] = {
            "algorithm": draw(st.sampled_from(["auto", "auto", "ring", "tree", "hierarchical", "in_switch"])),
            "order": draw(st.sampled_from(orders)), "sparse": draw(st.sampled_from(["allgather", "balanced"])),
        }  # fmt: skip
    model = draw(st.sampled_from([DENSE, RECOMMENDER, ADAPTED]))
    if model is RECOMMENDER:
        plan["embedding_sharding"] = draw(st.sampled_from(["row_wise", "data_parallel"]))
    faults = {}
    if draw(st.booleans()) if broken is None else broken:
        faults["stragglers"] = [{"rank": draw(st.integers(0, gpus - 1)), "factor": draw(st.sampled_from([1.5, 3.0]))}]
        if draw(st.booleans()):
            end = f"gpu{draw(st.integers(0, gpus - 1))}" if cluster.get("gpus_per_node", 8) > 1 else "node1/port0/out"
            faults["links"] = [{"link": end, "factor": 4.0}]
    file = {"schema_version": 1, "name": "x", "model": model, "cluster": cluster, "plan": plan, "faults": faults}
    try:
        return scenario_from({**file, "software": {"attention": "flash" if context > 1 else None}})
    except ScenarioError:
        assume(False)


def timeline(scenario, *, folded, contracted):
    road = Road(scenario)
    expanded = road.expanded(road.prices, whole=not folded, contracted=contracted)
    check_graph(expanded.graph)
    found = road.timeline(expanded)
    check_timeline(expanded.graph, found)
    return found


def agreeing(scenario):
    """The timelines (of everything, folded, folded and contracted) of a scenario, which must tell the same story."""
    reference = timeline(scenario, folded=False, contracted=False)
    whole = timeline(scenario, folded=False, contracted=True)
    folded = timeline(scenario, folded=True, contracted=False)
    smallest = timeline(scenario, folded=True, contracted=True)
    assert folded.digest() == reference.digest()
    assert smallest.digest() == whole.digest()
    assert smallest.step_ns == folded.step_ns == whole.step_ns == reference.step_ns
    for small, large in ((folded, reference), (smallest, whole)):
        assert breakdown_ns(small) == breakdown_ns(large)
        assert utilization(small) == utilization(large)
    return reference, folded, smallest


@settings(max_examples=settings.default.max_examples // 2)
@given(st.booleans().flatmap(lambda broken: scenarios(broken)))
def test_folding_and_contraction_change_nothing(scenario):
    reference, folded, smallest = agreeing(scenario)
    # A contracted action starts when the last member of its tensor group is ready: beside a straggler, what an early
    # member does before it meets the others is shown late and its wait is not, though nothing that follows moves.
    if not scenario.faults.stragglers:
        assert breakdown_ns(smallest) == breakdown_ns(reference)
        assert utilization(smallest) == utilization(reference)
    assert len(smallest) <= len(folded) <= len(reference)

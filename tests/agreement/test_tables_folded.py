"""Tables sharded in every way, in nodes and over them: ranks fold, actions contract, without a nanosecond of change."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_folding_and_contraction import ROOMS, timeline

from simulator.errors import ScenarioError
from simulator.metrics import breakdown_ns
from simulator.model.placements import placements
from simulator.plans import SHARDINGS
from simulator.scenario.loader import scenario_from

MODEL = {
    "trunk": {"block": "hstu", "layers": 2, "hidden": 256, "heads": 4, "seq": 64},
    "tables": [
        {"name": "item", "rows": 10**6, "dim": 128, "ids": {"kind": "zipf", "alpha": 1.05}},
        {"name": "tags", "rows": 10**5, "dim": 256, "pooling": "sum", "lookups_per_sample": 30},
        {"name": "shop", "rows": 10**4, "dim": 64, "pooling": "mean", "lookups_per_sample": 5},
    ],
}


@st.composite
def scenarios(draw):
    cluster = draw(st.sampled_from(ROOMS))
    gpus = cluster["nodes"] * cluster.get("gpus_per_node", 8)
    pipeline = draw(st.sampled_from([1, 1, 2]))
    tensor, context = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (2, 2)]))
    data, count = max(1, gpus // (pipeline * tensor * context)), draw(st.integers(1, 2))
    plan = {
        "pipeline": pipeline, "tensor": tensor, "context": context, "sequence_parallel": draw(st.booleans()),
        "context_kind": draw(st.sampled_from(["ring", "all_to_all"])),
        "microbatch": 4, "global_batch": 4 * data * count, "embedding_columns": 16,
        "embedding_sharding": {table["name"]: draw(st.sampled_from(SHARDINGS)) for table in MODEL["tables"]},
        "embedding_dedup": draw(st.booleans()), "embedding_fused_optimizer": count == 1 and draw(st.booleans()),
    }  # fmt: skip
    stragglers = [{"rank": draw(st.integers(0, gpus - 1)), "factor": 2.0}] if draw(st.booleans()) else []
    head = draw(st.sampled_from([{"kind": "binary"}, {"kind": "sampled_softmax", "table": "item", "negatives": 3}]))
    file = {"schema_version": 1, "name": "x", "model": {**MODEL, "head": head}, "cluster": cluster, "plan": plan,
            "software": {"attention": "flash"}}  # fmt: skip
    try:
        drawn = scenario_from({**file, "faults": {"stragglers": stragglers}})
        placements(drawn)  # nodes may hold unequal parts of a stage
        return drawn
    except ScenarioError:
        assume(False)


@settings(max_examples=settings.default.max_examples // 3)
@given(scenarios())
def test_folding_and_contraction_change_nothing(scenario):
    reference = timeline(scenario, folded=False, contracted=False)
    smallest = timeline(scenario, folded=True, contracted=True)
    folded = timeline(scenario, folded=True, contracted=False)
    assert folded.digest() == reference.digest()
    assert smallest.step_ns == folded.step_ns == reference.step_ns
    assert breakdown_ns(folded) == breakdown_ns(reference)

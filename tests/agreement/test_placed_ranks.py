"""Ranks on other devices than rank order gives them: what folds, folds exactly, and messages are the same."""

import json

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_folding_and_contraction import agreeing, scenarios

from simulator.cluster import placed
from simulator.errors import ScenarioError
from simulator.program.lowering import lower
from simulator.scenario.loader import scenario_from


@st.composite
def elsewhere(draw):
    base = draw(st.booleans().flatmap(lambda broken: scenarios(broken)))
    assume(base.layout.ranks <= 32)
    blocks = draw(st.sampled_from([1, base.layout.tensor, base.cluster.groups[0][0].gpus]))
    assume(base.cluster.gpus % blocks == 0)
    turned = draw(st.permutations(range(base.cluster.gpus // blocks)))
    order = [block * blocks + place for block in turned for place in range(blocks)]
    stages = base.plan.pipeline * base.plan.virtual_stages
    partition = f"plan.partition={[base.model.trunk.num_layers // stages] * stages}"
    balancer = f"plan.balancer={{kind: static, microbatches: equal, placement: {order}}}"
    try:
        return scenario_from(json.loads(base.canonical_json()), set=(partition, balancer))
    except ScenarioError:
        assume(False)


@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=[HealthCheck.filter_too_much])
@given(elsewhere())
def test_folding_and_contraction_change_nothing_for_placed_ranks(scenario):
    agreeing(scenario)


@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=[HealthCheck.filter_too_much])
@given(elsewhere())
def test_where_ranks_are_changes_no_program_and_every_device_has_one(scenario):
    natural = scenario_from(json.loads(scenario.canonical_json()), set=("plan.balancer.placement=natural",))
    assert lower(scenario).digest() == lower(natural).digest()
    cluster, base = scenario.cluster, placed(scenario.cluster, None)
    assert [cluster.rank_at(device) for device in scenario.plan.order] == list(range(base.gpus))
    slow = {scenario.plan.order[rank]: factor for rank, factor in scenario.straggling}
    assert slow == dict(natural.straggling)
    for rank, device in enumerate(scenario.plan.order):
        assert cluster.place(rank) == base.place(device) and cluster.rank_links(rank) == base.rank_links(device)

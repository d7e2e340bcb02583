"""The static balancer's placement: messages cross fast links, rank order stays where nothing is faster."""

from itertools import permutations

import pytest

from simulator import load_scenario, simulate
from simulator.errors import ScenarioError
from simulator.policies.decisions import Decision
from simulator.rank_placement import with_order
from simulator.report.plan_words import plan_words
from simulator.settle import settle

TEXT = """
schema_version: 1
name: placed
model: {trunk: {block: gpt, layers: 4, hidden: 1024, heads: 16, vocab: 512, seq: 512}}
cluster: {preset: dgx_h100, nodes: 2, gpus_per_node: 4, nic_gbit_per_s: 50}
plan: {tensor: 2, pipeline: 2, microbatch: 8, global_batch: 64, balancer: {kind: static, placement: traffic}}
"""
CHAIN = (
    "cluster={devices: [{name: a, count: 4, device: a100_sxm4_80gb}], links: ["
    "{ends: [a0, a2], gbit_per_s: 400, latency_s: 1e-6}, {ends: [a1, a3], gbit_per_s: 400, latency_s: 1e-6}, "
    "{ends: [a0, a1], gbit_per_s: 20, latency_s: 1e-6}]}"
)
"""a2 = a0 - a1 = a3: two fast links, and a slow one between."""
RECOMMENDER = (
    "model={trunk: {block: llama, layers: 8, hidden: 512, heads: 8, seq: 512}, tables: [{name: item, rows: 1000000, "
    "dim: 512}], head: {kind: full_softmax, table: item}}"
)
ADAPTED = "model.adapter={kind: lora, rank: 2, targets: [q]}"


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    return lambda *sets: load_scenario(path, sets)


@pytest.mark.parametrize(
    "degrees",
    [("plan.tensor=2", "plan.pipeline=1"), ("plan.tensor=1", "plan.pipeline=2"), ("plan.tensor=1", "plan.pipeline=4"),
     ("plan.tensor=2", "plan.pipeline=2"), ("plan.tensor=1", "plan.pipeline=1")],
    ids=str,
)  # fmt: skip
def test_on_unequal_links_no_other_order_gives_a_shorter_step(load, degrees):
    scenario = load(CHAIN, *degrees)
    natural = simulate(load(CHAIN, *degrees, "plan.balancer.placement=natural"))
    steps = [simulate(with_order(scenario, order)).timeline.step_ns for order in permutations(range(4))]
    found = simulate(scenario).timeline.step_ns
    assert found <= natural.timeline.step_ns and found <= 1.02 * min(steps)
    if len(set(steps)) > 1:  # else all ranks are in one group
        assert natural.timeline.step_ns > 1.2 * min(steps)  # rank order sends over the slow link


def test_small_gradients_cross_nodes_and_activations_stay_inside(load):
    """LoRA's gradients are small, so a pipeline's stages lie side by side and replicas apart (tp-cp-pp-dp)."""
    result, natural = simulate(load(ADAPTED)), simulate(load(ADAPTED, "plan.balancer.placement=natural"))
    assert result.to_dict()["placement"] == [0, 1, 4, 5, 2, 3, 6, 7]
    assert natural.to_dict()["placement"] is None
    assert result.step_time_s < 0.8 * natural.step_time_s
    (decision,) = [one for one in result.decisions if one.policy == "placement"]
    assert decision.before == tuple(range(8)) and decision.after == result.scenario.plan.order
    assert decision.predicted_gain == pytest.approx(natural.step_time_s / result.step_time_s - 1, rel=1e-6)
    assert result.program_digest == natural.program_digest  # the same actions, elsewhere
    assert "4 of 8 ranks on other devices than rank order gives" in plan_words(result.scenario.plan)


@pytest.mark.parametrize("sharding", ["auto", "row_wise", "table_row_wise"])
def test_a_recommender_with_tables_is_never_slower_than_in_rank_order(load, sharding):
    sets = (RECOMMENDER, f"plan.embedding_sharding={sharding}", "plan.tensor=1", "plan.microbatch=4")
    result, natural = simulate(load(*sets)), simulate(load(*sets, "plan.balancer.placement=natural"))
    assert result.step_time_s <= natural.step_time_s
    # four replicas of two stages: their lookups stay in a node in rank order, or cross nodes while stages do not
    compact = simulate(load(*sets, "plan.balancer.placement=[0, 1, 4, 5, 2, 3, 6, 7]"))
    assert result.step_time_s <= compact.step_time_s
    assert compact.step_time_s != natural.step_time_s


def test_where_rank_order_is_best_it_stays(load):
    result = simulate(load())  # whole gradients are what crosses least well
    natural = simulate(load("plan.balancer.placement=natural"))
    assert result.to_dict()["placement"] is None or result.step_time_s < natural.step_time_s
    alike = simulate(load("plan.tensor=1", "plan.pipeline=1"))  # every rank is in one group
    assert alike.to_dict()["placement"] is None


def test_a_slow_link_is_left_to_those_who_send_least(load):
    """Two of four nodes have slow ports: they become one data group, or one replica."""
    slow = ("cluster={preset: dgx_h100, nodes: 4, gpus_per_node: 2, nic_gbit_per_s: 100}",
            "plan.balancer.microbatches=equal",
            "faults.links=[{link: node0/port0/out, factor: 8}, {link: node2/port0/out, factor: 8}]")  # fmt: skip
    result, natural = simulate(load(*slow)), simulate(load(*slow, "plan.balancer.placement=natural"))
    assert result.step_time_s < natural.step_time_s
    # unless replicas behind them run less, which is better still, in rank order
    balanced = simulate(load(*slow, "plan.balancer.microbatches=balanced"))
    assert balanced.step_time_s < result.step_time_s and balanced.scenario.plan.counts


def test_slow_devices_stay_slow_wherever_ranks_go(load):
    moved = load("faults.stragglers=[{rank: 1, factor: 2}]", "plan.balancer.placement=[1, 0, 2, 3, 4, 5, 6, 7]")
    assert moved.pace == {0: 2.0}


def test_what_was_decided_is_replayed_and_must_be_an_order_of_this_cluster(load):
    order = (4, 5, 6, 7, 0, 1, 2, 3)
    replayed, decisions = settle(load(), [Decision(0, "placement", tuple(range(8)), order, 0.0)])
    assert replayed.plan.order == order and decisions[0].policy == "placement"
    for wrong in ((0, 1), (0, 0, 1, 2, 3, 4, 5, 6), "traffic"):
        with pytest.raises(ScenarioError, match="does not place 8 ranks on as many devices, each once; replay"):
            settle(load(), [Decision(0, "placement", tuple(range(8)), wrong, 0.0)])


def test_orders_that_cannot_be_are_refused(load):
    with pytest.raises(ScenarioError, match="4 devices are named, and the cluster has 8; name each of 0 to 7 once"):
        load("plan.balancer.placement=[0, 1, 2, 3]")
    with pytest.raises(ScenarioError, match="is not natural, traffic or a list of every device's number"):
        load("plan.balancer.placement=[0, 0, 1, 2, 3, 4, 5, 6]")
    with pytest.raises(ScenarioError, match="ranks of stage 0 on one node do not follow one another; use --set"):
        load(RECOMMENDER, "plan.balancer.placement=[0, 4, 1, 5, 2, 6, 3, 7]", "plan.tensor=1", "plan.pipeline=1")
    with pytest.raises(ScenarioError, match="more than the 2,048 that ranks are placed on one by one"):
        load("cluster={preset: dgx_h100, nodes: 512}", "plan.global_batch=16384")
    mixed = "cluster={groups: [{preset: dgx_h100, gpus_per_node: 4}, {preset: dgx_a100, gpus_per_node: 4}]}"
    with pytest.raises(ScenarioError, match="would be one tensor group"):
        load(mixed, "plan.balancer.placement=[0, 4, 1, 5, 2, 6, 3, 7]")

"""The static balancer: layers by the speed of each stage's ranks, under what they can store."""

import pytest

from simulator import load_scenario, simulate
from simulator.errors import ScenarioError
from simulator.policies.decisions import Decision
from simulator.program.lowering import lower
from simulator.program.placement import holder, stage_layers
from simulator.settle import settle

TEXT = """
schema_version: 1
name: balanced
model: {trunk: {block: gpt, layers: 12, hidden: 1024, heads: 16, vocab: 512, seq: 512}}
cluster: {preset: dgx_h100, gpus_per_node: 2}
plan: {pipeline: 2, microbatch: 1, global_batch: 8, balancer: {kind: static}}
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    return lambda *sets: load_scenario(path, sets)


def test_a_straggler_of_one_and_a_half_gets_as_much_less_to_do(load):
    slow = load("faults.stragglers=[{rank: 1, factor: 1.5}]")
    assert stage_layers(slow) == (7, 5)  # 7 and 5 * 1.5 = 7.5; 8 and 4 would take 8
    result, plain = (
        simulate(slow),
        simulate(load("plan.balancer.kind=none", "faults.stragglers=[{rank: 1, factor: 1.5}]")),
    )
    measured = plain.step_time_s / result.step_time_s - 1
    assert measured > 0.1
    (decision,) = result.decisions
    assert (decision.policy, decision.before, decision.after) == ("static", (6, 6), (7, 5))
    assert abs(decision.predicted_gain - measured) < 0.1


def test_of_two_kinds_of_nodes_the_older_ones_get_fewer_layers(load):
    mixed = "cluster={groups: [{preset: dgx_a100, nodes: 1, gpus_per_node: 2}, {preset: dgx_h100, nodes: 1, " \
            "gpus_per_node: 2}]}"  # fmt: skip
    scenario = load(mixed, "plan.data=2", "plan.global_batch=16")
    # peaks of 312 and 989 TFLOP/s: 3 layers of 12 take 3 / 312, 9 take 9 / 989
    assert stage_layers(scenario) == (3, 9)
    even = simulate(load(mixed, "plan.data=2", "plan.global_batch=16", "plan.balancer.kind=none"))
    assert simulate(scenario).step_time_s < even.step_time_s


def test_a_stage_holds_no_more_layers_than_its_memory(load):
    slow = ("model.trunk.hidden=12288", "model.trunk.heads=96", "model.trunk.layers=4",
            "faults.stragglers=[{rank: 1, factor: 3}]")  # fmt: skip
    # 1.8e9 parameters of 18 bytes are 30 GiB a layer: two fit in 80 GB, three in 180 GB
    roomy, _ = settle(load(*slow, "cluster.preset=dgx_b200"))
    held, (decision,) = settle(load(*slow))
    assert roomy.plan.partition == stage_layers(load(*slow)) == (3, 1)
    assert held.plan.partition == decision.after == (2, 2)
    assert simulate(load(*slow)).feasible
    # where nothing fits, the fastest is as good as any, and the answer says what is short
    none_fits, _ = settle(load(*slow, "model.trunk.layers=12"))
    assert none_fits.plan.partition == (9, 3) and not simulate(none_fits).feasible


def test_what_was_decided_is_replayed_and_must_be_of_this_scenario(load):
    scenario = load("faults.stragglers=[{rank: 1, factor: 1.5}]")
    replayed, _ = settle(scenario, [Decision(0, "static", (6, 6), (9, 3), 0.0)])
    assert [chunk.span("F", None) for own in lower(replayed).ranks for chunk in own.chunks]
    assert replayed.plan.partition == (9, 3)
    with pytest.raises(ScenarioError, match="does not deal 12 layers to 2 stages"):
        settle(scenario, [Decision(0, "static", (6, 6), (9, 4), 0.0)])


@pytest.mark.parametrize("schedule", ["interleaved_1f1b", "zb_v"])
def test_chunks_of_a_slow_rank_hold_fewer_layers(load, schedule):
    sets = (f"plan.schedule={schedule}", "plan.virtual_stages=2", "faults.stragglers=[{rank: 1, factor: 2}]")
    slow = load(*sets)
    settled, (decision,) = settle(slow)
    held = [sum(count for stage, count in enumerate(decision.after) if holder(slow.plan, stage) == rank)
            for rank in range(2)]  # fmt: skip
    assert held == [8, 4]
    plain = simulate(load(*sets, "plan.balancer.kind=none"))
    assert plain.step_time_s / simulate(settled).step_time_s - 1 > 0.15


def test_chunks_that_do_not_fit_hold_fewer(load):
    sets = ("plan.schedule=interleaved_1f1b", "plan.virtual_stages=2", "faults.stragglers=[{rank: 1, factor: 3}]",
            "model.trunk.hidden=12288", "model.trunk.heads=96", "model.trunk.layers=4")  # fmt: skip
    settled, _ = settle(load(*sets))  # 30 GiB a layer: two on each rank
    assert simulate(settled).feasible

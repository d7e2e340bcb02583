"""The static balancer's microbatches: replicas on slower devices run fewer, by what a priced step says of them."""

from itertools import product

import pytest

from simulator import load_scenario, simulate
from simulator.errors import ScenarioError
from simulator.policies.decisions import Decision
from simulator.program.lowering import lower
from simulator.replica_balance import replicas_over, with_counts
from simulator.report.plan_words import batch_words
from simulator.road import Prices
from simulator.settle import bucket_names, settle
from simulator.stage_balance import with_partition

TEXT = """
schema_version: 1
name: unequal
model: {trunk: {block: gpt, layers: 4, hidden: 1024, heads: 16, vocab: 512, seq: 512}}
cluster: {groups: [{preset: dgx_h100, nodes: 1, gpus_per_node: 2}, {preset: dgx_a100, nodes: 1, gpus_per_node: 2}]}
plan: {tensor: 2, microbatch: 1, global_batch: 16, balancer: {kind: static}}
"""
SLOW = ("cluster={preset: dgx_h100, gpus_per_node: 4}", "faults.stragglers=[{rank: 3, factor: 2}]")
STAGES = ("plan.tensor=1", "plan.pipeline=2", "plan.partition=[2, 2]", *SLOW)


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    return lambda *sets: load_scenario(path, sets)


def counts_of(scenario):
    settled, decisions = settle(scenario)
    return settled.plan.counts, [one for one in decisions if one.policy == "replicas"]


@pytest.mark.parametrize(
    ("sets", "partitions"), [((), [(4,)]), (("plan.tensor=1", "plan.pipeline=2", *SLOW), [(3, 1), (2, 2), (1, 3)])]
)
def test_no_other_deal_of_layers_and_microbatches_gives_a_shorter_step(load, sets, partitions):
    scenario = load(*sets)
    counts = [(first, 16 - first) for first in range(1, 16)]
    steps = {
        deal: simulate(with_counts(with_partition(scenario, deal[0]), deal[1])).timeline.step_ns
        for deal in product(partitions, counts)
    }
    assert simulate(scenario).timeline.step_ns <= min(steps.values()) * 1.001, min(steps, key=steps.get)


def test_replicas_on_older_devices_run_fewer_microbatches(load):
    counts, (decision,) = counts_of(load())
    assert counts[0] > counts[1] and sum(counts) == 16
    assert (decision.before, decision.after) == ((8, 8), counts)
    result, equal = simulate(load()), simulate(load("plan.balancer.microbatches=equal"))
    gain = equal.step_time_s / result.step_time_s - 1
    assert gain > 0.2 and abs(decision.predicted_gain - gain) < 1e-9
    assert result.to_dict()["replica_microbatches"] == list(counts) and equal.to_dict()["replica_microbatches"] is None
    assert f"2 replicas (1 of {counts[0]}, 1 of {counts[1]} microbatches)" in batch_words(result.scenario.plan)
    # as much work in all, however it is dealt out
    assert result.flops == equal.flops and result.to_dict()["samples_per_s"] > equal.to_dict()["samples_per_s"]


def test_replicas_alike_and_those_in_lockstep_stay_equal(load):
    assert counts_of(load("cluster={preset: dgx_h100, gpus_per_node: 4}")) == ((), [])
    assert counts_of(load("plan.zero=3")) == ((), [])
    kept, dropped = (f"plan.reshard_after_forward={value}" for value in ("false", "true"))  # behind a pipeline
    assert (
        counts_of(load("plan.zero=3", *STAGES, kept))[0] and counts_of(load("plan.zero=3", *STAGES, dropped))[0] == ()
    )
    assert counts_of(load("plan.zero=1"))[0]
    assert counts_of(load("plan.global_batch=2")) == ((), [])  # one each, and none less than one
    tables = "model={trunk: {block: sasrec, layers: 2, hidden: 64, heads: 2, seq: 50}, tables: [{name: item, rows: " \
             "1000, dim: 64}], head: {kind: full_softmax, table: item}}"  # fmt: skip
    assert counts_of(load(tables)) == ((), [])


def test_a_replica_runs_no_more_than_it_can_hold(load):
    """GPipe keeps every microbatch until its backward pass."""
    sets = ("plan.schedule=gpipe", "plan.tensor=1", "plan.pipeline=2", "plan.data=2", "model.trunk.hidden=4096",
            "model.trunk.heads=32", "model.trunk.seq=4096", "plan.microbatch=3", "plan.global_batch=48",
            "plan.partition=[2, 2]", "faults.stragglers=[{rank: 1, factor: 3}]",
            "software.attention=flash")  # fmt: skip
    small = load(*sets, "cluster={preset: dgx_h100, gpus_per_node: 4, device: a100_sxm4_40gb}")
    roomy = load(*sets, "cluster={preset: dgx_h100, gpus_per_node: 4, device: b200_sxm_180gb}")
    cut = Prices.of(small).cut
    free, held = counts_of(roomy)[0], counts_of(small)[0]
    assert free[0] > free[1] and replicas_over(small, free, cut) == (0,)
    assert held[1] < held[0] < free[0] and replicas_over(small, held, cut) == ()
    assert replicas_over(small, (held[0] + 1, held[1]), cut) == (0,)
    assert simulate(small).feasible


def test_what_was_decided_is_replayed_and_must_be_of_this_scenario(load):
    replayed, decisions = settle(load(), [Decision(0, "replicas", (8, 8), (12, 4), 0.0)])
    assert replayed.plan.counts == (12, 4) and any(one.policy == "replicas" for one in decisions)
    for wrong in ((12, 5), (16, 0), (8, 4, 4), "equal"):
        with pytest.raises(ScenarioError, match="does not deal 16 microbatches to 2 replicas, at least 1 to each"):
            settle(load(), [Decision(0, "replicas", (8, 8), wrong, 0.0)])


def test_stated_counts_must_fit_the_plan(load):
    assert load("plan.balancer.microbatches=[9, 7]").plan.counts == (9, 7)
    with pytest.raises(ScenarioError, match="give 2 numbers whose sum is 16"):
        load("plan.balancer.microbatches=[9, 9]")
    with pytest.raises(ScenarioError, match="with zero 3 replicas wait for each other in every microbatch; use --set"):
        load("plan.balancer.microbatches=[9, 7]", "plan.zero=3")
    with pytest.raises(ScenarioError, match="not all multiples of pipeline 2"):
        load("plan.balancer.microbatches=[9, 7]", "plan.tensor=1", "plan.pipeline=2", "plan.virtual_stages=2",
             "plan.schedule=interleaved_1f1b", "plan.overlap.pipeline=false")  # fmt: skip
    with pytest.raises(ScenarioError, match="is not balanced, equal or a list of microbatches"):
        load("plan.balancer.microbatches=[9, 7.0]")


def test_buckets_have_one_method_however_many_microbatches(load):
    adaptive = load("plan.compression.method=adaptive", "plan.bucket_mib=8", "plan.balancer.microbatches=[9, 7]")
    names = bucket_names(lower(adaptive))
    assert names == bucket_names(lower(load("plan.bucket_mib=8"))) and len(set(names)) == len(names) > 1
    assert dict(settle(adaptive)[0].plan.compression.decided).keys() == set(names)


def test_a_plan_that_does_not_fit_still_names_a_change_that_does(load):
    result = simulate(
        load("model.trunk.hidden=12288", "model.trunk.heads=96", "model.trunk.layers=6", "plan.global_batch=64")
    )
    assert result.scenario.plan.counts and "the smallest change that fits is --set" in result.reason


def test_a_replica_whose_tensor_group_has_a_slow_link_runs_fewer(load):
    even = ("cluster={preset: dgx_h100, gpus_per_node: 4}",)
    assert counts_of(load(*even)) == ((), [])
    counts, _ = counts_of(load(*even, "faults.links=[{link: gpu3>node0/switch, factor: 40}]"))
    assert counts[0] > counts[1]

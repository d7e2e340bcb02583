"""Adaptive compression end to end: what it decides, that it is never slower, and that what it decided is replayed."""

import json

import pytest
from road_scenarios import GPT

from simulator import scenario_from, simulate
from simulator.cli.main import run
from simulator.errors import ScenarioError
from simulator.policies.decisions import decisions_text, read_decisions
from simulator.program.lowering import lower
from simulator.settle import bucket_names, settle

PLAN = ("cluster.nodes=2", "plan.tensor=1", "plan.bucket_mib=5")
ADAPTIVE = "plan.compression.method=adaptive"


def scenario(*sets):
    return scenario_from(GPT, (*PLAN, *sets))


def step(*sets):
    return simulate(scenario(*sets)).timeline.step_ns


@pytest.mark.parametrize("gbit", [1, 25, 100, 400, 1600])
def test_never_slower_than_none_or_any_candidate_by_itself(gbit):
    nic = f"cluster.nic_gbit_per_s={gbit}"
    found = simulate(scenario(nic, ADAPTIVE))
    singles = {method: step(nic, f"plan.compression.method={method}") for method in
               ("none", *found.scenario.plan.compression.candidates)}  # fmt: skip
    assert found.timeline.step_ns <= min(singles.values())
    (decision,) = found.decisions
    assert decision.predicted_gain == pytest.approx(singles["none"] / found.timeline.step_ns - 1)
    methods = {method for _, method in decision.after}
    assert methods != {"none"} if gbit <= 25 else True


@pytest.mark.parametrize("zero", [1, 2])
def test_nor_where_sums_go_to_owners(zero):
    sets = ("cluster.nic_gbit_per_s=25", f"plan.zero={zero}", "plan.global_batch=16")
    found = simulate(scenario(*sets, ADAPTIVE, "plan.compression.inside=8"))
    candidates = found.scenario.plan.compression.candidates
    singles = {method: step(*sets, f"plan.compression.method={method}") for method in ("none", *candidates)}
    assert found.timeline.step_ns <= min(singles.values()) < singles["none"]


def test_between_slow_and_fast_only_some_buckets_are_compressed():
    methods = {method for _, method in simulate(scenario("cluster.nic_gbit_per_s=200", ADAPTIVE)).decisions[0].after}
    assert "none" in methods and len(methods) > 1


def test_what_was_decided_lowers_to_the_same_program_without_prices():
    """Through the text of a decisions file; another network would have decided otherwise."""
    slow, fast = scenario("cluster.nic_gbit_per_s=25", ADAPTIVE), scenario("cluster.nic_gbit_per_s=1600", ADAPTIVE)
    settled, decisions = settle(slow)
    replayed, again = settle(fast, read_decisions(decisions_text(decisions), "file"))
    assert [one.after for one in again] == [one.after for one in decisions]
    assert lower(replayed).digest() == lower(settled).digest() != lower(settle(fast)[0]).digest()
    assert settle(settled) == (settled, ())  # nothing is left to decide
    assert simulate(slow).timeline.digest() == simulate(settled).timeline.digest()


def test_a_bucket_that_is_not_there_is_named():
    for decided in ("{0.b99: topk}", "{1.b0: topk}"):
        with pytest.raises(ScenarioError, match=r"the plan has no bucket '.*'; its buckets are 0.b0, 0.b1"):
            simulate(scenario(f"plan.compression={{method: adaptive, decided: {decided}}}"))
    for decided in ("{0.b0: adaptive}", "{b0: topk}", "[topk]"):
        with pytest.raises(ScenarioError, match=r"is no bucket and its method, such as 0.b3: topk"):
            scenario(f"plan.compression={{method: adaptive, decided: {decided}}}")


def test_every_pipeline_rank_decides_for_its_own_buckets():
    plan = scenario("plan.pipeline=2", "cluster.nic_gbit_per_s=25", ADAPTIVE)
    names = bucket_names(lower(plan))
    assert {name.split(".")[0] for name in names} == {"0", "1"}
    assert tuple(name for name, _ in settle(plan)[1][0].after) == names


def test_the_command_writes_what_was_decided(tmp_path, capsys):
    file, out = tmp_path / "s.yaml", tmp_path / "d.jsonl"
    file.write_text(json.dumps(GPT))
    sets = [word for one in (*PLAN, "cluster.nic_gbit_per_s=25", ADAPTIVE) for word in ("--set", one)]
    assert run(["simulate", str(file), "--json", "--decisions", str(out), *sets]) == 0
    (written,) = read_decisions(out.read_text(), "d.jsonl")
    assert (written.step, written.policy) == (0, "compression") and len(written.after) > 2
    assert json.loads(capsys.readouterr().out)["step_time_s"] > 0

"""A run in which layers move is compared as it was predicted: as many steps, what moving took, both decisions."""

from dataclasses import replace

import pytest
from replays import replay, scenario

from simulator import compare
from simulator.comparison import Comparison, predict
from simulator.executor import execution
from simulator.policies.decisions import Decision
from simulator.report.comparison_blocks import comparison_blocks
from simulator.report.comparison_tables import comparison_table, decision_lines
from simulator.report.tables import as_text
from simulator.units import ns_to_seconds

SLOW = ("faults={stragglers: [{rank: 1, factor: 3}]}", "steps=6")
MOVE_NS = 5_000_000


def adaptive(threshold: float):
    balancer = {"kind": "adaptive", "window": 2, "threshold": threshold}
    return scenario("moving", SLOW, pipeline=2, balancer=balancer)


@pytest.fixture(scope="module")
def patient():
    """Two stages of which one is slow, and a balancer that lets everything pass."""
    return predict(adaptive(100.0), 2)


def test_what_moving_took_is_part_of_the_mean_step_of_the_run_as_of_the_prediction(patient):
    result, times = patient
    run = replay(result, (1.0, 1.0, 1.0, 1.0))
    plain = Comparison(result, run, times).measured_s
    for record in run.records:
        record.moves_ns.append((2, MOVE_NS - record.rank))  # the slowest rank's is what everyone waits for
        record.decisions.append(Decision(2, "adaptive", (2, 2), (3, 1), 0.25))
    moved = replace(run)
    assert moved.step_time_s == pytest.approx(plain + ns_to_seconds(MOVE_NS) / 4)


def test_both_sides_decisions_are_printed_and_reported(patient):
    result, times = patient
    run = replay(result)
    for record in run.records:
        record.decisions.append(Decision(2, "adaptive", (2, 2), (3, 1), 0.25))
        record.moves_ns.append((2, MOVE_NS))
    one = Comparison(result, run, times)
    lines = ["predicted: nothing to move", "measured: at step 2 layers 3+1 (hoped for +25.0%); moving took 5.00 ms"]
    assert decision_lines(one) == lines
    assert all(f"decided   {line}" in as_text(comparison_table(one), width=120) for line in lines)
    assert [f"Decided, {line}." for line in lines] == list(comparison_blocks([one])[1].paragraphs[1:])
    assert one.to_dict()["decisions"]["measured"][0]["after"] == (3, 1)


def test_where_no_layers_can_move_nothing_is_said():
    result, times = predict(scenario("plain", data=2), 0)
    one = Comparison(result, replay(result), times)
    assert decision_lines(one) == [] and one.to_dict()["decisions"] == {"predicted": [], "measured": []}


def test_a_run_in_which_layers_move_is_predicted_over_as_many_steps_as_it_runs(monkeypatch):
    seen = {}

    def run(given, *, steps, **more):
        seen.update(scenario=given, steps=steps)
        return replay(predict(given, 0)[0])

    monkeypatch.setattr(execution, "execute", run)
    monkeypatch.setattr("simulator.executor.executable.check_executable", lambda *_: None)
    one = compare(adaptive(100.0), samples=0, steps=9)
    assert seen["steps"] == seen["scenario"].steps == len(one.result.steps_ns) == 9


def test_action_times_of_a_run_count_each_of_its_steps():
    result, times = predict(adaptive(0.05), 1)
    assert len(result.decisions) == 1 and len(times) == len(result.steps_ns) == 6

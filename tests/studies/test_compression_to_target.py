"""Ordering by time to a target: steps to it as measured, times the predicted step."""

from __future__ import annotations

from math import inf

import pytest

from studies.when_does_compression_pay import learning, run, target
from studies.when_does_compression_pay.learned import Learned, learned, record
from studies.when_does_compression_pay.setups import SetUp

SLOW = SetUp("GPT, 0.1B", 1, "dgx_a100", 2, 10.0)
NONE = Learned("none", 0.003, (60, 50, 70, 60, 60))


def test_twice_the_steps_at_a_third_of_the_time_is_first():
    twice = Learned("topk", 0.01, tuple(2 * steps for steps in NONE.steps))
    first, second = target.plans(SLOW, (NONE, twice), (3.0, 1.0))
    assert (first.method, second.method) == ("topk", "none")
    assert first.over_none == pytest.approx((2 / 3,) * 5)
    assert first.time_s == 120.0 and second.time_s == 180.0
    assert first.gpu_hours == pytest.approx(120 * 16 / 3600)


def test_the_fastest_step_is_last_where_it_never_arrives():
    never = Learned("randomk", 0.003, (inf,) * 5)
    order = target.plans(SLOW, (NONE, never), (3.0, 0.01))
    assert [plan.method for plan in order] == ["none", "randomk"] and not order[1].wins
    assert target.row(SLOW, order, ("none", "randomk"))["randomk"] == "-"


def test_a_win_in_three_of_five_seeds_is_none():
    """Seed by seed: 50 steps of 0.9 against 60 and 50, and so on."""
    sure = Learned("bf16", 0.003, (60, 50, 70, 60, 90))
    unsure = Learned("fp16", 0.003, (60, 50, 70, 90, 90))
    by = {plan.method: plan for plan in target.plans(SLOW, (NONE, sure, unsure), (1.0, 0.9, 0.9))}
    assert by["bf16"].wins and not by["fp16"].wins
    (fast, slow) = target.counts([(SLOW, target.plans(SLOW, (NONE, sure, unsure), (1.0, 0.9, 0.9)))])
    assert "of 0 set-ups" in fast and "four of five seeds: bf16 1" in slow


def test_what_is_recorded_is_read_back(tmp_path):
    runs = [learning.Trained(method, 1e-3, seed, (3.0, 2.0 - seed, 1.0 - seed), 0.1)
            for method in ("none", "topk") for seed in range(2)]  # fmt: skip
    file = tmp_path / "learned.json"
    import json

    file.write_text(json.dumps(record(runs, ("none", "topk"), 0.5, "made up")))
    assert learned(file) == (Learned("none", 1e-3, (inf, 2)), Learned("topk", 1e-3, (inf, 2)))


def test_the_measured_file_has_five_seeds_of_every_method():
    found = learned()
    assert [one.method for one in found] == list(learning.METHODS)
    assert all(len(one.steps) == 5 and one.rate in learning.RATES for one in found)
    assert max(found[0].steps) < 2 * learning.TARGET_AT * 200


def test_the_option_orders_by_time_to_the_target(tmp_path, monkeypatch, capsys):
    """On a slow link random-k has the shortest step, and does not arrive."""
    monkeypatch.setattr(run, "set_ups", lambda: [SLOW])
    report = tmp_path / "r.html"
    assert run.main(["--objective", "time_to_target", "--report", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "slower networks: of 1 set-ups first at the target: powersgd 1" in printed
    assert report.exists()

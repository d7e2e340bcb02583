"""A unit of a tensor-parallel plan is measured with its collectives, and their time is kept apart."""

import time

import pytest

pytest.importorskip("torch")

from calibration.journal import ALONE, TOGETHER
from calibration.measure.clock import HostClock
from calibration.measure.fleet import Fleet
from calibration.measure.sampling import take_staged
from calibration.pieces import UNIT, jobs_of_scenario
from calibration.session import plan_visits
from simulator import scenario_from


def scenario(**plan):
    trunk = {"block": "sasrec", "layers": 1, "hidden": 32, "heads": 2, "seq": 8}
    model = {"trunk": trunk, "tables": [{"name": "item", "rows": 53, "dim": 32}],
             "head": {"kind": "full_softmax", "table": "item"}}  # fmt: skip
    return scenario_from(
        {"schema_version": 1, "name": "small", "model": model, "dtype": "fp32",
         "cluster": {"preset": "cpu_host", "gpus_per_node": 2}, "plan": {"microbatch": 2, "global_batch": 4, **plan}}
    )  # fmt: skip


def test_jobs_of_a_tensor_plan_know_whom_they_meet():
    whole, cut = jobs_of_scenario(scenario(data=2)), jobs_of_scenario(scenario(tensor=2))
    assert {job.meets for job in whole} == {0} and not any(job.meetings for job in whole)
    assert {job.meets for job in cut if job.what == UNIT} == {2}
    positions, width = 2 * 8, 32
    assert ("all_reduce", positions * width * 4) in {one for job in cut for one in job.meetings}


def test_a_job_that_meets_has_no_meaning_alone():
    jobs = jobs_of_scenario(scenario(tensor=2))
    alone = [visit.what for visit in plan_visits(jobs, 2) if visit.condition == ALONE]
    assert alone == [job for job in jobs if not job.meets]
    asked = frozenset(job.key for job in jobs)
    assert [visit.condition for visit in plan_visits(jobs, 2, asked)] == [TOGETHER] * len(jobs)


def test_ranks_of_a_unit_meet_as_often_as_its_program_says():
    job = next(job for job in jobs_of_scenario(scenario(tensor=2)) if job.what == UNIT and job.meetings)
    with Fleet(2) as fleet:
        for _ in range(2):  # the first visit is preceded by rounds that do not count
            answers = fleet.piece(job, 2, 1_000_000)
            met = [[(op, size) for op, size, _, _ in answer["met"]] for answer in answers]
            assert met[0] == met[1] and set(met[0]) == set(job.meetings)
            assert all(start < end for answer in answers for _, _, start, end in answer["met"])
            assert all(len(samples) >= 2 for answer in answers for samples in answer["staged"])
        assert "met" not in fleet.piece(job, 1, 1_000_000)[0]


def test_what_is_spent_in_meetings_is_taken_off():
    """A unit of a tenth of a second that takes a moment without it."""
    met = 0

    def run() -> None:
        nonlocal met
        began = time.perf_counter_ns()
        time.sleep(0.1)
        met += time.perf_counter_ns() - began

    staged = take_staged(lambda: iter([(0, run), (0, run)]), 1, 10**9, HostClock(), warm=True, met_ns=lambda: met)
    assert len(staged[0]) == 1, "one round, whatever the window; the first sample of a visit is left out"
    assert staged[0][0].ns < 50_000_000

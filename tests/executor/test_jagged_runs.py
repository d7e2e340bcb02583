"""Runs whose samples differ in length: what the simulator says of bytes, layouts and decisions is what happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from assembled import losses
from length_plans import BALANCED, PACKED, PADDED
from measured_runs import job_of, unsplit
from small_scenarios import scenario

from simulator import simulate
from simulator.errors import ScenarioError
from simulator.executor.execution import execute
from simulator.executor.job import own_program
from simulator.executor.launcher import launch
from simulator.policies.decisions import Decision
from simulator.program.lowering import lower

MANY = ("steps=3",)


@pytest.fixture(scope="module")
def balanced():
    """(jobs, records) of two ranks: decided live, and what was decided before; three steps that differ."""
    live = job_of("hstu", {"data": 2, **BALANCED, "sets": (*PACKED["sets"], *MANY)})
    decided = simulate(live.scenario).decisions
    backwards = tuple(replace(one, after=tuple(own[::-1] for own in one.after[::-1])) for one in decided)
    jobs = [replace(live, steps=3), *(replace(live, steps=3, decisions=made) for made in (decided, backwards))]
    return jobs, launch(jobs, 2, timeout_s=120)


@pytest.mark.parametrize(
    "model",
    ["llama", "gpt", "bert", "sasrec", "sasrec_binary", "hstu", "hstu_sampled", "hstu_pooled", "hstu_users"],
)
def test_packed_and_padded_samples_are_the_same_mathematics(model):
    """No padding is attended to, predicted or looked up."""
    found = [losses(unsplit(model, "sgd", how["sets"])[1]) for how in (PACKED, PADDED)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_each_step_sends_what_its_own_program_says(balanced):
    jobs, runs = balanced
    for job, records in zip(jobs, runs, strict=True):
        for step in range(3):
            replayed = None if job.decisions is None else job.decisions[step]
            program = lower(job.scenario, step, replayed)
            for record in records:
                own = own_program(program, record.rank)
                for one, span in zip(own.launches, record.spans[step], strict=True):
                    if one.action.verb in ("gather lengths", "shuffle samples"):
                        assert span.sent == one.action.size_bytes, (step, record.rank, one.action.text)
                    if one.action.verb == "exchange ids":  # what was asked for, or came
                        assert span.sent <= one.action.size_bytes
    sizes = {lower(jobs[0].scenario, step).ranks[0].stream("data")[1].size_bytes for step in range(3)}
    assert len(sizes) > 1


def test_whoever_takes_a_sample_the_losses_are_the_same(balanced):
    _, runs = balanced
    live, replayed, backwards = (losses(records) for records in runs)
    np.testing.assert_array_equal(live, replayed)
    np.testing.assert_allclose(live, backwards, rtol=1e-12)
    for rank in range(2):  # a replayed order is really taken: the ranks have changed places
        assert runs[2][rank].losses == pytest.approx(runs[0][1 - rank].losses, rel=1e-9)


def test_execute_replays_and_refuses_what_was_decided_for_another_scenario():
    stated = scenario("hstu", data=2, microbatch=2, **BALANCED, sets=PACKED["sets"])
    wrong = (Decision(0, "length", (), ((0, 1), (2, 3)), 0.0),)
    with pytest.raises(ScenarioError, match="step 0 does not deal 8 samples out to 2 replicas"):
        execute(stated, decisions=wrong, steps=1)
    with pytest.raises(ScenarioError, match="the policy stage, which this scenario does not use"):
        execute(stated, decisions=(Decision(0, "stage", (), (), 0.0),), steps=1)

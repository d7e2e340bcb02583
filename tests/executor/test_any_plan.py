"""Whatever `simulate` accepts, `execute` runs: the program's messages, and the unsplit model's losses."""

from __future__ import annotations

import os

import numpy as np
import pytest
from any_plan import any_plan, on_one_rank
from assembled import losses
from measured_runs import alone
from test_messages import check_run

from simulator import scenario_from, simulate
from simulator.errors import RehearseError
from simulator.executor.executable import check_executable
from simulator.executor.job import Job
from simulator.executor.launcher import launch
from simulator.program.lowering import lower
from simulator.settle import settle

FULL = os.environ.get("REHEARSE_FULL") == "1"
AT_A_TIME = 20
COUNTS = {2: 160 if FULL else 20, 4: 100 if FULL else 20}


def job_of(stated: dict) -> Job:
    """Float64 where every dtype is fp32."""
    scenario, _ = settle(scenario_from(stated))
    exact = scenario.dtype == "fp32" and "precision" not in stated
    return Job(
        scenario, lower(scenario), steps=2, warmup=0, double=exact, timeout_s=60,
        attention=scenario.software.attention or "flash",
    )  # fmt: skip


def accepted(stated: dict) -> bool:
    """Whether the simulator has an answer; then the executor must have one."""
    try:
        scenario = scenario_from(stated)
        simulate(scenario)
    except RehearseError:
        return False
    check_executable(scenario, None, "gloo")
    return True


@pytest.mark.parametrize(
    ("ranks", "first"), [(ranks, first) for ranks, count in COUNTS.items() for first in range(0, count, AT_A_TIME)]
)
def test_what_is_simulated_is_run(ranks, first):
    drawn = {seed: any_plan(seed, ranks) for seed in range(first, first + AT_A_TIME)}
    drawn = {seed: stated for seed, stated in drawn.items() if accepted(stated)}
    assert len(drawn) >= AT_A_TIME / 3, "most are refused: the draw has drifted away from what can be run"
    jobs = [job_of(stated) for stated in drawn.values()]
    runs = launch(jobs, ranks, timeout_s=240)
    for seed, job, records in zip(drawn, jobs, runs, strict=True):
        check_run(job, records)
        whole = losses([alone(job_of(on_one_rank(drawn[seed])))])
        steps = 1 if "compression" in drawn[seed]["plan"] else 2  # a lossy gradient trains another model
        rtol = 1e-9 if job.double else 0.02
        np.testing.assert_allclose(
            losses(records)[:steps], whole[:steps], rtol=rtol, atol=1e-12, err_msg=f"seed {seed}"
        )

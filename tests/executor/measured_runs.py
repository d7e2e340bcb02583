"""Runs that tests share: every plan of a number of ranks in one group of processes, and the unsplit models here."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from functools import lru_cache

import torch
import torch.distributed as dist
from plans import PLANS
from small_scenarios import scenario

from simulator.executor.job import Job
from simulator.executor.launcher import launch
from simulator.executor.rank import run_rank
from simulator.program.lowering import lower

STEPS = 2
"""Two: the second one starts from what the first has updated."""


def job_of(model: str, keys: dict) -> Job:
    built = scenario(model, **{"microbatch": 2, **keys})
    return Job(
        built, lower(built), steps=STEPS, warmup=0, double=True, keep_weights=True, timeout_s=60,
        attention=built.software.attention or "flash",
    )  # fmt: skip


@lru_cache
def runs(ranks: int) -> list[tuple[Job, list]]:
    """(job, records by rank) of every plan in PLANS[ranks]."""
    jobs = [job_of(model, keys) for model, keys in PLANS[ranks]]
    return list(zip(jobs, launch(jobs, ranks, timeout_s=max(240, 2 * len(jobs))), strict=True))


@lru_cache
def unsplit(model: str, optimizer: str, sets: tuple[str, ...]) -> tuple[Job, list]:
    """The same model and samples on one rank, in one microbatch."""
    job = job_of(model, {"microbatch": 8, "optimizer": optimizer, "sets": sets})
    return job, [alone(job)]


def alone(job: Job):
    """Runs a job of one rank in this process."""
    handle, path = tempfile.mkstemp()
    os.close(handle)
    os.unlink(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1, timeout=timedelta(seconds=60))
    try:
        return run_rank(job, 0, _fatal)
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)


def _fatal(error: BaseException) -> None:
    raise error

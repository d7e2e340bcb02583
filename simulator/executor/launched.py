"""A rank under torchrun: the launcher has made the processes and watches them; every rank gets every record."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

from simulator.executor.executable import check_ranks
from simulator.executor.job import Job, RankRecord
from simulator.executor.rank import run_rank

WATCH_S = 1.0


def run_launched(job: Job) -> list[RankRecord]:
    """Runs this process's rank and gathers the records of all. Raises ScenarioError for a wrong number of ranks."""
    check_ranks(job.scenario, int(os.environ["WORLD_SIZE"]))
    threading.Thread(target=_leave_with, args=(os.getppid(),), name="parent watch", daemon=True).start()
    if "OMP_NUM_THREADS" in os.environ:  # torchrun sets 1
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # torchrun numbers devices; a placement says which rank runs on which
    rank, ranks = job.scenario.cluster.rank_at(int(os.environ["RANK"])), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", timeout=timedelta(seconds=job.timeout_s), rank=rank, world_size=ranks)
    record = run_rank(job, rank, _fatal, int(os.environ["LOCAL_RANK"]))
    records: list[RankRecord | None] = [None] * dist.get_world_size()
    dist.all_gather_object(records, record)
    dist.barrier()
    dist.destroy_process_group()
    return records  # type: ignore[return-value]


def _leave_with(parent: int) -> None:
    """A rank whose launcher was killed would wait for its peers until the timeout."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _fatal(error: BaseException) -> None:
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)

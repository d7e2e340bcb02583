"""Launcher: starts a process for each rank, waits, reaps, and tells the first failing rank's story.

Processes meet through a file in a private folder: no port is taken before gloo opens its own, on the loopback device.
Whatever happens, no child outlives the call; and should this process be killed, the children end by themselves.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from simulator.errors import RehearseError
from simulator.executor.environment import rank_environment
from simulator.executor.job import Job, RankRecord
from simulator.executor.worker import START_S

POLL_S = 0.02
GRACE_S = 0.3
"""How long after the first failure others may still write their story: a killed rank is seen first by its peers."""


class ExecutionFailed(RehearseError):
    """A rank failed, was killed or ran out of time; the text is the first one's story."""

    kind = "execution_failed"


def launch(jobs: Sequence[Job], ranks: int, *, timeout_s: float) -> list[list[RankRecord]]:
    """Runs the jobs one after another on the same `ranks` processes; the records of each job, in rank order.

    Raises ExecutionFailed with the first failing rank's story and the path of its log, which is then kept.
    """
    folder = Path(tempfile.mkdtemp(prefix="rehearse-execute-"))
    (folder / "jobs").write_bytes(pickle.dumps(list(jobs)))
    processes: list[subprocess.Popen] = []
    failed = True
    try:
        for rank in range(ranks):
            processes.append(_start(folder, rank, ranks))
        _wait(processes, folder, time.monotonic() + timeout_s + START_S)
        records = [
            [pickle.loads((folder / f"record{number}.{rank}").read_bytes()) for rank in range(ranks)]
            for number in range(len(jobs))
        ]
        failed = False
        return records
    except KeyboardInterrupt:
        failed = False
        raise
    finally:
        _reap(processes)
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, rank: int, ranks: int) -> subprocess.Popen:
    with (folder / f"rank{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "simulator.executor.worker", str(folder), str(rank), str(ranks)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=rank_environment(ranks),
        )  # fmt: skip


def _wait(processes: Sequence[subprocess.Popen], folder: Path, deadline: float) -> None:
    while True:
        codes = [process.poll() for process in processes]
        if any(codes):
            time.sleep(GRACE_S)
            raise _failure([process.poll() for process in processes], folder)
        if all(code == 0 for code in codes):
            return
        if time.monotonic() > deadline:
            late = [rank for rank, code in enumerate(codes) if code is None]
            raise ExecutionFailed(
                f"rank {', '.join(map(str, late))} did not finish in time; give more with --timeout, or see "
                f"{folder / f'rank{late[0]}.log'}"
            )
        time.sleep(POLL_S)


def _failure(codes: list[int | None], folder: Path) -> ExecutionFailed:
    """The first cause: a rank that died by a signal, else the earliest story that does not blame a peer, else the
    earliest."""
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = _signal_name(-code)
            words = f"rank {rank} was killed by {name}; all ranks were stopped"
            full = "; if nobody did that, memory ran out: execute a smaller model, a smaller microbatch or fewer ranks"
            return ExecutionFailed(words + (full if name == "SIGKILL" else ""))
    stories = [pickle.loads(path.read_bytes()) for path in folder.glob("story.*") if path.suffix != ".part"]
    if not stories:
        rank = next(rank for rank, code in enumerate(codes) if code)
        return ExecutionFailed(f"rank {rank} ended with code {codes[rank]}; see {folder / f'rank{rank}.log'}")
    first = min(stories, key=lambda story: (story["blames_peer"], story["when_ns"]))
    still = [rank for rank, code in enumerate(codes) if code is None]
    if first["blames_peer"] and still:
        return ExecutionFailed(
            f"rank {still[0]} stands still: rank {first['rank']} waited for it in vain ({first['text']}); see "
            f"{folder / f'rank{still[0]}.log'}, or give more time with --timeout"
        )
    log = f"rank{first['rank']}.log"
    sentence = f"rank {first['rank']} failed ({first['kind']}: {first['text']})"
    if os.environ.get("REHEARSE_TRACEBACK"):
        return ExecutionFailed(f"{sentence}\n{first['traceback']}")
    return ExecutionFailed(f"{sentence}; see {folder / log}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reap(processes: Sequence[subprocess.Popen]) -> None:
    """Ends and collects every child. Their work is written or void: there is nothing to ask them for."""
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

"""Fleet: the measuring processes, seen from the one that leads them. Imports no torch."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from calibration.pieces import Job
from calibration.points import Point
from simulator.errors import RehearseError
from simulator.executor.environment import rank_environment

START_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 90
"""Longer than any visit to a point; a process group's own timeout (60 s) is shorter."""


class MeasuringFailed(RehearseError):
    """A measuring process died or does not answer; the text says which and its last words."""

    kind = "measuring_failed"


class Fleet:
    """`world` processes of one rank each. Use as a context manager: they are gone when it is left, however it is.

    share: how many of them share the cores when they compute at once.
    """

    def __init__(self, world: int, device: str = "cpu", *, share: int = 2):
        self.world, self.device, self.share = world, device, share
        self._folder = tempfile.TemporaryDirectory(prefix="rehearse-calibrate-")
        self._processes: list[subprocess.Popen] = []
        self._buffers: list[bytes] = []
        self.described: dict = {}

    def __enter__(self) -> Fleet:
        store = str(Path(self._folder.name) / "store")
        environment = rank_environment(self.share)
        try:
            for rank in range(self.world):
                with open(self._log(rank), "wb") as errors:
                    command = [sys.executable, "-m", "calibration.measure.worker"]
                    command += [str(rank), str(self.world), str(self.share), store, self.device]
                    # a session of its own: Ctrl-C is for the leader, who ends them in order
                    self._processes.append(
                        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                         env=environment, start_new_session=True)
                    )  # fmt: skip
                self._buffers.append(b"")
            ready = [self._read(rank, START_TIMEOUT_S) for rank in range(self.world)]
            self.described = ready[0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            process.stdin.close()
            process.stdout.close()
        self._processes, self._buffers = [], []
        self._folder.cleanup()

    def kernel(self, point: Point, ranks: int, window_ns: int) -> list[list[list[int]]]:
        """Samples [ns, lost its core] of a kernel on the first `ranks` ranks at once, a list for each rank."""
        command = {"do": "kernel", "point": json.loads(point.to_json()), "ranks": ranks, "window_ns": window_ns}
        return [answer["samples"] for answer in self._ask(ranks, command)]

    def piece(self, job: Job, ranks: int, window_ns: int) -> list[dict]:
        """For each rank {staged: for each piece of the job, samples [ns, lost its core]; met: [op, bytes, start_ns,
        end_ns] of each collective that the job's ranks really ran, as many on every rank}."""
        command = {"do": "piece", "job": job.to_record(), "ranks": ranks, "window_ns": window_ns}
        return self._ask(ranks, command)

    def overlap(self, point: Point, repeats: int) -> list[list[list[int]]]:
        """[start_ns, end_ns, slowdown of compute in millionths] of each repeat on each member."""
        command = {"do": "overlap", "point": json.loads(point.to_json()), "repeats": repeats}
        return [answer["spans"] for answer in self._ask(point.shape[0], command)]

    def collective(self, point: Point, repeats: int) -> list[list[list[int]]]:
        """[start_ns, end_ns] of each repeat on each member, one clock for all; between two kernels where every member
        has a core."""
        between = point.shape[0] <= self.share
        command = {"do": "collective", "point": json.loads(point.to_json()), "repeats": repeats, "between": between}
        return [answer["spans"] for answer in self._ask(point.shape[0], command)]

    def _ask(self, ranks: int, command: dict) -> list[dict]:
        line = (json.dumps(command) + "\n").encode()
        for rank in range(ranks):
            try:
                self._processes[rank].stdin.write(line)
                self._processes[rank].stdin.flush()
            except OSError as error:
                raise self._failure(rank, "is gone") from error
        answers = [self._read(rank, ANSWER_TIMEOUT_S) for rank in range(ranks)]
        for answer in answers:
            if "error" in answer:
                raise PointFailed(answer["error"])
        return answers

    def _read(self, rank: int, timeout_s: float) -> dict:
        stream = self._processes[rank].stdout
        end = time.monotonic() + timeout_s
        while b"\n" not in self._buffers[rank]:
            ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise self._failure(rank, f"has not answered for {timeout_s:.0f} s")
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                raise self._failure(rank, "died")
            self._buffers[rank] += chunk
        line, _, self._buffers[rank] = self._buffers[rank].partition(b"\n")
        return json.loads(line)

    def _failure(self, rank: int, what: str) -> MeasuringFailed:
        words = self._log(rank).read_text(errors="replace").strip().splitlines()[-1:]
        said = f": {words[0]}" if words else ""
        return MeasuringFailed(f"measuring process {rank} {what}{said}; what was measured so far is kept, run it again")

    def _log(self, rank: int) -> Path:
        return Path(self._folder.name) / f"rank{rank}.log"


class PointFailed(Exception):
    """This point cannot be measured here; the others can."""

"""Members of a fleet: measuring processes of this one, or of others that torchrun has started. Imports no torch."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from simulator.errors import RehearseError
from simulator.executor.environment import rank_environment


class MeasuringFailed(RehearseError):
    """A measuring process died or does not answer; the text says which and its last words."""

    kind = "measuring_failed"


class Member(Protocol):
    """One rank that measures: takes commands, a line each, and answers a line each (`worker.py`)."""

    def send(self, line: bytes) -> None:
        """Raises MeasuringFailed where nobody is there any more."""

    def read(self, timeout_s: float) -> dict:
        """The next answer. Raises MeasuringFailed where none comes."""

    def close(self) -> None:
        """Ends the member, whatever it is doing."""


class Process:
    """A measuring process on this machine, spoken to through pipes. folder: for what it says on stderr.

    per_node: ranks of each node; where that is not all, processes find each other over whatever joins the nodes.

    store: where the ranks find each other, a file or `env://`.
    """

    def __init__(self, rank: int, world: int, per_node: int, share: int, store: str, device: str, folder: Path):
        self._rank, self._log, self._buffer = rank, folder / f"rank{rank}.log", b""
        numbers = [str(number) for number in (rank, world, per_node, share)]
        command = [sys.executable, "-m", "calibration.measure.worker", *numbers, store, device]
        environment = rank_environment(share)
        if world > per_node and "GLOO_SOCKET_IFNAME" not in os.environ:
            del environment["GLOO_SOCKET_IFNAME"]  # loopback joins no nodes
        with open(self._log, "wb") as errors:
            # a session of its own: Ctrl-C is for the leader, who ends them in order
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env=environment, start_new_session=True)  # fmt: skip

    def send(self, line: bytes) -> None:
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except OSError as error:
            raise self._failure("is gone") from error

    def read(self, timeout_s: float) -> dict:
        return json.loads(self.read_line(timeout_s))

    def read_line(self, timeout_s: float) -> bytes:
        """The next answer as it came."""
        stream, end = self.process.stdout, time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise self._failure(f"has not answered for {timeout_s:.0f} s")
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                raise self._failure("died")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _failure(self, what: str) -> MeasuringFailed:
        words = self._log.read_text(errors="replace").strip().splitlines()[-1:]
        said = f": {words[0]}" if words else ""
        return MeasuringFailed(
            f"measuring process {self._rank} {what}{said}; what was measured so far is kept, run it again"
        )

"""Calibration under torchrun: the first process leads, the others of its node hand its commands to their own rank.

    torchrun --nproc-per-node 8 --no-python rehearse calibrate --device cuda

Commands and answers go through torchrun's own store. Kernels, and collectives inside a node, are measured on the first
node; those between nodes (`groups.lies`) on pairs of nodes and on all.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from calibration.measure.fleet import ANSWER_TIMEOUT_S, START_TIMEOUT_S, Fleet
from calibration.measure.members import MeasuringFailed, Process
from simulator.errors import ScenarioError

END = b"end"
READY = -1
POLL_S = 0.005
PREFIX = "rehearse calibrate"
WATCH_S = 1.0
"""How often a process that has no command looks whether torchrun is still there."""


def is_launched() -> bool:
    """Whether this process is one of many that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def own_rank() -> int:
    return int(os.environ["RANK"])


def local_world() -> int:
    """Ranks of each node."""
    return int(os.environ["LOCAL_WORLD_SIZE"])


def whole_world() -> int:
    """Ranks of all nodes. Raises ScenarioError where nodes do not hold as many each."""
    world, own = int(os.environ.get("WORLD_SIZE", local_world())), local_world()
    if world % own:
        raise ScenarioError(
            f"{world} processes do not lie evenly on nodes of {own}; start as many on each: --nproc-per-node {own}",
            key="--device",
        )
    return world


class LaunchedFleet(Fleet):
    """The fleet whose members torchrun has started; its own is the first."""

    def _start(self, folder: Path) -> None:
        self._store = _store()
        self.members.append(Process(0, self.world, self.per_node, self.share, "env://", self.device, folder))
        self.members += [Remote(rank, self._store) for rank in range(1, self.world)]


class Remote:
    """A member that another process hands commands to, seen from the leader."""

    def __init__(self, rank: int, store):
        self._rank, self._store, self._sent, self._read = rank, store, 0, READY

    def send(self, line: bytes) -> None:
        self._store.set(_command(self._rank, self._sent), line)
        self._sent += 1

    def read(self, timeout_s: float) -> dict:
        key = _answer(self._rank, self._read)
        if not _wait(self._store, key, timeout_s):
            raise MeasuringFailed(f"measuring process {self._rank} has not answered for {timeout_s:.0f} s; what was "
                                  "measured so far is kept, run it again")  # fmt: skip
        self._read += 1
        found = self._store.get(key)
        self._store.delete_key(key)
        answer = json.loads(found)
        if "failed" in answer:
            raise MeasuringFailed(answer["failed"])
        return answer

    def close(self) -> None:
        self._store.set(_command(self._rank, self._sent), END)


def serve(device: str, share: int) -> None:
    """Runs this process's rank until the leader says that all is measured, or torchrun is gone."""
    rank, world, parent = own_rank(), whole_world(), os.getppid()
    store, number = _store(), 0
    with tempfile.TemporaryDirectory(prefix="rehearse-calibrate-") as folder:
        process = Process(rank, world, local_world(), share, "env://", device, Path(folder))
        try:
            store.set(_answer(rank, READY), process.read_line(START_TIMEOUT_S))
            while True:
                key = _command(rank, number)
                while not _wait(store, key, WATCH_S):
                    if os.getppid() != parent:
                        return
                line = store.get(key)
                store.delete_key(key)
                if line == END:
                    return
                process.send(line)
                store.set(_answer(rank, number), process.read_line(ANSWER_TIMEOUT_S))
                number += 1
        except MeasuringFailed as error:
            store.set(_answer(rank, number), json.dumps({"failed": str(error)}).encode())
            raise
        finally:
            process.close()


def _wait(store, key: str, timeout_s: float) -> bool:
    """Whether a key is there before the time is up. A store's own wait would fill stderr where it gives up."""
    end = time.monotonic() + timeout_s
    while not store.check([key]):
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True


def _command(rank: int, number: int) -> str:
    return f"{rank} command {number}"


def _answer(rank: int, number: int) -> str:
    return f"{rank} answer {number}"


def _store():
    """A client of the store that torchrun keeps."""
    import torch.distributed as dist

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    kept = dist.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=START_TIMEOUT_S))
    return dist.PrefixStore(PREFIX, kept)

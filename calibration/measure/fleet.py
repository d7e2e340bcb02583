"""Fleet: the measuring processes, seen from the one that leads them. Imports no torch."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from calibration.measure.groups import lie_of, members
from calibration.measure.members import MeasuringFailed, Member, Process
from calibration.pieces import Job
from calibration.points import Point

__all__ = ["Fleet", "MeasuringFailed", "PointFailed"]

START_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 90
"""Longer than any visit to a point; a process group's own timeout (60 s) is shorter."""


class Fleet:
    """`world` processes of one rank each. Use as a context manager: they are gone when it is left, however it is.

    share: how many of them share the cores when they compute at once. per_node: ranks of each node; None: all.
    """

    def __init__(self, world: int, device: str = "cpu", *, share: int = 2, per_node: int | None = None):
        self.world, self.device, self.share, self.per_node = world, device, share, per_node or world
        self._folder = tempfile.TemporaryDirectory(prefix="rehearse-calibrate-")
        self.members: list[Member] = []
        self.described: dict = {}

    def __enter__(self) -> Fleet:
        try:
            self._start(Path(self._folder.name))
            ready = [member.read(START_TIMEOUT_S) for member in self.members]
            self.described = ready[0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, folder: Path) -> None:
        """Starts the members, in rank order."""
        store = str(folder / "store")
        for rank in range(self.world):
            self.members.append(Process(rank, self.world, self.per_node, self.share, store, self.device, folder))

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.close()
        self.members = []
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

    def copies(self, point: Point, repeats: int) -> list[list[int]]:
        """[ns of a copy beside compute, ns of one by itself, slowdown of compute in millionths] of each repeat on each
        rank."""
        command = {"do": "copies", "point": json.loads(point.to_json()), "repeats": repeats}
        return [row for answer in self._ask(point.shape[0], command) for row in answer["copies"]]

    def collective(self, point: Point, repeats: int) -> list[list[list[int]]]:
        """[start_ns, end_ns] of each repeat on each member, by the clock of its node; inside a node between two kernels
        where every member has a core (between nodes what a kernel takes cannot be taken off one member's time)."""
        ranks, nodes = lie = lie_of(point.shape)
        between = nodes == 1 and ranks <= self.share
        command = {"do": "collective", "point": json.loads(point.to_json()), "repeats": repeats, "between": between}
        return [answer["spans"] for answer in self._ask(members(lie, self.per_node), command)]

    def _ask(self, ranks: int | list[int], command: dict) -> list[dict]:
        """The answers of these ranks, or of the first so many."""
        line = (json.dumps(command) + "\n").encode()
        asked = [self.members[rank] for rank in (range(ranks) if isinstance(ranks, int) else ranks)]
        for member in asked:
            member.send(line)
        answers = [member.read(ANSWER_TIMEOUT_S) for member in asked]
        for answer in answers:
            if "error" in answer:
                raise PointFailed(answer["error"])
        return answers


class PointFailed(Exception):
    """This point cannot be measured here; the others can."""

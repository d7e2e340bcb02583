"""One calibration: visits points round after round until the time is up, and writes the profile as it goes.

A round visits every point once, so that drift of the machine meets all alike; every second round goes backwards. The
sentinel is measured every few seconds. Whatever ends the session, the last profile written is whole and usable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from calibration import files, grid
from calibration.build import Context, build
from calibration.checks import MESSAGES
from calibration.imports.merging import carried
from calibration.journal import ALONE, COMPUTE, TOGETHER, Journal
from calibration.measure.fleet import Fleet, MeasuringFailed, PointFailed
from calibration.pieces import Job
from calibration.points import COLLECTIVE, KERNEL, OVERLAP, Point
from calibration.side_by_side import MESSAGE
from calibration.sizes import OF_DEVICE

WINDOW_NS = 6_000_000
"""How long one visit samples a kernel; at least two samples are taken."""

PIECE_WINDOW_NS = 15_000_000
"""How long one visit samples a job; at least one round of all its pieces."""

Say = Callable[..., None]
"""Takes a line of progress and, where it is known, the share of the time that is over."""

FLUSH_S = 5.0
SENTINEL_S = 4.0
MOST_ROUNDS = 40
"""More rounds than this teach nothing new: a long budget ends early."""

ONE_WAY = ("send", "broadcast")
REPEATS = 8
LARGE_BYTES = 4 * 2**20
LARGE_REPEATS = 2
OVERLAP_REPEATS = 3


@dataclass(frozen=True)
class Visit:
    """A point or a job under one condition."""

    what: Point | Job
    condition: str


def plan_visits(points: list[Point | Job], ranks: int, wanted: frozenset[str] = frozenset()) -> list[Visit]:
    """What one round visits, in order. ranks: processes that compute at once; all together first, then one alone."""
    together = [Visit(point, TOGETHER) for point in points]
    if ranks == 1:
        return together
    return together + [Visit(point, ALONE) for point in points if _is_needed_alone(point, wanted)]


def _is_needed_alone(what: Point | Job, wanted: frozenset[str]) -> bool:
    """Collectives, and what runs beside them, have no meaning alone; nor has a job that a scenario of several ranks
    asked for. A check is judged as ranks share a machine."""
    if isinstance(what, Job):
        return not what.meets and (what.ranks == 1 or what.key not in wanted)
    return what.what == KERNEL


class Session:
    """fleet: the measuring processes. ranks: how many of them measure kernels at once. say: takes lines of progress.

    wanted: keys of what a scenario asked for; from the second round on it is visited twice a round. before: the record
    that is gone on with; what was imported into it is kept.
    """

    def __init__(
        self, fleet: Fleet, journal: Journal, context: Context, points: list[Point | Job], *, ranks: int, out: str,
        say: Say, wanted: frozenset[str] = frozenset(), before: dict | None = None,
    ):  # fmt: skip
        self.fleet, self.journal, self.context = fleet, journal, context
        self.ranks, self.out, self.say, self.before = ranks, out, say, before
        self.visits, self.wanted = plan_visits(points, ranks, wanted), wanted
        self.rounds = self._revisits = 0
        self._sentinel = grid.sentinel(context.dtype, OF_DEVICE["cpu" if context.host_dispatches else "cuda"])
        self._flushed = self._watched = 0.0

    def run(self, end_s: float) -> dict:
        """Measures until `end_s` (time.monotonic) and returns the record that was written last."""
        began = time.monotonic()
        total = len(self.visits)
        for place, visit in self._schedule():
            now = time.monotonic()
            if now >= end_s:
                break
            self._watch(now)
            self._measure(visit)
            if now - self._flushed >= FLUSH_S and self.has_measured:
                self.flush()
                self._report(place, total, now - began, end_s - now)
        self._complete()
        if not self.has_measured:
            raise MeasuringFailed(f"no kernel was measured in {end_s - began:.0f} s; give a longer --budget")
        return self.flush()

    def _complete(self) -> None:
        """One kernel of each family that a wanted scenario runs and the time did not reach: a profile without it
        prices nothing of that scenario."""
        known = {(point.op, point.dtype) for point in self.journal.points(TOGETHER) if point.what == KERNEL}
        for visit in self.visits:
            what = visit.what
            if isinstance(what, Job) or what.what != KERNEL or visit.condition != TOGETHER:
                continue
            if what.key in self.wanted and what.key not in self.journal.failed and (what.op, what.dtype) not in known:
                self._measure(visit)
                known.add((what.op, what.dtype))

    def revisit(self, keys: frozenset[str] | None = None) -> None:
        """One more round, forwards and backwards in turn, of what a step of a wanted scenario is made of: its pieces
        and its messages. keys: of what is wanted now; None: of all that ever was."""
        self._revisits += 1
        due = [visit for visit in self.visits if visit.condition == TOGETHER and self._is_part_of_a_step(visit.what)
               and (keys is None or visit.what.key in keys)]  # fmt: skip
        for visit in due[:: 1 if self._revisits % 2 else -1]:
            self._watch(time.monotonic())
            self._measure(visit)

    def _is_part_of_a_step(self, what: Point | Job) -> bool:
        is_whole = isinstance(what, Job) or what.what == COLLECTIVE
        return is_whole and what.key in self.wanted and what.key not in self.journal.failed

    @property
    def has_measured(self) -> bool:
        """Whether there is a kernel yet, without which nothing can be written."""
        return any(point.what == KERNEL for point in self.journal.points(TOGETHER))

    def flush(self) -> dict:
        """Writes the profile as far as it is known. Raises ValueError while no kernel has been measured."""
        record = build(self.journal, self.context)
        if self.before is not None:
            record = carried(record, self.before)
        files.write(record, self.out)
        self._flushed = time.monotonic()
        return record

    def _schedule(self) -> Iterator[tuple[int, Visit]]:
        """Places and visits: what an earlier session has never seen, then round after round over everything."""
        unseen = [visit for visit in self.visits if not self.journal.visits(visit.what, visit.condition)]
        if len(unseen) < len(self.visits):
            yield from enumerate(unseen)
        for number in range(MOST_ROUNDS):
            self.rounds = number
            due = [visit for visit in self.visits if visit.what.key not in self.journal.failed]
            due = due[::-1] if number % 2 else due
            again = [visit for visit in due if visit.what.key in self.wanted and visit.condition == TOGETHER]
            half = len(due) // 2
            yield from enumerate([*due[:half], *(again if number else ()), *due[half:]])

    def _measure(self, visit: Visit) -> None:
        what, ranks = visit.what, self.ranks if visit.condition == TOGETHER else 1
        try:
            if isinstance(what, Job):
                self._measure_job(what, visit.condition, ranks)
            elif what.what == OVERLAP and what.op != MESSAGE:
                for beside_ns, alone_ns, slowdown in self.fleet.copies(what, OVERLAP_REPEATS):
                    self.journal.add(what, TOGETHER, [[beside_ns, 0]])
                    self.journal.add(what, ALONE, [[alone_ns, 0]])
                    self.journal.add(what, COMPUTE, [[slowdown, 0]] if slowdown else [])
            elif what.what == OVERLAP:
                repeats = OVERLAP_REPEATS if what.shape[1] >= LARGE_BYTES else REPEATS
                for members in zip(*self.fleet.overlap(what, repeats), strict=True):
                    slowdowns = [slowdown for _, _, slowdown in members if slowdown]
                    self.journal.add(what, TOGETHER, [[_transfer_ns(members), 0]])
                    self.journal.add(what, COMPUTE, [[slowdown, 0] for slowdown in slowdowns])
            elif what.what == COLLECTIVE or what.op in MESSAGES:
                repeats = LARGE_REPEATS if what.shape[1] >= LARGE_BYTES else REPEATS
                spans = self.fleet.collective(what, repeats)
                far = partial(_own_clocks_ns, what.op) if len(what.shape) > 2 else _transfer_ns
                self.journal.add(what, TOGETHER, [[far(members), 0] for members in zip(*spans, strict=True)])
            else:
                for samples in self.fleet.kernel(what, ranks, WINDOW_NS):
                    self.journal.add(what, visit.condition, samples)
        except PointFailed as error:
            self.journal.failed[what.key] = str(error)
            self.say(f"left out {what.key[:100]}: {error}")

    def _measure_job(self, job: Job, condition: str, ranks: int) -> None:
        answers = self.fleet.piece(job, ranks, PIECE_WINDOW_NS)
        for answer in answers:
            for piece, samples in zip(job.pieces, answer["staged"], strict=True):
                self.journal.add_piece(piece, condition, samples)
        met: dict[Point, list[list[int]]] = {}
        for members in zip(*(answer.get("met", []) for answer in answers), strict=True):
            op, size_bytes = members[0][:2]
            spans = tuple(member[2:] for member in members)
            met.setdefault(Point(COLLECTIVE, op, "fp32", (ranks, size_bytes)), []).append([_transfer_ns(spans), 0])
        for point, pairs in met.items():
            self.journal.add(point, TOGETHER, pairs)

    def _watch(self, now: float) -> None:
        """The sentinel: one product, alone, every few seconds."""
        if now - self._watched >= SENTINEL_S:
            samples = sorted(ns for ns, _ in self.fleet.kernel(self._sentinel, 1, WINDOW_NS)[0])
            self.journal.sentinel.append(samples[len(samples) // 2])
            self._watched = now

    def _report(self, place: int, total: int, spent_s: float, left_s: float) -> None:
        left_s = max(0.0, left_s)
        line = (f"round {self.rounds + 1}: {place + 1} of {total} points, {self.journal.num_samples} samples, "
                f"{spent_s:.0f} s spent, {left_s:.0f} s left")  # fmt: skip
        self.say(line, spent_s / (spent_s + left_s))


def _own_clocks_ns(op: str, members: tuple[list[int], ...]) -> int:
    """The same where members have clocks of their own: the last to come waits for nobody, so the shortest counts. Who
    only sends is done before it has arrived: there the longest does."""
    choose = max if op in ONE_WAY else min
    return max(1, choose(end - start for start, end in members))


def _transfer_ns(members: tuple[list[int], ...]) -> int:
    """From the moment the last member came until the last one was done: what ranks lose by coming late is not the
    collective's."""
    return max(1, max(span[1] for span in members) - max(span[0] for span in members))

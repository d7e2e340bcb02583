"""Memory over time: what a rank holds, by the order of launches, at the times at which its actions run.

    curve = result.memory_curve(rank)
    curve.time_ns, curve.held          what is held from each moment on until the next one
    curve.peak                         where it is fullest

A message that is gathered ahead counts from its own start, as far as that lies between its neighbours on the compute
stream: the host launches in program order, and what it launches is what an allocator sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from simulator.memory.walk import AHEAD, BEHIND, KINDS, Moment
from simulator.timeline import Timeline
from simulator.units import ns_to_seconds

NUM_SHARES = 64
"""Equal shares of a step whose fullest instants `to_dict` prints."""


class Peak(NamedTuple):
    """The action during which a rank is fullest (the first such), from when to when, and what it holds then."""

    action: str
    start_ns: int
    end_ns: int
    size_bytes: int


@dataclass(frozen=True, eq=False)
class MemoryCurve:
    """n moments of one rank. time_ns: int64[n], never falling. held: int64[n, kinds] bytes by `memory.KINDS` from that
    time on until the next moment's. actions: what runs, or has just ended. step_ns: until when the last one holds."""

    rank: int
    time_ns: np.ndarray
    held: np.ndarray
    actions: tuple[str, ...]
    step_ns: int

    @cached_property
    def total(self) -> np.ndarray:
        """int64[n]: all kinds together."""
        return self.held.sum(axis=1)

    @cached_property
    def peak(self) -> Peak:
        place = int(self.total.argmax())
        end_ns = self.time_ns[place + 1] if place + 1 < len(self.time_ns) else self.step_ns
        return Peak(self.actions[place], int(self.time_ns[place]), int(end_ns), int(self.total[place]))

    def fullest(self, shares: int) -> tuple[np.ndarray, np.ndarray]:
        """(start of each of so many equal shares of the step, ns; bytes by kind at its fullest instant)."""
        starts = np.arange(shares, dtype=np.int64) * self.step_ns // shares
        ends = np.append(starts[1:], self.step_ns)
        first = np.maximum(np.searchsorted(self.time_ns, starts, side="right") - 1, 0)
        last = np.maximum(np.searchsorted(self.time_ns, ends, side="left"), first + 1)
        places = [int(one + self.total[one:end].argmax()) for one, end in zip(first, last, strict=True)]
        return starts, self.held[places]

    def to_dict(self) -> dict:
        """`memory_over_time` of the JSON: bytes by kind at the fullest instant of each share of the step."""
        starts, held = self.fullest(NUM_SHARES)
        peak = self.peak
        return {
            "rank": self.rank,
            "peak": {"action": peak.action, "bytes": peak.size_bytes, "start_s": ns_to_seconds(peak.start_ns),
                     "end_s": ns_to_seconds(peak.end_ns)},
            "from_s": [ns_to_seconds(int(ns)) for ns in starts],
            "bytes_by_kind": {kind: held[:, place].tolist() for place, kind in enumerate(KINDS)},
        }  # fmt: skip


def memory_curve(rank: int, moments: Iterable[Moment], timeline: Timeline) -> MemoryCurve:
    """The curve of a real rank. moments: its own, or those of the rank that stands for it in the program.

    Raises ValueError for a rank that the timeline knows nothing of.
    """
    spans = action_spans(timeline, rank)
    found, times, now = list(moments), [], 0
    for moment in found:
        start, end = spans.get(moment.action, (now, now))
        times.append(max(now, end if moment.when == BEHIND else start))
        if moment.when != AHEAD:
            now = times[-1]
    time_ns = np.minimum.accumulate(np.array(times, dtype=np.int64)[::-1])[::-1]  # ahead of what follows, not later
    held = np.array([moment.held for moment in found], dtype=np.int64)
    return MemoryCurve(rank, time_ns, held, tuple(moment.action for moment in found), timeline.step_ns)


def action_spans(timeline: Timeline, rank: int) -> dict[str, tuple[int, int]]:
    """{name of an action: (its first op's start, its last op's end)} of a rank, or of the one that stands for it."""
    place = next((index for index, members in enumerate(timeline.members) if rank in members), None)
    if place is None:
        raise ValueError(f"the timeline has no rank {rank}")
    chosen = (timeline.rank_index == place) & (timeline.action >= 0)
    codes = timeline.action[chosen]
    start = np.full(len(timeline.actions), np.iinfo(np.int64).max)
    end = np.full(len(timeline.actions), -1)
    np.minimum.at(start, codes, timeline.start_ns[chosen])
    np.maximum.at(end, codes, timeline.end_ns[chosen])
    return {timeline.parsed_actions[code].name: (int(start[code]), int(end[code])) for code in np.flatnonzero(end >= 0)}

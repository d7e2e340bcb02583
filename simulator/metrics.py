"""Metrics of a timeline: where a rank's time went, and how much of it the device was used.

From a Timeline alone, simulated or measured, in integer nanoseconds. A contracted op counts as what it is made of: its
parts, laid one after the other over its span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import kinds
from simulator.timeline import Timeline

STRAGGLER, BUBBLE = "straggler_wait", "bubble"

_NUM_KINDS = len(kinds.KINDS)
_HOST = kinds.CODE[kinds.HOST]
_STRAGGLER, _RECEIVE = _NUM_KINDS, _NUM_KINDS + 1
_PRIORITY = (*(code for code in range(_NUM_KINDS) if code != _HOST), _STRAGGLER, _RECEIVE, _HOST)
_LABEL = {**dict(enumerate(kinds.KINDS)), _STRAGGLER: STRAGGLER, _RECEIVE: BUBBLE}
"""Each nanosecond takes the first of these that covers it: what computes, what communicates (both in the order of
`kinds.KINDS`), a collective that waits for a member, a receive that has not arrived, the host; else it is bubble."""


@dataclass(frozen=True)
class Segments:
    """Intervals [start_ns, end_ns) in which a rank does one kind of thing; contracted ops are opened up.

    rank_index: place in `timeline.ranks`. kind: code in `kinds.KINDS`.
    """

    rank_index: np.ndarray
    kind: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray

    def where(self, chosen: np.ndarray) -> Segments:
        return Segments(self.rank_index[chosen], self.kind[chosen], self.start_ns[chosen], self.end_ns[chosen])


@dataclass(frozen=True)
class Utilization:
    """Shares of the step, averaged over real ranks. busy: a device stream runs an op. compute: a kernel runs."""

    busy: float
    compute: float


def segments(timeline: Timeline) -> Segments:
    """What ran, rank by rank, in no order. A part of a stretched op stretches with it (ends rounded down)."""
    num_parts = np.diff(timeline.part_first)
    plain = np.flatnonzero(num_parts == 0)
    owner = np.repeat(np.arange(len(timeline)), num_parts)
    done = np.concatenate([[0], np.cumsum(timeline.part_ns)])
    before = done[:-1] - done[timeline.part_first[owner]]
    total = np.maximum(done[timeline.part_first[owner + 1]] - done[timeline.part_first[owner]], 1)
    start, span = timeline.start_ns[owner], (timeline.end_ns - timeline.start_ns)[owner]
    part_start, part_end = (start + _scaled(ns, span, total) for ns in (before, before + timeline.part_ns))
    return Segments(
        np.concatenate([timeline.rank_index[plain], timeline.rank_index[owner]]),
        np.concatenate([timeline.kind[plain], timeline.part_kind]),
        np.concatenate([timeline.start_ns[plain], part_start]),
        np.concatenate([timeline.end_ns[plain], part_end]),
    )


def critical_rank(timeline: Timeline) -> int:
    """Index of the rank whose last op ends last, the lowest rank on ties."""
    last = timeline.rank_index[timeline.end_ns == timeline.step_ns]
    return min(last.tolist(), key=lambda index: timeline.ranks[index])


def breakdown_ns(timeline: Timeline, rank_index: int | None = None) -> dict[str, int]:
    """Nanoseconds of [0, step) by label (all of `kinds.BREAKDOWN`), for one rank: the critical one unless given.

    Sums to `timeline.step_ns`. Each nanosecond has one label, the first that matches: a kernel runs (its kind); a
    collective or transfer runs (tensor, context, embedding, pipeline, data); a collective is ready and waits for a
    member (straggler_wait); a pipeline receive has not arrived (bubble); the host launches or copies (other); the rest
    (bubble).
    """
    labels = dict.fromkeys(kinds.BREAKDOWN, 0)
    if not len(timeline):
        return labels
    rank_index = critical_rank(timeline) if rank_index is None else rank_index
    ran = segments(timeline)
    ran = ran.where(ran.rank_index == rank_index)
    waited, what_waited = _waits(timeline, rank_index)
    level = np.concatenate([ran.kind.astype(np.int64), what_waited])
    start = np.concatenate([ran.start_ns, timeline.ready_ns[waited]])
    end = np.concatenate([ran.end_ns, timeline.start_ns[waited]])

    edges, place = np.unique(np.concatenate([[0, timeline.step_ns], start, end]), return_inverse=True)
    first, last = place[2 : 2 + len(start)], place[2 + len(start) :]
    width, free = np.diff(edges), np.ones(len(edges) - 1, dtype=bool)
    for code in _PRIORITY:
        chosen = level == code
        depth = np.bincount(first[chosen], minlength=len(edges)) - np.bincount(last[chosen], minlength=len(edges))
        covers = free & (np.cumsum(depth)[:-1] > 0)
        labels[_LABEL[code]] += int(width[covers].sum())
        free &= ~covers
    labels[BUBBLE] += int(width[free].sum())
    return labels


def busy_ns(timeline: Timeline) -> np.ndarray:
    """int64[r]: per rank, how long at least one device stream ran an op (waiting for members and the host left out)."""
    ran = segments(timeline)
    return _union_ns(ran.where(ran.kind != _HOST), len(timeline.ranks))


def compute_ns(timeline: Timeline) -> np.ndarray:
    """int64[r]: per rank, how long at least one kernel ran."""
    ran = segments(timeline)
    kernels = np.isin(ran.kind, [kinds.CODE[kind] for kind in kinds.COMPUTE_KINDS])
    return _union_ns(ran.where(kernels), len(timeline.ranks))


def utilization(timeline: Timeline) -> Utilization:
    """Busy and compute shares of the step, each real rank counted once. Both 0 for a step of no length."""
    count = np.array(timeline.multiplicity, dtype=np.int64)
    total = int(count.sum()) * timeline.step_ns
    if not total:
        return Utilization(0.0, 0.0)
    busy, compute = (int((count * ns).sum()) / total for ns in (busy_ns(timeline), compute_ns(timeline)))
    return Utilization(busy, compute)


def _scaled(ns: np.ndarray, span: np.ndarray, total: np.ndarray) -> np.ndarray:
    """ns * span // total without leaving 64 bits where nothing was stretched, exactly where something was."""
    if (span == total).all():
        return ns
    return np.array(
        [a * b // c for a, b, c in zip(ns.tolist(), span.tolist(), total.tolist(), strict=True)], dtype=np.int64
    )


def _waits(timeline: Timeline, rank_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Ops of a rank that waited, and whether for a member of a collective or for a receive."""
    waited = np.flatnonzero((timeline.rank_index == rank_index) & (timeline.ready_ns < timeline.start_ns))
    collectives = [kinds.CODE[kind] for kind in kinds.COMM_KINDS if kind != kinds.PIPELINE]
    is_receive = np.array([*(action.verb == "recv" for action in timeline.parsed_actions), False])
    for_member = np.isin(timeline.kind[waited], collectives)
    for_receive = is_receive[timeline.action[waited]]
    waited, for_member = waited[for_member | for_receive], for_member[for_member | for_receive]
    return waited, np.where(for_member, _STRAGGLER, _RECEIVE)


def _union_ns(intervals: Segments, num_ranks: int) -> np.ndarray:
    """Length of the union of each rank's intervals."""
    order = np.lexsort((intervals.start_ns, intervals.rank_index))
    rank = intervals.rank_index[order]
    horizon = int(intervals.end_ns.max(initial=0)) + 1
    start, end = intervals.start_ns[order] + rank * horizon, intervals.end_ns[order] + rank * horizon
    covered_until = np.maximum.accumulate(np.concatenate([[0], end]))[:-1]
    fresh = np.maximum(end - np.maximum(start, covered_until), 0)
    totals = np.zeros(num_ranks, dtype=np.int64)
    np.add.at(totals, rank, fresh)  # integers; np.bincount's weights would be floats
    return totals

"""How long the stages of a pipeline were seen to compute, read off a timeline."""

from __future__ import annotations

import numpy as np

from simulator.timeline import Timeline


def passes_ns(timeline: Timeline) -> tuple[int, ...]:
    """What the forward and backward actions of each of `timeline.ranks` took of its compute stream."""
    computes = np.array([stream.name == "compute" for stream in timeline.streams])
    own = _passes(timeline) & computes[timeline.stream]
    spans = np.where(own, timeline.end_ns - timeline.start_ns, 0)
    return tuple(int(spans[timeline.rank_index == index].sum()) for index in range(len(timeline.ranks)))


def whole_passes_ns(timeline: Timeline) -> tuple[int, ...]:
    """How long these actions lasted, the collectives inside them included: from first start to last end."""
    own, actions = _passes(timeline), len(timeline.parsed_actions) + 1
    place = timeline.rank_index[own] * actions + timeline.action[own]
    begin = np.full(len(timeline.ranks) * actions, np.iinfo(np.int64).max)
    end = np.zeros_like(begin)
    np.minimum.at(begin, place, timeline.start_ns[own])
    np.maximum.at(end, place, timeline.end_ns[own])
    spans = np.where(end > begin, end - begin, 0).reshape(len(timeline.ranks), actions)
    return tuple(spans.sum(axis=1).tolist())


def _passes(timeline: Timeline) -> np.ndarray:
    """Which ops are of a forward or a backward action."""
    return np.array([action.verb in "FBIW" for action in timeline.parsed_actions] + [False])[timeline.action]


def stage_times_ns(timeline: Timeline, layout) -> tuple[int, ...]:
    """Of each pipeline rank, on its slowest member."""
    found = [0] * layout.pipeline
    for rank, ns in zip(timeline.ranks, passes_ns(timeline), strict=True):
        stage = layout.coordinates(rank)[0]
        found[stage] = max(found[stage], ns)
    return tuple(found)


def replica_times_ns(timeline: Timeline, layout) -> tuple[tuple[int, ...], ...]:
    """[data rank][pipeline rank], on the slowest member."""
    found = [[0] * layout.pipeline for _ in range(layout.data)]
    for members, ns in zip(timeline.members, whole_passes_ns(timeline), strict=True):
        stage = layout.coordinates(members[0])[0]
        for data_rank in layout.data_ranks(members):
            found[data_rank][stage] = max(found[data_rank][stage], ns)
    return tuple(map(tuple, found))

"""Segments: where F and B are cut so that a collective can start, or be awaited, in the middle of a stage.

One backward action is one autograd call, out of which no collective can be launched; so the last backward (and, where
parameters are gathered, the first forward) of a stage runs as several actions, one for each bucket; under ZeRO 2 and 3
every one does. Of a backward pass in two halves only W is cut: no bucket is complete before. Where looked-up vectors
enter behind the first unit, every F and B is cut in front of the unit that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from simulator.program.actions import Action
from simulator.program.program import Bucket, Chunk, Launch


def cut_at_buckets(chunk: Chunk, buckets: tuple[Bucket, ...]) -> Chunk:
    """The chunk with its segments at bucket boundaries."""
    spans = sorted((bucket.first, bucket.last) for bucket in buckets if bucket.stage == chunk.stage)
    return replace(chunk, segments=tuple(spans)) if spans else chunk


def cut_at_seams(chunk: Chunk, seams: Collection[int]) -> Chunk:
    """The chunk whose segments end in front of every one of these units."""
    spans: list[tuple[int, int]] = []
    for first, last in chunk.segments:
        starts = [first, *(unit for unit in sorted(seams) if first < unit <= last)]
        spans += zip(starts, [*(unit - 1 for unit in starts[1:]), last], strict=True)
    return replace(chunk, segments=tuple(spans))


def compute_launches(
    order: tuple[Action, ...], chunks: tuple[Chunk, ...], cut: Callable[[Action], bool] = lambda action: False
) -> list[Launch]:
    """The schedule's actions, those that are to be cut in the segments of their stage."""
    segments = {chunk.stage: len(chunk.segments) for chunk in chunks}
    launches = []
    for action in order:
        pieces = range(segments[action.stage]) if segments[action.stage] > 1 and cut(action) else (None,)
        launches += [Launch("compute", Action(action.verb, action.stage, action.microbatch, piece)) for piece in pieces]
    return launches

"""Segments: where F and B are cut so that a bucket's collective can start, or be awaited, in the middle of a stage.

One backward action is one autograd call, out of which no collective can be launched; so the last backward (and, where
parameters are gathered, the first forward) of a stage runs as several actions, one for each bucket; under ZeRO 2 and 3
every one does. Of a backward pass in two halves only W is cut: no bucket is complete before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.program.actions import Action
from simulator.program.program import Bucket, Chunk, Launch


def cut_at_buckets(chunk: Chunk, buckets: tuple[Bucket, ...]) -> Chunk:
    """The chunk with its segments at bucket boundaries."""
    spans = sorted((bucket.first, bucket.last) for bucket in buckets if bucket.stage == chunk.stage)
    return replace(chunk, segments=tuple(spans)) if spans else chunk


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

"""Segments: where F and B are cut so that a bucket's collective can start, or be awaited, in the middle of a stage.

One backward action is one autograd call, out of which no collective can be launched; so the last backward (and, where
parameters are gathered, the first forward) of a stage runs as several actions, one for each bucket. Of a backward pass
in two halves only W is cut: no bucket is complete before.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.program.actions import Action
from simulator.program.program import Bucket, Chunk, Launch


def cut_at_buckets(chunk: Chunk, buckets: tuple[Bucket, ...]) -> Chunk:
    """The chunk with its segments at bucket boundaries."""
    spans = sorted((bucket.first, bucket.last) for bucket in buckets if bucket.stage == chunk.stage)
    return replace(chunk, segments=tuple(spans)) if spans else chunk


def compute_launches(
    order: tuple[Action, ...], chunks: tuple[Chunk, ...], *, cut_last_backward: bool, cut_first_forward: bool, last: int
) -> list[Launch]:
    """The schedule's actions, the first forward and the last backward of each stage cut into segments where asked."""
    segments = {chunk.stage: len(chunk.segments) for chunk in chunks}
    launches = []
    for action in order:
        cut = (action.verb == "F" and action.microbatch == 0 and cut_first_forward) or (
            action.verb in "BW" and action.microbatch == last and cut_last_backward
        )
        pieces = range(segments[action.stage]) if cut and segments[action.stage] > 1 else (None,)
        launches += [Launch("compute", Action(action.verb, action.stage, action.microbatch, piece)) for piece in pieces]
    return launches

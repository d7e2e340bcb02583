"""Priority: gradients that the next forward needs last let others pass, across the end of the step.

Reads reductions and the first forward's segments; moves some reductions to the start of the step, where they run for
the gradients of the step before, beside its forward, and splits the update: the segment that needs a bucket's
parameters waits for that bucket's own. This is the order of P3 (Jayarajan et al., SysML 2019) and ByteScheduler (Peng
et al., SOSP 2019), whose queues pick at run time, as a fixed launch list:

- Where nothing overlaps the backward pass, all buckets are ready when it ends. The one that the next forward needs
  first leaves at once; all others follow it into the next step, in the order of need.
- Where reductions overlap the backward pass, one bucket gets ready at a time, and a queue builds up only when the links
  are slower than the computation. Then the links should be busy for all of backward and forward, so forward gets its
  share of the bytes (1/3, for backward computes twice as much; 1/4 with full recomputation): of the buckets as they get
  ready, every third or fourth waits for it. Links that are fast enough lose nothing: what waits is still early.

Nothing moves where every parameter waits for one update anyway: one bucket, the bucket needed first, and one whose
token embedding first and last stage share. Then both orders are the same program. A norm over all gradients is known
only after the last one: buckets are clipped one by one.
"""

from __future__ import annotations

from simulator.program.actions import Action
from simulator.program.program import Bucket, Chunk, Launch


def carried_buckets(buckets: tuple[Bucket, ...], *, overlap: bool, recomputes: bool, tied: bool) -> tuple[Bucket, ...]:
    """The buckets whose reduction waits for the next step, in the order in which its forward needs them.

    buckets: as they get ready. overlap: reductions run beside the backward pass. recomputes: which runs a forward pass
    of its own. tied: the bucket of the model's last units holds a copy of the token embedding.
    """
    ordered = sorted(buckets, key=lambda bucket: (bucket.stage, bucket.first))
    if overlap:
        share = 4 if recomputes else 3
        chosen, ready, carried = set(), 0, 0
        for bucket in buckets:
            ready += bucket.numel
            if (carried + bucket.numel) * share <= ready:
                chosen.add(bucket.name)
                carried += bucket.numel
    else:
        chosen = {bucket.name for bucket in ordered}
    chosen -= {bucket.name for bucket in ordered[:1]}
    if tied:
        chosen -= {bucket.name for bucket in ordered[-1:]}
    return tuple(bucket for bucket in ordered if bucket.name in chosen)


def carry_reductions(
    launches: list[Launch], chunks: tuple[Chunk, ...], carried: tuple[Bucket, ...], *, starts_late: bool
) -> list[Launch]:
    """The launches with the reductions of these buckets at the start of the step, each with its own update, for which
    the first forward's segment waits that needs it.

    A compressed one is encoded where its gradient gets ready, and decoded ahead of the update. starts_late: this rank
    waits for its first activation anyway: it updates before its first segment, not between them.
    """
    first: list[Launch] = []
    moved: set[str] = set()
    updates: dict[str, list[Launch]] = {}
    for bucket in carried:
        segments = next(chunk for chunk in chunks if chunk.stage == bucket.stage).segments
        segment = None if len(segments) == 1 else 0 if starts_late else segments.index((bucket.first, bucket.last))
        reduce, *later = (
            launch for launch in launches
            if launch.action.bucket == bucket.name and not (launch.action.verb == "encode" and not launch.action.phase)
        )  # fmt: skip
        first.append(Launch(reduce.stream, reduce.action._replace(after=())))
        last = [launch.action.name for launch in (reduce, *later) if launch.action.verb == "reduce"][-1]
        update = Launch("compute", Action("optimizer", bucket=bucket.name, after=(last,)))
        updates.setdefault(Action("F", bucket.stage, 0, segment).name, []).extend((*later, update))
        moved |= {launch.action.name for launch in (reduce, *later)}
    rest: list[Launch] = []
    for launch in launches:
        name = launch.action.name
        rest += updates.get(name, ())
        if name not in moved:
            rest.append(launch)
    return [*first, *rest]

"""ZeRO 2 and 3: gradients that are scattered behind each block, parameters that are gathered ahead of it.

Follows PyTorch's fully_shard (FSDP2; Zhao et al. 2023, arXiv 2304.11277; torch/distributed/fsdp/_fully_shard), block
by block: a block is what `fully_shard` is applied to, a layer. The host runs ahead, so what bounds the streams are the
events that they wait for:

- A gather may run beside one block's compute: it is launched when the block before the one before it has ended
  (implicit prefetching in forward, explicit in backward). A pass of a microbatch prefetches nothing of the next one.
- At most one reduce-scatter is under way beside a block's compute: the block after it waits for it
  (`reduce_scatter_states`). DeepSpeed's stage 2 has two buffers for the same end (`overlap_comm`).
- The last block of a microbatch's forward is not dropped, its backward comes at once; nor is an embedding that the
  head shares (FSDP2's root, torchtitan's last layers). Frozen parameters are gathered with the others of their block
  and have no part in its reduction; a block without a backward pass is not gathered for it.
- With microbatches, each one gathers and scatters anew (FSDP2 without `set_requires_gradient_sync(False)`); what a
  rank accumulates is its shard. Under a pipeline gradients are scattered once a step: `torch.distributed.pipelining`
  does it behind the last backward. Parameters are gathered in the first forward and kept, or, resharded, by every pass
  of a microbatch, the last block's too (torchtitan's fsdp_reshard_after_forward: never, and always).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from simulator.model.blocks import Unit
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.compression import Compressing, Reduction
from simulator.program.data_parallel import Sharing
from simulator.program.program import Bucket, Chunk, Launch

PREFETCH = 1
"""Blocks whose gather may run ahead of the one that computes (FSDP2's default, and FSDP1's `limit_all_gathers`)."""


def make_blocks(
    chunks: tuple[Chunk, ...], units: Sequence[Unit], numel: Callable[[int], int], seams: Collection[int] = (),
    frozen: Callable[[int], int] = lambda unit: 0,
) -> tuple[Bucket, ...]:  # fmt: skip
    """One bucket for each layer, for the embedding and for the head, last chunk and last block first.

    numel, frozen: dense parameters of a unit on this rank that are trained, and that are not. A block without
    parameters belongs to the one before it (the first: to the one behind it), since nothing of it is gathered. No block
    reaches across a seam (see `make_buckets`).
    """
    blocks: list[Bucket] = []
    for chunk in sorted(chunks, key=lambda chunk: -chunk.stage):
        spans: list[list[int]] = []
        for index in range(chunk.first, chunk.last + 1):
            count, unit = numel(index) + frozen(index), units[index]
            same = bool(spans) and unit.layer == units[spans[-1][1]].layer >= 0
            if spans and index not in seams and (same or not count or not spans[-1][2]):
                spans[-1][1:] = index, spans[-1][2] + count
            else:
                spans.append([index, index, count])
        for first, last, count in reversed(spans):
            still = sum(frozen(index) for index in range(first, last + 1))
            blocks.append(Bucket(f"b{len(blocks)}", chunk.stage, first, last, count - still, still))
    return tuple(blocks)


def scatter_each(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], sharing: Sharing, *, overlap: bool,
    compressing: Compressing | None = None,
) -> list[Launch]:  # fmt: skip
    """Adds the reduction of every bucket that is trained behind each backward pass that touches it.

    overlap: beside the next block's compute, one at a time; else compute goes on when it is over. Whatever follows a
    microbatch's backward pass waits for all of its reductions. compressing: how; None: nothing is. A compressed message
    is taken in where compute would wait for a plain one.
    """
    whose = {(bucket.first, bucket.last): bucket for bucket in buckets}
    complete: list[Launch] = []
    under_way: list[Reduction] = []  # behind each compute action that nobody has waited for, oldest first
    previous: Action | None = None
    for launch in launches:
        action = launch.action
        if action.verb not in COMPUTE_VERBS:
            complete.append(launch)
            continue
        if overlap and previous is not None and _same_pass(previous, action):
            ended = under_way[:-1]
            over = [found.behind[0] for found in ended if not found.later]  # copies of a shard hold up no block
            steps = [found.next for found in ended]
            under_way = [left for _, left in steps if left is not None] + under_way[-1:]
            complete += [one for first, _ in steps for one in first]
        else:
            ended = under_way
            over = [one for found in ended if not found.later for one in found.behind]
            complete += [one for found in ended for one in found.later]
            under_way = []
        last = {one.stream: one.action.name for one in over}  # a stream's last one stands for all of it
        complete.append(Launch(launch.stream, action.waiting_for(*last.values())))
        previous = action
        if action.verb == "B":
            bucket = whose[_chunk(chunks, action).span("B", action.segment)]
            if bucket.numel:
                plain = sharing.reduction(bucket, action.name, action.microbatch)
                compressed = compressing.of(plain[0]) if compressing else None
                under_way.append(compressed or Reduction(tuple(plain)))
                complete += under_way[-1].behind
    return complete + [one for found in under_way for one in found.later]


def gather_each(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], sharing: Sharing, *,
    needs: Callable[[Bucket, str, int], bool], overlap: bool,
) -> list[Launch]:  # fmt: skip
    """Adds the gather of every block ahead of its forward, and again ahead of its backward where it was dropped.

    needs: whether a block is gathered for a pass (its verb) of a microbatch. overlap: gathers run ahead (`PREFETCH`),
    else compute waits.
    """
    whose = {(bucket.first, bucket.last): bucket for bucket in buckets}

    def needed(action: Action) -> Launch | None:
        if action.verb == "W":
            return None
        bucket = whose[_chunk(chunks, action).span(action.verb, action.segment)]
        if needs(bucket, action.verb, action.microbatch):
            return sharing.gather(bucket, (), "F" if action.verb == "F" else "B", action.microbatch)
        return None

    return _gather_ahead(launches, needed, PREFETCH if overlap else 0)


def gather_once(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], sharing: Sharing, *, overlap: bool
) -> list[Launch]:
    """Adds one gather of every block a step, ahead of the first microbatch's forward."""
    whose = {(bucket.first, bucket.last): bucket for bucket in buckets}

    def needed(action: Action) -> Launch | None:
        if action.verb != "F" or action.microbatch:
            return None
        return sharing.gather(whose[_chunk(chunks, action).span("F", action.segment)])

    return _gather_ahead(launches, needed, PREFETCH if overlap else 0)


def _gather_ahead(launches: list[Launch], needed: Callable[[Action], Launch | None], prefetch: int) -> list[Launch]:
    """The launches with each gather ahead of the compute action that needs it, by `prefetch` actions of its pass."""
    order = [launch.action for launch in launches if launch.action.verb in COMPUTE_VERBS]
    ahead: dict[str, list[Launch]] = {}
    waits: dict[str, str] = {}
    first = 0
    for place, action in enumerate(order):
        if place and not _same_pass(order[place - 1], action):
            first = place
        gather = needed(action)
        if gather is None:
            continue
        beside = max(first, place - prefetch)
        after = (order[beside - 1].name,) if beside else ()
        ahead.setdefault(order[beside].name, []).append(Launch(gather.stream, gather.action.waiting_for(*after)))
        waits[action.name] = gather.action.name
    complete: list[Launch] = []
    for launch in launches:
        name = launch.action.name
        complete += ahead.get(name, ())
        waiting = (waits[name],) if name in waits else ()
        complete.append(Launch(launch.stream, launch.action.waiting_for(*waiting)))
    return complete


def _same_pass(one: Action, other: Action) -> bool:
    """Whether two compute actions are segments of one forward or backward pass."""
    return (one.verb, one.stage, one.microbatch) == (other.verb, other.stage, other.microbatch)


def _chunk(chunks: tuple[Chunk, ...], action: Action) -> Chunk:
    return next(chunk for chunk in chunks if chunk.stage == action.stage)

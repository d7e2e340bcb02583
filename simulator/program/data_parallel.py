"""Data parallelism: gradient buckets, their reduction, ZeRO 1's parameter gather, and the update.

Reads the compute launches of a rank; adds launches on streams `data`, `tied` and `compute`. Buckets follow PyTorch DDP
(Li et al. 2020, arXiv 2006.15704): parameters in reverse order of the forward pass are fused until `bucket_mib` is
reached, here at unit boundaries, and a bucket is reduced as soon as its last gradient is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.program import Bucket, Chunk, Launch
from simulator.units import DTYPE_BYTES


def make_buckets(
    chunks: tuple[Chunk, ...], numel: Callable[[int], int], bucket_bytes: int, element_bytes: int
) -> tuple[Bucket, ...]:
    """Fuses units into buckets, chunk by chunk, last chunk first: the order in which gradients become ready.

    numel: dense parameters of a unit on this rank. A unit is never split, so a bucket may exceed bucket_bytes by one.
    """
    buckets: list[Bucket] = []
    for chunk in sorted(chunks, key=lambda chunk: -chunk.stage):
        last, total = chunk.last, 0
        for unit in range(chunk.last, chunk.first - 1, -1):
            total += numel(unit)
            if total * element_bytes >= bucket_bytes or unit == chunk.first:
                buckets.append(Bucket(f"b{len(buckets)}", chunk.stage, unit, last, total))
                last, total = unit - 1, 0
    return tuple(buckets)


def reduce_gradients(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], last_microbatch: int, *,
    zero: int, reduce_dtype: str, overlap: bool, completes: str = "B",
) -> list[Launch]:  # fmt: skip
    """Adds one reduction per bucket on stream `data`.

    overlap: launched right after the backward segment that completes the bucket; else after the last compute action.
    completes: verb of what completes a gradient, B, or W where the backward pass is split.
    """
    verb = "reduce_scatter" if zero else "reduce"
    reduced: list[Launch] = []
    by_segment = {}
    for bucket in buckets:
        chunk = next(chunk for chunk in chunks if chunk.stage == bucket.stage)
        index = len(chunk.segments) - 1 - chunk.segments.index((bucket.first, bucket.last)) if overlap else None
        segment = index if len(chunk.segments) > 1 else None
        by_segment.setdefault(Action(completes, bucket.stage, last_microbatch, segment).name, []).append(bucket)

    def action(bucket: Bucket, after: str) -> Launch:
        size = bucket.numel * DTYPE_BYTES[reduce_dtype]
        return Launch("data", Action(verb, bucket=bucket.name, size_bytes=size, method="none", after=(after,)))

    for launch in launches:
        reduced.append(launch)
        if overlap:
            reduced += [action(bucket, launch.action.name) for bucket in by_segment.get(launch.action.name, ())]
    if not overlap:
        last = last_compute(launches)
        reduced += [action(bucket, last) for bucket in buckets]
    return reduced


def reduce_tied_embedding(launches: list[Launch], size_bytes: int) -> list[Launch]:
    """Adds the all-reduce of a token embedding that first and last stage share, after the data reduction.

    Megatron-LM's finalize_model_grads runs them in this order.
    """
    after = [launch.action.name for launch in launches if launch.action.verb in ("reduce", "reduce_scatter")]
    after = after[-1:] or [last_compute(launches)]
    return [
        *launches,
        Launch("tied", Action("reduce", bucket="tied", size_bytes=size_bytes, method="none", after=tuple(after))),
    ]


def update_parameters(launches: list[Launch]) -> list[Launch]:
    """Adds the dense optimizer step, after every reduction but those that a bucket's own update awaits."""
    own = {name for launch in launches if launch.action.verb == "optimizer" for name in launch.action.after}
    waits = [launch.action.name for launch in launches if launch.action.verb in ("reduce", "reduce_scatter")]
    return [*launches, Launch("compute", Action("optimizer", after=tuple(name for name in waits if name not in own)))]


def gather_parameters(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], *, dtype: str, overlap: bool
) -> list[Launch]:
    """Adds ZeRO 1's all-gather of updated parameters (Rajbhandari et al. 2020, arXiv 1910.02054).

    overlap: at the start of the step, bucket by bucket in forward order, beside the first microbatch's forward, whose
    segments wait for their bucket; else after the optimizer, and the step ends with it.
    """
    forward_order = sorted(buckets, key=lambda bucket: (bucket.stage, bucket.first))

    def action(bucket: Bucket, after: tuple[str, ...] = ()) -> Action:
        size = bucket.numel * DTYPE_BYTES[dtype]
        return Action("all_gather", bucket=bucket.name, size_bytes=size, method="none", after=after)

    if not overlap:
        return launches + [Launch("data", action(bucket, ("optimizer",))) for bucket in forward_order]
    needs: dict[str, tuple[str, ...]] = {}
    for bucket in forward_order:
        chunk = next(chunk for chunk in chunks if chunk.stage == bucket.stage)
        segment = chunk.segments.index((bucket.first, bucket.last)) if len(chunk.segments) > 1 else None
        needs[Action("F", bucket.stage, 0, segment).name] = (action(bucket).name,)
    waiting = [
        Launch(launch.stream, launch.action.waiting_for(*needs[launch.action.name]))
        if launch.action.name in needs
        else launch
        for launch in launches
    ]
    return [Launch("data", action(bucket)) for bucket in forward_order] + waiting


def last_compute(launches: Iterable[Launch]) -> str:
    """Name of the last forward or backward action launched."""
    return [launch.action.name for launch in launches if launch.action.verb in COMPUTE_VERBS][-1]

"""Collectives and sends of a process group, with the calls that the executor makes: op, ranks and bytes -> a callable.

Bytes are counted as `model.work.Collective` does. Every member makes the same call; in a send the first two members do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from calibration.checks import BURST, BURST_LENGTH, BUSIEST, UNEVEN
from calibration.measure.inputs import TORCH_DTYPE
from calibration.measure.kernels import MOST_SETS, ROTATE_BYTES, rotating
from calibration.points import Point

Call = Callable[[], object]

# torch 2.13 has the first names and keeps the second for now; older ones (2.11) have only the second
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def make_call(point: Point, group: Any, device: str) -> Call:
    """A callable that takes this rank's part in one collective and returns when that is over. KeyError for an op."""
    ranks, size_bytes = point.shape[:2]
    rank = dist.get_rank(group)
    dtype = TORCH_DTYPE[point.dtype]
    count = max(1, size_bytes // dtype.itemsize)
    share = max(1, count // ranks)
    made = torch.device(device)

    def random(numel: int) -> torch.Tensor:
        return torch.rand(numel, device=made).to(dtype)

    sets = max(1, min(MOST_SETS, ROTATE_BYTES[made.type] // max(1, size_bytes)))
    return rotating([CALLS[point.op](random, count, share, ranks, rank, group) for _ in range(sets)])


def make_begin(point: Point, group: Any, device: str) -> Callable[[], Any]:
    """A callable that launches an all_reduce and returns its handle."""
    dtype = TORCH_DTYPE[point.dtype]
    tensor = torch.zeros(max(1, point.shape[1] // dtype.itemsize), dtype=dtype, device=device)
    return lambda: dist.all_reduce(tensor, group=group, async_op=True)


def _all_reduce(random, count, share, ranks, rank, group) -> Call:
    tensor = random(count).fill_(0.0)  # stays finite, however often it is summed; sums of floats take no longer
    return lambda: dist.all_reduce(tensor, group=group, async_op=True).wait()


def _burst(random, count, share, ranks, rank, group) -> Call:
    tensors = [random(count).fill_(0.0) for _ in range(BURST_LENGTH)]

    def call() -> None:
        for work in [dist.all_reduce(tensor, group=group, async_op=True) for tensor in tensors]:
            work.wait()

    return call


def _gather(random, count, share, ranks, rank, group) -> Call:
    part = random(share)
    return lambda: _all_gather(part.new_empty(share * ranks), part, group=group, async_op=True).wait()


def _scatter(random, count, share, ranks, rank, group) -> Call:
    whole = random(share * ranks)
    return lambda: _reduce_scatter(whole.new_empty(share), whole, group=group, async_op=True).wait()


def _all_to_all(random, count, share, ranks, rank, group) -> Call:
    whole = random(share * ranks)
    return lambda: dist.all_to_all_single(torch.empty_like(whole), whole, group=group)


def _all_to_all_uneven(random, count, share, ranks, rank, group) -> Call:
    """The first member sends `BUSIEST` times the mean, the others what is left; each to all alike."""
    first = max(1, round(BUSIEST * count / ranks))
    other = max(1, round((ranks - BUSIEST) / (ranks - 1) * count / ranks))
    sent, received = [first if rank == 0 else other] * ranks, [first, *[other] * (ranks - 1)]
    whole = random(sum(sent))
    return lambda: dist.all_to_all_single(whole.new_empty(sum(received)), whole, received, sent, group=group)


def _broadcast(random, count, share, ranks, rank, group) -> Call:
    tensor = random(count)
    first = dist.get_global_rank(group, 0)
    return lambda: dist.broadcast(tensor, first, group=group, async_op=True).wait()


def _send(random, count, share, ranks, rank, group) -> Call:
    tensor = random(count)
    if rank == 0:
        return lambda: dist.isend(tensor, dist.get_global_rank(group, 1), group=group).wait()
    if rank == 1:
        return lambda: dist.irecv(tensor, dist.get_global_rank(group, 0), group=group).wait()
    return lambda: None


def _sendrecv(random, count, share, ranks, rank, group) -> Call:
    sent, arrives = random(count), random(count)
    after, before = (dist.get_global_rank(group, (rank + step) % ranks) for step in (1, -1))
    messages = [(dist.isend, sent, after), (dist.irecv, arrives, before)]

    def call() -> None:
        for work in dist.batch_isend_irecv([dist.P2POp(*message, group) for message in messages]):
            work.wait()

    return call


CALLS: dict[str, Callable[..., Call]] = {
    "all_reduce": _all_reduce,
    "all_gather": _gather,
    "reduce_scatter": _scatter,
    "all_to_all": _all_to_all,
    UNEVEN: _all_to_all_uneven,
    BURST: _burst,
    "broadcast": _broadcast,
    "send": _send,
    "sendrecv": _sendrecv,
}

"""Groups: the process groups of a layout, one for each stream and kind, and their collectives.

Collectives of one stream run in order; two streams never share a process group, so that their orders cannot cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from simulator.executor.spans import Child, Recorder, now_ns
from simulator.layout import Layout

STREAM_GROUPS = (("compute", "tensor"), ("embedding", "tensor"), ("data", "data"), ("embedding", "table"),
                 ("tied", "tied"))  # fmt: skip
"""(stream, kind of group) that a program can use."""

# torch 2.13 has the first names and keeps the second for now; older ones (2.11) have only the second
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class Pending:
    """A collective that is under way; `wait` gives its result."""

    def __init__(self, work, result: torch.Tensor, child: Child | None):
        self.work, self.result, self.child = work, result, child

    def wait(self) -> torch.Tensor:
        if self.work is not None:
            begin = now_ns()
            self.work.wait()
            if self.child is not None:
                self.child.end_ns = now_ns()
                self.child.waits.append((begin, self.child.end_ns))
        return self.result


class Group:
    """This rank's group of one kind. size, index: members, and this rank's place among them.

    Tensors are gathered and scattered along their first dimension. `element_bytes` is what the program counts for an
    element. A group of one does nothing. recorder: where collectives are written down; None: nowhere.
    """

    def __init__(self, kind: str, ranks: Sequence[int], rank: int, handle, recorder: Recorder | None = None):
        self.kind, self.ranks, self.handle, self.recorder = kind, tuple(ranks), handle, recorder
        self.size, self.index = len(self.ranks), self.ranks.index(rank)

    def begin_all_reduce(
        self, tensor: torch.Tensor, element_bytes: int, *, largest: bool = False, priced: bool = True
    ) -> Pending:
        """Sums (or takes the largest of) all members' tensors, in place."""
        if self.size == 1:
            return Pending(None, tensor, None)
        child = self._child("all_reduce", tensor.numel() * element_bytes, priced)
        op = dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM
        return Pending(dist.all_reduce(tensor, op, group=self.handle, async_op=True), tensor, child)

    def begin_all_gather(self, tensor: torch.Tensor, element_bytes: int) -> Pending:
        """All members' tensors, one after another."""
        if self.size == 1:
            return Pending(None, tensor, None)
        tensor = tensor.contiguous()
        whole = tensor.new_empty((self.size * tensor.shape[0], *tensor.shape[1:]))
        child = self._child("all_gather", whole.numel() * element_bytes)
        return Pending(_all_gather(whole, tensor, group=self.handle, async_op=True), whole, child)

    def begin_reduce_scatter(self, tensor: torch.Tensor, element_bytes: int) -> Pending:
        """This member's part of the sum of all members' tensors."""
        if self.size == 1:
            return Pending(None, tensor, None)
        part = tensor.new_empty((tensor.shape[0] // self.size, *tensor.shape[1:]))
        child = self._child("reduce_scatter", tensor.numel() * element_bytes)
        return Pending(_reduce_scatter(part, tensor.contiguous(), group=self.handle, async_op=True), part, child)

    def all_reduce(self, tensor: torch.Tensor, element_bytes: int, **how) -> torch.Tensor:
        return self.begin_all_reduce(tensor, element_bytes, **how).wait()

    def all_gather(self, tensor: torch.Tensor, element_bytes: int) -> torch.Tensor:
        return self.begin_all_gather(tensor, element_bytes).wait()

    def reduce_scatter(self, tensor: torch.Tensor, element_bytes: int) -> torch.Tensor:
        return self.begin_reduce_scatter(tensor, element_bytes).wait()

    def all_to_all(self, tensor: torch.Tensor, sent: list[int], received: list[int]) -> torch.Tensor:
        """Rows of `tensor`, sent[i] of them to member i; returns the rows that came, in order of members."""
        if self.size == 1:
            return tensor
        out = tensor.new_empty((sum(received), *tensor.shape[1:]))
        dist.all_to_all_single(out, tensor.contiguous(), received, sent, group=self.handle)
        return out

    def _child(self, op: str, size_bytes: int, priced: bool = True) -> Child | None:
        return self.recorder.child(op, self.kind, size_bytes, priced) if self.recorder is not None else None


def make_groups(
    layout: Layout, rank: int, recorder: Recorder, *, backend: str, timeout: timedelta, streams: Sequence[str]
) -> dict[tuple[str, str], Group]:
    """This rank's groups by (stream, kind). Every rank makes all groups, in the same order, as torch demands.

    streams: those of the whole program; collectives on the compute stream are written down by the recorder.
    """
    made = {}
    for stream, kind in STREAM_GROUPS:
        notes = recorder if stream == "compute" else None
        for ranks in dict.fromkeys(tuple(layout.group(kind, member)) for member in range(layout.ranks)):
            handle = None
            if len(ranks) > 1 and (stream in streams or stream == "compute"):
                handle = dist.new_group(list(ranks), timeout=timeout, backend=backend)
            if rank in ranks:
                made[stream, kind] = Group(kind, ranks, rank, handle, notes)
    return made

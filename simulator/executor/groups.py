"""Groups: the process groups of a layout, one for each stream and kind, and their collectives.

Collectives of one stream run in order; two streams never share a process group, so that their orders cannot cross.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from simulator.executor.emulated import least_s, wait_until
from simulator.executor.job import peer_of
from simulator.executor.spans import Child, Recorder
from simulator.layout import Layout
from simulator.program.program import Program

STREAM_GROUPS = (("compute", "tensor"), ("compute", "context"), ("embedding", "tensor"), ("embedding", "context"),
                 ("data", "data"), ("shard", "shard"), ("replica", "replica"), ("samples", "samples"),
                 ("embedding", "table"),
                 ("embedding", "table_node"), ("embedding", "table_across"), ("tied", "tied"))  # fmt: skip
"""(stream, kind of group) that a program can use."""

# torch 2.13 has the first names and keeps the second for now; older ones (2.11) have only the second
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class Pending:
    """A collective that is under way; `wait` gives its result. child: where its times are noted, by `recorder`.
    due_ns: when it may be over at the earliest (`emulated.py`).
    """

    def __init__(
        self, work, result: torch.Tensor, child: Child | None, recorder: Recorder | None = None, due_ns: int = 0
    ):
        self.work, self.result, self.child, self.recorder, self.due_ns = work, result, child, recorder, due_ns
        if work is not None and child is not None and recorder is not None:
            child.waits.append((child.begin_ns, recorder.now()))  # the call itself: a calibrated collective holds it

    def wait(self) -> torch.Tensor:
        if self.work is None:
            return self.result
        if self.child is None or self.recorder is None:
            self.work.wait()
            wait_until(self.due_ns)
            return self.result
        begin = self.recorder.now()
        self.work.wait()
        wait_until(self.due_ns)
        self.child.end_ns = self.recorder.now()
        self.child.waits.append((begin, self.child.end_ns))
        return self.result


class _Together:
    """Several messages as one."""

    def __init__(self, works: Sequence):
        self.works = works

    def wait(self) -> None:
        for work in self.works:
            work.wait()


class Group:
    """This rank's group of one kind. size, index: members, and this rank's place among them.

    Tensors are gathered and scattered along their first dimension. `element_bytes` is what the program counts for an
    element. A group of one does nothing. recorder: where collectives are written down; None: nowhere. seconds_a_byte:
    of an emulated slow link (`emulated.py`).
    """

    def __init__(
        self, kind: str, ranks: Sequence[int], rank: int, handle, recorder: Recorder | None = None,
        seconds_a_byte: float = 0.0,
    ):  # fmt: skip
        self.kind, self.ranks, self.handle, self.recorder = kind, tuple(ranks), handle, recorder
        self.seconds_a_byte = seconds_a_byte
        self.size, self.index = len(self.ranks), self.ranks.index(rank)

    def begin_all_reduce(
        self, tensor: torch.Tensor, element_bytes: int, *, largest: bool = False, priced: bool = True
    ) -> Pending:
        """Sums (or takes the largest of) all members' tensors, in place."""
        if self.size == 1:
            return Pending(None, tensor, None)
        child = self._child("all_reduce", tensor.numel() * element_bytes, priced)
        op = dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM
        due_ns = self._due_ns("all_reduce", tensor.numel() * element_bytes)
        work = dist.all_reduce(tensor, op, group=self.handle, async_op=True)
        return Pending(work, tensor, child, self.recorder, due_ns)

    def begin_all_gather(self, tensor: torch.Tensor, element_bytes: int) -> Pending:
        """All members' tensors, one after another."""
        if self.size == 1:
            return Pending(None, tensor, None)
        tensor = tensor.contiguous()
        whole = tensor.new_empty((self.size * tensor.shape[0], *tensor.shape[1:]))
        child = self._child("all_gather", whole.numel() * element_bytes)
        due_ns = self._due_ns("all_gather", whole.numel() * element_bytes)
        work = _all_gather(whole, tensor, group=self.handle, async_op=True)
        return Pending(work, whole, child, self.recorder, due_ns)

    def begin_reduce_scatter(self, tensor: torch.Tensor, element_bytes: int) -> Pending:
        """This member's part of the sum of all members' tensors.

        Gloo has the call but sends as much as for an all-reduce (torch 2.13, measured on loopback: 2 (n - 1) S / n a
        rank where a ring needs half of it); messages are counted as the program counts them all the same.
        """
        if self.size == 1:
            return Pending(None, tensor, None)
        part = tensor.new_empty((tensor.shape[0] // self.size, *tensor.shape[1:]))
        child = self._child("reduce_scatter", tensor.numel() * element_bytes)
        due_ns = self._due_ns("reduce_scatter", tensor.numel() * element_bytes)
        work = _reduce_scatter(part, tensor.contiguous(), group=self.handle, async_op=True)
        return Pending(work, part, child, self.recorder, due_ns)

    def begin_sendrecv(
        self, tensor: torch.Tensor, element_bytes: int, step: int, out: torch.Tensor | None = None
    ) -> Pending:
        """Sends a tensor `step` (1 or -1) places on round the ring of members; the result comes from the other side."""
        if out is None:
            out = torch.empty_like(tensor)
        target, source = (self.ranks[(self.index + way) % self.size] for way in (step, -step))
        child = self._child("sendrecv", tensor.numel() * element_bytes)
        sent = dist.P2POp(dist.isend, tensor, target, self.handle)
        arrives = dist.P2POp(dist.irecv, out, source, self.handle)
        works = dist.batch_isend_irecv([sent, arrives])
        return Pending(_Together(works), out, child, self.recorder)

    def exchange(self, tensor: torch.Tensor, element_bytes: int) -> torch.Tensor:
        """tensor[i] goes to member i; the result's i-th part comes from it."""
        out = torch.empty_like(tensor)
        child = self._child("all_to_all", tensor.numel() * element_bytes)
        work = dist.all_to_all_single(out, tensor, group=self.handle, async_op=True)
        return Pending(work, out, child, self.recorder).wait()

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
        due_ns = self._due_ns("all_to_all", tensor.numel() * tensor.element_size())
        dist.all_to_all_single(out, tensor.contiguous(), received, sent, group=self.handle)
        wait_until(due_ns)
        return out

    def _due_ns(self, op: str, size_bytes: int) -> int:
        """When a collective that begins now may be over at the earliest."""
        if not self.seconds_a_byte:
            return 0
        return time.monotonic_ns() + round(1e9 * least_s(op, size_bytes, self.size, self.seconds_a_byte))

    def _child(self, op: str, size_bytes: int, priced: bool = True) -> Child | None:
        return self.recorder.child(op, self.kind, size_bytes, priced) if self.recorder is not None else None


def make_groups(
    layout: Layout, rank: int, recorder: Recorder, *, backend: str, timeout: timedelta, streams: Sequence[str],
    seconds_a_byte: Callable[[tuple[int, ...]], float],
) -> dict[tuple[str, str], Group]:  # fmt: skip
    """This rank's groups by (stream, kind). Every rank makes all groups, in the same order, as torch demands.

    streams: those of the whole program; collectives on the compute stream are written down by the recorder.
    seconds_a_byte: of an emulated slow link between ranks, 0 where there is none.
    """
    made = {}
    for stream, kind in STREAM_GROUPS:
        notes = recorder if stream == "compute" else None
        for ranks in dict.fromkeys(tuple(layout.group(kind, member)) for member in range(layout.ranks)):
            handle = None
            if len(ranks) > 1 and (stream in streams or stream == "compute"):
                handle = dist.new_group(list(ranks), timeout=timeout, backend=backend)
            if rank in ranks:
                made[stream, kind] = Group(kind, ranks, rank, handle, notes, seconds_a_byte(ranks))
    return made


def make_pipeline_groups(
    program: Program, *, backend: str, timeout: timedelta
) -> dict[tuple[str, int, int], dist.ProcessGroup | None]:
    """{(F or B, from rank, to rank): process group} of every transfer of a program.

    Gloo tells messages apart by tags: None, the default group. NCCL runs the messages of two ranks in order whatever
    they are, so each direction of each pair has a group of its own. Every rank makes all of them, in the same order.
    """
    transfers: dict[tuple[str, int, int], None] = {}
    for own in program.unfolded().ranks:
        for launch in own.launches:
            if launch.action.verb == "send":
                transfers.setdefault((launch.action.of, own.rank, peer_of(program, own.rank, launch.action)))
    if backend != "nccl":
        return dict.fromkeys(transfers)
    return {key: dist.new_group(sorted(key[1:]), timeout=timeout, backend=backend) for key in transfers}

"""Groups of the executor for a piece by itself: one whose other members need no time, and one that really meets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic_ns as now_ns

from simulator.executor.groups import Group, Pending


class StubGroup(Group):
    """A group whose other members need no time: collectives return at once what they would have to fill."""

    def __init__(self, kind: str, size: int, rank: int = 0):
        super().__init__(kind, tuple(range(size)), rank, None)

    def begin_all_reduce(self, tensor, element_bytes, **how) -> Pending:
        return Pending(None, tensor, None)

    def begin_all_gather(self, tensor, element_bytes) -> Pending:
        return Pending(None, tensor.repeat(self.size, *[1] * (tensor.dim() - 1)) if self.size > 1 else tensor, None)

    def begin_reduce_scatter(self, tensor, element_bytes) -> Pending:
        return Pending(None, tensor[: tensor.shape[0] // self.size].contiguous(), None)

    def begin_sendrecv(self, tensor, element_bytes, step, out=None) -> Pending:
        return Pending(None, tensor.clone() if out is None else out, None)

    def exchange(self, tensor, element_bytes):
        return tensor

    def all_to_all(self, tensor, sent, received):
        """Every member sends what this one sends itself."""
        first = sum(sent[: self.index])
        return tensor[first : first + sent[self.index]].repeat(self.size, *[1] * (tensor.dim() - 1))


class MeetingGroup(Group):
    """A tensor group that really meets, every collective before the unit goes on.

    met_ns: what this rank has spent in meetings so far. meetings: (op, bytes, begin_ns, end_ns) of each, in order.
    """

    def __init__(self, kind: str, ranks: Sequence[int], rank: int, handle):
        super().__init__(kind, ranks, rank, handle)
        self.met_ns = 0
        self.meetings: list[tuple[str, int, int, int]] = []

    def begin_all_reduce(self, tensor, element_bytes, *, largest: bool = False, priced: bool = True) -> Pending:
        def begin(whole, each):
            return Group.begin_all_reduce(self, whole, each, largest=largest)

        return self._meet("all_reduce", tensor.numel() * element_bytes if priced else 0, begin, tensor)

    def begin_all_gather(self, tensor, element_bytes) -> Pending:
        return self._meet("all_gather", self.size * tensor.numel() * element_bytes, super().begin_all_gather, tensor)

    def begin_reduce_scatter(self, tensor, element_bytes) -> Pending:
        return self._meet("reduce_scatter", tensor.numel() * element_bytes, super().begin_reduce_scatter, tensor)

    def begin_sendrecv(self, tensor, element_bytes, step, out=None) -> Pending:
        def begin(whole, each):
            return Group.begin_sendrecv(self, whole, each, step, out)

        return self._meet("sendrecv", tensor.numel() * element_bytes, begin, tensor)

    def _meet(self, op: str, size_bytes: int, begin: Callable[..., Pending], tensor) -> Pending:
        start = now_ns()
        result = begin(tensor, 0).wait()  # bytes are for a recorder, and there is none
        end = now_ns()
        self.met_ns += end - start
        if size_bytes:  # what the program has no word for has no price either
            self.meetings.append((op, size_bytes, start, end))
        return Pending(None, result, None)

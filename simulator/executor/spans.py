"""What a rank writes down while it runs: for each action when it was ready, began and ended, and what it sent.

All times are integer ns of CLOCK_MONOTONIC (`time.monotonic_ns`), one clock for all processes of a machine: readings of
two ranks compare to the ns. Between machines the clocks have no common origin: a run over several machines is aligned
on the step's barrier, so that ranks of different machines compare only to within the barrier's skew (about a round
trip).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator import kinds

now_ns = time.monotonic_ns

KIND_OF_GROUP = {"tensor": kinds.TENSOR, "context": kinds.CONTEXT}
"""Of the collectives inside compute actions."""


@dataclass(slots=True)
class Child:
    """A collective inside a compute action, as `model.work.Collective` counts it.

    begin_ns: launched. end_ns: known to be over. waits: the times when the action stood still for
    it, the call that launched it included.
    priced: False for what the program has no word for (counts that go ahead of an exchange, gradients of replicated
    parameters under sequence parallelism, norms of LAMB's shards).
    """

    op: str
    group: str
    size_bytes: int
    begin_ns: int
    end_ns: int = 0
    waits: list[tuple[int, int]] = field(default_factory=list)
    priced: bool = True


@dataclass(slots=True)
class Span:
    """One action of one step. sent, received: bytes of this rank's message, 0 for none."""

    ready_ns: int = 0
    start_ns: int = 0
    end_ns: int = 0
    sent: int = 0
    received: int = 0
    children: list[Child] = field(default_factory=list)
    recomputed: list[tuple[int, int]] = field(default_factory=list)

    def parts(self, kind: str) -> tuple[tuple[str, int], ...]:
        """What the action's time was spent on, in order; sums to its length. kind: of time without a name."""
        marks = [(begin, end, KIND_OF_GROUP[child.group]) for child in self.children for begin, end in child.waits]
        marks = sorted((max(begin, self.start_ns), min(end, self.end_ns), label) for begin, end, label in marks)
        found: list[tuple[str, int]] = []

        def plain(begin: int, end: int) -> None:
            for first, last in self.recomputed:
                low, high = max(first, begin), min(last, end)
                if low < high:
                    found.append((kind, low - begin))
                    found.append((kinds.RECOMPUTE, high - low))
                    begin = high
            found.append((kind, end - begin))

        at = self.start_ns
        for begin, end, label in marks:
            if end <= at:
                continue
            plain(at, max(at, begin))
            found.append((label, end - max(at, begin)))
            at = end
        plain(at, self.end_ns)
        return tuple((label, ns) for label, ns in found if ns > 0)


class Recorder:
    """Collects the children of the action that the calling thread runs; one for the compute stream of a rank.

    now: reads the clock, or, on a device, marks the place in its stream for a later reading (`cuda_streams.py`).
    """

    def __init__(self, now: Callable[[], int] = now_ns) -> None:
        self.span, self.now = Span(), now

    def child(self, op: str, group: str, size_bytes: int, priced: bool = True) -> Child:
        """A collective that begins now, inside the current action."""
        child = Child(op, group, size_bytes, self.now(), priced=priced)
        self.span.children.append(child)
        return child

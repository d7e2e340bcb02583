"""Streams of a CUDA rank: the host launches actions in order, events order the streams and carry the times.

No GPU has run this file yet: it follows the CPU's road action by action, but is untested.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from simulator.executor.spans import Span, now_ns
from simulator.executor.streams import Task


class CudaStreams:
    """One CUDA stream for each stream of the program; compute is the device's current one.

    A mark is an event on the current stream; a step's marks become ns of the host's clock once the step is over,
    from one event whose host time is known (its uncertainty is that of one synchronisation, some 10 us).
    """

    def __init__(self, names: Sequence[str], device: torch.device):
        self.device = device
        self.streams = {name: torch.cuda.Stream(device) for name in names}
        self.marks: list[torch.cuda.Event] = []
        self.kept: list[torch.Tensor] = []

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor, kept alive until the step is over: another stream reads it, and the allocator knows of none but
        the one that made it."""
        self.kept.append(tensor)
        return tensor

    def now(self) -> int:
        """A mark, by its number below zero: `_resolve` turns it into ns."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(event)
        return -len(self.marks)

    def run(self, compute: Sequence[Task], others: dict[str, Sequence[Task]], count: int) -> list[Span]:
        """Runs one step of `count` actions and returns their spans, in launch order."""
        main = torch.cuda.current_stream(self.device)
        torch.cuda.synchronize(self.device)
        base = torch.cuda.Event(enable_timing=True)
        base.record()
        base.synchronize()
        zero, self.marks = now_ns(), []
        spans = [Span() for _ in range(count)]
        over: dict[int, torch.cuda.Event] = {}
        tasks = [(task, main) for task in compute]
        tasks += [(task, self.streams[name]) for name, own in others.items() for task in own]
        for (place, after, action), stream in sorted(tasks, key=lambda pair: pair[0][0]):
            with torch.cuda.stream(stream):
                for other in after:
                    stream.wait_event(over[other])
                span = spans[place]
                span.ready_ns = span.start_ns = self.now()
                action(span)
                span.end_ns = self.now()
                over[place] = self.marks[-1]
        torch.cuda.synchronize(self.device)
        self.kept.clear()
        times = [zero + round(base.elapsed_time(event) * 1e6) for event in self.marks]
        for span in spans:
            _resolve(span, times)
        return spans

    def close(self) -> None:
        """Nothing to end."""


def _resolve(span: Span, times: list[int]) -> None:
    """Marks become ns, in place."""

    def read(mark: int) -> int:
        return times[-mark - 1] if mark < 0 else mark

    for name in ("ready_ns", "start_ns", "end_ns"):
        setattr(span, name, read(getattr(span, name)))
    span.recomputed = [(read(begin), read(end)) for begin, end in span.recomputed]
    for child in span.children:
        child.begin_ns, child.end_ns = read(child.begin_ns), read(child.end_ns)
        child.waits = [(read(begin), read(end)) for begin, end in child.waits]

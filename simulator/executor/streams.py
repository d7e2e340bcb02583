"""Streams of a CPU rank: the caller's thread computes, one thread for each other stream communicates.

A stream runs its actions in launch order, each after the actions it names; nothing else orders two streams, just as on
a GPU. A communication thread sleeps in gloo with the interpreter's lock released.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from torch import Tensor

from simulator.executor.spans import Span, now_ns

Task = tuple[int, Sequence[int], Callable[[Span], None]]
"""(place in the launch list, places of the actions that must be over first, what to do)."""


class HostStreams:
    """fatal: called, on the thread where it happened, with the exception that an action raised; must not return."""

    def __init__(self, names: Sequence[str], fatal: Callable[[BaseException], None]):
        self.fatal = fatal
        self.queues: dict[str, queue.SimpleQueue] = {name: queue.SimpleQueue() for name in names}
        for name, tasks in self.queues.items():
            threading.Thread(target=self._serve, args=(tasks,), name=f"stream {name}", daemon=True).start()

    now = staticmethod(now_ns)

    @staticmethod
    def keep(tensor: Tensor) -> Tensor:
        """The tensor: a CPU rank's memory is freed when nobody can read it any more."""
        return tensor

    def run(self, compute: Sequence[Task], others: dict[str, Sequence[Task]], count: int) -> list[Span]:
        """Runs one step of `count` actions and returns their spans, in launch order."""
        spans = [Span() for _ in range(count)]
        over = [threading.Event() for _ in range(count)]
        for name, tasks in others.items():
            self.queues[name].put((tasks, spans, over))
        _follow(compute, spans, over)
        for event in over:
            event.wait()
        return spans

    def close(self) -> None:
        """Ends the threads."""
        for tasks in self.queues.values():
            tasks.put(None)

    def _serve(self, tasks: queue.SimpleQueue) -> None:
        try:
            while (work := tasks.get()) is not None:
                _follow(*work)
        except BaseException as error:
            self.fatal(error)


def _follow(tasks: Sequence[Task], spans: list[Span], over: list[threading.Event]) -> None:
    for place, after, action in tasks:
        for other in after:
            over[other].wait()
        span = spans[place]
        span.ready_ns = span.start_ns = now_ns()
        action(span)
        span.end_ns = now_ns()
        over[place].set()

"""Copies beside kernels: on a CPU a thread that copies memory, on a GPU a stream that copies to or from pinned memory.

One copy of a few hundred KiB is over before a kernel is: so many run in a row that they last `ROW_NS` by themselves.
The CUDA half has not yet run on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from calibration.points import Point

ROW_NS = 6_000_000
MOST_COPIES = 2048
BASE_CALLS = 12
"""Kernels that are timed by themselves, to compare with."""

PER_MILLION = 1_000_000


class Row(Protocol):
    """Copies in a row that were launched."""

    def is_over(self) -> bool: ...

    def taken_ns(self) -> int:
        """Waits for the last copy; ns from the first one's begin to its end."""


class HostRow:
    """By a thread of its own."""

    def __init__(self, taken: Future[int]):
        self._taken = taken

    def is_over(self) -> bool:
        return self._taken.done()

    def taken_ns(self) -> int:
        return self._taken.result()


class DeviceRow:
    """On a stream of its own, between two events."""

    def __init__(self, begin: torch.cuda.Event, end: torch.cuda.Event):
        self._begin, self._end = begin, end

    def is_over(self) -> bool:
        return self._end.query()

    def taken_ns(self) -> int:
        self._end.synchronize()
        return round(self._begin.elapsed_time(self._end) * 1e6)


def make_rows(point: Point, device: str) -> Callable[[int], Row]:
    """A callable that launches so many copies in a row: `copy` in memory, `copy_in` and `copy_out` over a host link."""
    count = max(1, point.shape[1] // 4)
    if device == "cpu":
        source, target, thread = torch.rand(count), torch.empty(count), ThreadPoolExecutor(1)
        return lambda copies: HostRow(thread.submit(_copy_row, source, target, copies))
    on_host, on_device = torch.rand(count).pin_memory(), torch.empty(count, device=device)
    source, target = (on_host, on_device) if point.op == "copy_in" else (on_device, on_host)
    stream = torch.cuda.Stream()

    def begin(copies: int) -> Row:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(stream):
            first.record()
            for _ in range(copies):
                target.copy_(source, non_blocking=True)
            last.record()
        return DeviceRow(first, last)

    return begin


def _copy_row(source: torch.Tensor, target: torch.Tensor, copies: int) -> int:
    start = time.perf_counter_ns()
    for _ in range(copies):
        target.copy_(source)
    return time.perf_counter_ns() - start


def take_copies(
    begin: Callable[[int], Row], compute: Callable[[], object], barrier: Callable[[], None], repeats: int
) -> list[list[int]]:  # fmt: skip
    """[ns of a copy beside kernels, ns of one by itself, slowdown of the kernels in millionths] of each repeat on this
    rank. compute: one short kernel until it is over. Every rank does the same at the same time."""
    begin(1).taken_ns()
    compute()
    copies = min(MOST_COPIES, max(1, ROW_NS // max(1, begin(1).taken_ns())))
    found = []
    for _ in range(repeats):
        barrier()
        alone_ns = begin(copies).taken_ns()
        barrier()
        base_ns = time.perf_counter_ns()
        for _ in range(BASE_CALLS):
            compute()
        base_ns = (time.perf_counter_ns() - base_ns) / BASE_CALLS
        barrier()
        start, calls = time.perf_counter_ns(), 0
        row = begin(copies)
        while not row.is_over():
            compute()
            calls += 1
        computed = time.perf_counter_ns() - start
        beside_ns = row.taken_ns()
        slowdown = computed / (calls * base_ns) if calls else 0.0
        found.append([max(1, beside_ns // copies), max(1, alone_ns // copies), round(PER_MILLION * slowdown)])
    return found

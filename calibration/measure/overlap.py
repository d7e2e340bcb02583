"""Collectives among kernels: between two of them, and beside them all the time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns as now_ns
from typing import Any

BASE_CALLS = 12
"""Matrix products that are timed by themselves, to compare with."""

PER_MILLION = 1_000_000


def take_spans(
    call: Callable[[], object], compute: Callable[[], object] | None, barrier: Callable[[], None],
    wait: Callable[[], None], repeats: int,
) -> list[list[int]]:  # fmt: skip
    """[start_ns, end_ns] of each repeat on this rank: of the collective, with the time of both kernels taken off.

    compute: a short kernel that runs before and after, as in a step: its launch disturbs the threads that communicate,
    and what they still do when the collective is over disturbs the next kernel. None: nothing runs around it.
    """
    found = []
    base = 0
    if compute is not None:
        compute()
        barrier()
        base = round(2 * _each_ns(compute, wait))
    for _ in range(repeats):
        barrier()
        start = now_ns()
        if compute is not None:
            compute()
        call()
        if compute is not None:
            compute()
        wait()
        found.append([start, max(start + 1, now_ns() - base)])
    return found


def _each_ns(compute: Callable[[], object], wait: Callable[[], None]) -> float:
    """Median ns of a kernel by itself."""
    found = []
    for _ in range(BASE_CALLS):
        start = now_ns()
        compute()
        wait()
        found.append(now_ns() - start)
    return sorted(found)[len(found) // 2]


def finished(compute: Callable[[], object], wait: Callable[[], None]) -> Callable[[], None]:
    """The kernel until it is over: what is only launched slows nothing yet."""

    def run() -> None:
        compute()
        wait()

    return run


def take_overlaps(
    begin: Callable[[], Any], compute: Callable[[], object], barrier: Callable[[], None], repeats: int
) -> list[list[int]]:
    """[start_ns, end_ns, slowdown of compute in millionths] of each repeat on this rank; 0 where nothing overlapped.

    begin: launches the collective. compute: one short kernel. Every rank computes all the time: from the launch until
    its part of the collective is done.
    """
    for _ in range(2):
        compute()
        begin().wait()
    found = []
    for _ in range(repeats):
        barrier()
        alone_ns = now_ns()
        for _ in range(BASE_CALLS):
            compute()
        alone_ns = (now_ns() - alone_ns) / BASE_CALLS
        barrier()
        start = now_ns()
        handle, calls, computed = begin(), 0, start
        while not handle.is_completed():
            compute()
            calls, computed = calls + 1, now_ns()
        handle.wait()
        slowdown = (computed - start) / (calls * alone_ns) if calls else 0.0
        found.append([start, now_ns(), round(PER_MILLION * slowdown)])
    return found

"""Samples of one callable: long enough to time, each marked where the process lost its core meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calibration.measure.clock import Clock
from simulator.executor.run_delay import RunDelay

SHORTEST_NS = 50_000
"""A sample of a shorter kernel is the mean of as many calls as fill this: a clock read costs 50 ns, and noise."""

LOST_SHARE = 0.02
LOST_NS = 20_000
"""A sample is contaminated when its thread waited for a core longer than both of these (schedstat's run delay). The
wait is taken off, but caches were lost too: such samples count only where there are no others."""

WARM_ROUNDS = 2
MOST_ROUNDS = 24
"""Of one staged job in one visit."""


@dataclass(frozen=True, slots=True)
class Sample:
    """ns of one call, less what it waited for a core; contaminated: that was more than a trifle."""

    ns: int
    contaminated: bool


def take_samples(call: Callable[[], object], window_ns: int, clock: Clock, *, most: int = 64) -> list[Sample]:
    """Samples of `call` until the window is over, at least two. One warm-up call is not counted."""
    delay = RunDelay()
    call()
    clock.wait()
    calls = max(1, SHORTEST_NS // max(1, clock.time_ns(call)))
    found: list[Sample] = []
    end = time.perf_counter_ns() + window_ns
    while len(found) < 2 or (time.perf_counter_ns() < end and len(found) < most):
        found.append(sample_once(call, calls, clock, delay))
    return found


def take_staged(
    rounds: Callable[[], Iterator[tuple[int, Callable[[], object]]]], num_stages: int, window_ns: int, clock: Clock, *,
    warm: bool,
) -> list[list[Sample]]:  # fmt: skip
    """Samples of each stage of a job that runs in rounds, until the window is over. warm: it has run before; else the
    first rounds are not counted.

    A stage that occurs several times in a round gives as many samples. What a round does between stages is not timed.
    """
    delay = RunDelay()
    found: list[list[Sample]] = [[] for _ in range(num_stages)]
    end = time.perf_counter_ns() + window_ns
    for number in range(0 if warm else -WARM_ROUNDS, MOST_ROUNDS):
        for stage, call in rounds():
            clock.wait()
            sample = sample_once(call, 1, clock, delay)
            if number >= 0:
                found[stage].append(sample)
        if number < 0:
            end = time.perf_counter_ns() + window_ns
        elif time.perf_counter_ns() >= end:
            break
    return found


def sample_once(call: Callable[[], object], calls: int, clock: Clock, delay: RunDelay) -> Sample:
    """One sample: so many calls in a row."""
    before = delay()
    taken = clock.time_ns(call, calls)
    lost = min(taken, delay() - before)
    return Sample(max(1, (taken - lost) // calls), lost > max(LOST_NS, LOST_SHARE * taken))

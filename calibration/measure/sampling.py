"""Samples of one callable: long enough to time, each marked where the process lost its core meanwhile.

A sample is what passed on the clock, waits for a core included: a step waits for cores too, and where ranks meet, each
pays for the other's waits. What moves whole visits is told apart later (`journal.Sampled.level`).
"""

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
"""A sample is marked when its thread waited for a core longer than both of these (schedstat's run delay)."""

WARM_ROUNDS = 2
MOST_ROUNDS = 24
"""Of one staged job in one visit."""

Rounds = Callable[[], Iterator[tuple[int, Callable[[], object]]]]
"""Makes one round of (stage, callable)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """ns of one call; lost: it waited for a core for more than a trifle."""

    ns: int
    lost: bool


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
    rounds: Rounds, num_stages: int, window_ns: int, clock: Clock, *, warm: bool,
    met_ns: Callable[[], int] | None = None,
) -> list[list[Sample]]:  # fmt: skip
    """Samples of each stage of a job that runs in rounds, until the window is over. warm: it has run before; else the
    first rounds are not counted.

    A stage that occurs several times in a round gives as many samples. What a round does between stages is not timed.
    The first sample of a visit is left out where its stage has others: before it came a barrier, not a neighbour.
    met_ns: what the running callable has spent so far in meetings with other ranks; it is taken off. Ranks that meet
    must run as many rounds: one is counted, whatever the window.
    """
    delay = RunDelay()
    found: list[list[Sample]] = [[] for _ in range(num_stages)]
    first_stage = None
    end = time.perf_counter_ns() + window_ns
    for number in range(0 if warm else -WARM_ROUNDS, MOST_ROUNDS):
        for stage, call in rounds():
            clock.wait()
            sample = sample_once(call, 1, clock, delay, met_ns)
            if number >= 0:
                first_stage = stage if first_stage is None else first_stage
                found[stage].append(sample)
        if number < 0:
            end = time.perf_counter_ns() + window_ns
        elif met_ns is not None or time.perf_counter_ns() >= end:
            break
    if first_stage is not None and len(found[first_stage]) > 1:
        del found[first_stage][0]
    return found


def sample_once(
    call: Callable[[], object], calls: int, clock: Clock, delay: RunDelay, met_ns: Callable[[], int] | None = None
) -> Sample:
    """One sample: so many calls in a row, less what they spent in meetings."""
    before, met = delay(), met_ns() if met_ns is not None else 0
    taken = clock.time_ns(call, calls)
    own = taken - (met_ns() - met if met_ns is not None else 0)
    return Sample(max(1, own // calls), delay() - before > max(LOST_NS, LOST_SHARE * taken))

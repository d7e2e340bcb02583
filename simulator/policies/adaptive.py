"""Adaptive compression: each gradient bucket compressed only where the whole step gets shorter by it.

Whether encoding, a smaller message and decoding beat the overlap that is lost is not decided by a rule but asked of
whatever prices a step: the simulator's own graph. The choice is data, `plan.compression.decided`, which programs are
lowered from: who runs one needs no prices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Choice = tuple[str, ...]
"""A method for each bucket."""

NONE = "none"

MOST_RUNS = 96
"""Steps that are priced for one choice, at most: enough for 30 buckets."""

ALTERNATIVES = 2
"""Methods that are tried on a single bucket: those that were best on all."""


def choose(order: Sequence[int], methods: Sequence[str], step_ns: Callable[[Choice], int]) -> Choice:
    """The methods of buckets, greedily.

    order: places of buckets, most exposed first. methods: candidates beside none. step_ns: of a whole choice.
    First the best single method for all; then bucket by bucket, in order, none and the methods that were best for all,
    kept where the step gets shorter. So no choice is slower than none, or than any candidate by itself. Of equals the
    first of (none, *methods) is kept.
    """
    singles = (NONE, *methods)
    times = {method: step_ns((method,) * len(order)) for method in singles}
    by_time = sorted(singles, key=lambda method: (times[method], singles.index(method)))
    tried = dict.fromkeys((*by_time[:ALTERNATIVES], NONE))
    best, best_ns, runs = (by_time[0],) * len(order), times[by_time[0]], len(singles)
    for place in order:
        for method in tried:
            if method == best[place] or runs == MOST_RUNS:
                continue
            changed = (*best[:place], method, *best[place + 1 :])
            changed_ns, runs = step_ns(changed), runs + 1
            if changed_ns < best_ns:
                best, best_ns = changed, changed_ns
    return best

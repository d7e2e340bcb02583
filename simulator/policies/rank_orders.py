"""Orders of ranks on devices: which rank runs on which device, where rank order is not the best.

Nested orders number the same coordinates with other axes fastest, as Megatron-LM's `--order` does (tp-cp-pp-dp puts a
pipeline's stages side by side). From the best of them, devices or whole nodes change places while that helps; where
there are few, all their orders are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from math import factorial

from simulator.layout import Layout

PLACEMENT = "placement"
"""The policy's name in a `--decisions` file."""

EXACT = 6
"""Units of which all 720 orders are tried."""

Order = tuple[int, ...]
"""The device of each rank."""

Cost = Callable[[Order], int]


def nested_orders(layout: Layout) -> tuple[Order, ...]:
    """The distinct ones, rank order first."""
    degrees = (layout.pipeline, layout.data, layout.context, layout.tensor)
    found: dict[Order, None] = {}
    for axes in permutations((3, 2, 1, 0)):  # the fastest first
        stride, strides = 1, [0] * len(degrees)
        for axis in axes:
            strides[axis], stride = stride, stride * degrees[axis]
        places = (layout.coordinates(rank) for rank in range(layout.ranks))
        found[tuple(sum(at * step for at, step in zip(place, strides, strict=True)) for place in places)] = None
    return tuple(found)


def best_order(start: Order, units: Sequence[Sequence[int]], cost: Cost, tries: int) -> Order:
    """The cheapest order found from one by letting units of as many devices each change places.

    units: devices that stay together. All orders of them where these are few; else pairs change places as long as that
    is cheaper, at most `tries` times tried. Never dearer than `start`; ties by what was found first.
    """
    best, least = start, cost(start)
    if len(units) <= EXACT and factorial(len(units)) <= tries:
        for turned in permutations(units):
            other = _moved(start, units, turned)
            if (found := cost(other)) < least:
                best, least = other, found
        return best
    left, improved = tries, True
    while improved:
        improved = False
        for one, other in combinations(units, 2):
            if not left:
                return best
            left -= 1
            swapped = _moved(best, (one, other), (other, one))
            if (found := cost(swapped)) < least:
                best, least, improved = swapped, found, True
    return best


def _moved(order: Order, units: Sequence[Sequence[int]], turned: Sequence[Sequence[int]]) -> Order:
    """The order in which whoever was on a unit is on the one in its place."""
    device_of = {before: after for old, new in zip(units, turned, strict=True)
                 for before, after in zip(old, new, strict=True)}  # fmt: skip
    return tuple(device_of.get(device, device) for device in order)

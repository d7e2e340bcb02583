"""What no plan of embedding tables can be below: a linear programme's bound, tightened by what cannot be cut.

Summed over all members, any plan in which no member takes longer than T holds

    sum over tables of the time of its choice <= members * T
    sum over tables of the bytes of its choice <= all budgets

and its choices are among those that one member can hold within T and its budget. The least time under the second line,
with choices mixed at will, is a linear programme with one constraint; at any price of a byte, the dearest of which is
found by bisection, its Lagrangian is below it (weak duality), so rounding cannot make the bound wrong. The bound is the
least T that its own programme allows (the threshold of Lenstra, Shmoys and Tardos 1990, Math. Programming 46).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.policies.table_sharding import Cost, Problem

STEPS = 60
"""Halvings of a price's interval: below the resolution of what it is multiplied with."""


@dataclass(frozen=True, slots=True)
class Bound:
    """time_ps: no plan's busiest member takes less. ps_per_byte: what a byte of memory is worth at it."""

    time_ps: int
    ps_per_byte: float


class Totals:
    """Of every choice, as float64 [tables, choices]: sums over members, and what one member has at least.

    time, size: over all members. peak_time, peak_size: of an owner, with the least that all other tables cost everyone.
    owners: members that own a part, each for owner_time; everywhere_time: what every member pays. Rows are filled up
    with infinity.
    """

    def __init__(self, problem: Problem):
        shape = (len(problem.choices), max(len(choices) for choices in problem.choices))
        self.time, self.size, self.peak_time, self.peak_size = (np.full(shape, np.inf) for _ in range(4))
        self.everywhere_time, self.owner_time, self.owners = (np.zeros(shape) for _ in range(3))
        self.everywhere_size, self.owner_size = (np.zeros(shape) for _ in range(2))
        self.least_everywhere = np.zeros(len(problem.choices))
        members = problem.members
        for table, choices in enumerate(problem.choices):
            for place, choice in enumerate(choices):
                width = problem.per_node if choice.of_nodes else 1
                owners, all_, own = choice.places * width, choice.everywhere, choice.owner
                if owners == members:  # then all of them pay alike
                    owners, all_ = 0, Cost(all_.time_ps + own.time_ps, all_.size_bytes + own.size_bytes)
                self.time[table, place] = members * all_.time_ps + owners * own.time_ps
                self.size[table, place] = members * all_.size_bytes + owners * own.size_bytes
                self.peak_time[table, place] = all_.time_ps + (own.time_ps if owners else 0)
                self.peak_size[table, place] = all_.size_bytes + (own.size_bytes if owners else 0)
                self.everywhere_time[table, place] = all_.time_ps
                self.owner_time[table, place] = own.time_ps if owners else 0
                self.owners[table, place] = owners
                self.everywhere_size[table, place] = all_.size_bytes
                self.owner_size[table, place] = own.size_bytes if owners else 0
            self.least_everywhere[table] = self.everywhere_time[table, : len(choices)].min()
        self.peak_time += self.least_everywhere.sum() - self.least_everywhere[:, None]
        self.members, self.memory = members, float(sum(problem.budgets))
        self.possible = self.peak_size <= max(problem.budgets)

    def least(self, allowed: np.ndarray) -> tuple[float, float] | None:
        """(least sum of times over all members, the price of a byte at it); None where memory cannot hold the tables.

        allowed: bool [tables, choices].
        """
        size = np.where(allowed, self.size, np.inf)
        if not allowed.any(axis=1).all() or size.min(axis=1).sum() > self.memory:
            return None
        time = np.where(allowed, self.time, np.inf)

        def priced(price: float) -> tuple[float, float]:
            value = np.where(allowed, time + price * np.where(allowed, size, 0.0), np.inf)
            best = value.argmin(axis=1)[:, None]
            used = np.take_along_axis(size, best, 1).sum()
            return value.min(axis=1).sum() - price * self.memory, used

        value, used = priced(0.0)
        if used <= self.memory:
            return value, 0.0
        low, high = 0.0, 1e-6
        while priced(high)[1] > self.memory and high < 1e18:
            low, high = high, 8 * high
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if priced(middle)[1] > self.memory else (low, middle)
        return max((priced(low)[0], low), (priced(high)[0], high))


def lower_bound(problem: Problem) -> Bound | None:
    """The bound of a problem; None where all budgets together cannot hold its tables, however they are cut."""
    totals = Totals(problem)
    if totals.least(totals.possible) is None:
        return None

    def enough(time_ps: int) -> float | None:
        """The price of a byte where all members together have the time; None where they have not."""
        found = totals.least(totals.possible & (totals.peak_time <= time_ps))
        return found[1] if found and found[0] <= totals.members * time_ps * (1 + 1e-12) else None

    high = int(totals.peak_time[totals.possible].max()) + int(totals.least(totals.possible)[0] / totals.members) + 1
    low = -1
    while high - low > 1 and high - low > high * 1e-7:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) is not None else (middle, high)
    return Bound(low + 1, enough(high) or 0.0)

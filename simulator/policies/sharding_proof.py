"""The bound of `sharding_bound.py`, raised by looking at whole choices.

A linear programme mixes a table's choices and cuts its parts at will. Here every table has one choice. A combination of
choices is ruled out for a time T where a sum over all members exceeds what they have: of times, of bytes, of both at
the price of a byte, or of what times become under a function f with f(x) + f(y) + ... <= 1 for all x + y + ... <= 1
(dual feasible functions: Lueker 1983; Fekete and Schepers 2001, Math. Programming 91), which knows that two parts above
T/2 need two members. Parts share what their combination's costs for everyone leave of T, and of memory. All
combinations are looked at table by table, those ruled out already left out; where that leaves too many, T is not ruled
out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simulator.policies.sharding_bound import Bound, Totals
from simulator.policies.table_sharding import Problem

ROUNDS = 8
"""Halvings of the interval between the bound and the best plan: to 1/256 of the gap."""

MAX_PARTS = 200_000
"""Of combinations that are looked at together: their number times the tables of each."""

ROUNDINGS = (1, 2, 3, 4, 5)
"""k of the functions floor((k + 1) x) / k."""

TOLERANCE = 1e-9


def raised(problem: Problem, bound: Bound, best_ps: int) -> int:
    """The largest time found that no plan can be below, at least the bound's. best_ps: of a plan that there is."""
    totals = Totals(problem)
    low, high = bound.time_ps, best_ps
    for _ in range(ROUNDS):
        middle = (low + high) // 2
        if middle <= low:
            break
        low, high = (middle, high) if _is_ruled_out(problem, totals, middle) else (low, middle)
    return low


def _is_ruled_out(problem: Problem, totals: Totals, time_ps: int) -> bool:
    """Whether every combination of choices is, for plans in which no member takes longer."""
    allowed = totals.possible & (totals.peak_time <= time_ps)
    found = totals.least(allowed)
    if found is None:
        return True
    rows = list(_rows(problem, totals, time_ps, found[1]))
    used = np.where(allowed[:, :, None], np.stack([row for row, _ in rows], axis=2), np.inf)
    room = np.array([limit for _, limit in rows]) * (1 + TOLERANCE)
    order = np.argsort(-totals.time.min(axis=1), kind="stable")
    rest = _sums_of_rest(used.min(axis=1)[order])
    # [tables, choices, (time, bytes)]: what everyone pays, an owner's part, what one member has
    everywhere = np.stack([totals.everywhere_time, totals.everywhere_size], axis=2)
    owner = np.stack([totals.owner_time, totals.owner_size], axis=2)
    least = np.where(allowed[:, :, None], everywhere, np.inf).min(axis=1)
    limits = np.array([time_ps, max(problem.budgets)], float) - _sums_of_rest(least[order])
    sums, base, chosen = np.zeros((1, len(rows))), np.zeros((1, 2)), np.zeros((1, 0), int)
    for depth, table in enumerate(order):
        places = np.flatnonzero(allowed[table])
        sums = (sums[:, None] + used[table, places][None]).reshape(-1, len(rows))
        base = (base[:, None] + everywhere[table, places][None]).reshape(-1, 2)
        chosen = np.column_stack((np.repeat(chosen, len(places), axis=0), np.tile(places, len(chosen))))
        kept = (sums + rest[depth + 1] <= room).all(axis=1)
        tables, left = order[: depth + 1], limits[depth + 1] - base
        kept[kept] = _have_room(totals, owner[tables, chosen[kept]], totals.owners[tables, chosen[kept]], left[kept])
        sums, base, chosen = sums[kept], base[kept], chosen[kept]
        if not len(sums) or chosen.size > MAX_PARTS:
            return not len(sums)
    return False


def _sums_of_rest(rows: np.ndarray) -> np.ndarray:
    """Of every row and of none: the sum of it and all after it."""
    return np.vstack([np.cumsum(rows[::-1], axis=0)[::-1], np.zeros(rows.shape[1])])


def _have_room(totals: Totals, parts: np.ndarray, owners: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Whether the parts of each combination pass for such as there is room for in what everyone's share leaves.

    parts: float64 [combinations, tables, (time, bytes)]; owners: [combinations, tables], how many own such a part;
    left: [combinations, (time, bytes)] of one member.
    """
    fits = (parts <= left[:, None]).all(axis=(1, 2)) & (left >= 0).all(axis=1)
    for unit in range(2):
        shares = parts[:, :, unit] / np.maximum(left[:, unit], 1)[:, None]
        for function in FUNCTIONS:
            fits &= (owners * function(shares)).sum(axis=1) <= totals.members * (1 + TOLERANCE)
    return fits


def _rows(problem: Problem, totals: Totals, time_ps: int, ps_per_byte: float) -> Iterator[tuple[np.ndarray, float]]:
    """(what each choice adds, what the sum may be), float64 [tables, choices] each."""
    members, memory = totals.members, totals.memory
    yield totals.time, members * time_ps
    yield totals.size, memory
    if ps_per_byte:
        yield totals.time + ps_per_byte * totals.size, members * time_ps + ps_per_byte * memory
    # what every member pays at least is nobody's room; what a choice costs everyone besides is a part on each member
    free = time_ps - totals.least_everywhere.sum()
    if free <= 0:
        return
    extra = (totals.everywhere_time - totals.least_everywhere[:, None]) / free
    own = totals.owner_time / free
    for function in FUNCTIONS:
        yield members * function(extra) + totals.owners * function(own), members
    most = max(problem.budgets)
    if not ps_per_byte:  # memory is not what limits
        return
    worth = ps_per_byte * most
    for function in FUNCTIONS:
        size = members * function(totals.everywhere_size / most) + totals.owners * function(totals.owner_size / most)
        yield size, members
        yield totals.time + worth * size, members * (time_ps + worth)


def _rounded_down(k: int):
    def function(share: np.ndarray) -> np.ndarray:
        scaled = (k + 1) * share
        return np.where(np.abs(scaled - np.rint(scaled)) < TOLERANCE, share, np.floor(scaled) / k)

    return function


def _without_small(k: int):
    """Parts below 1 / (k + 1) are nothing, those that leave less than that a whole member."""
    small = 1 / (k + 1)

    def function(share: np.ndarray) -> np.ndarray:
        return np.where(share > 1 - small + TOLERANCE, 1.0, np.where(share < small - TOLERANCE, 0.0, share))

    return function


FUNCTIONS = tuple(make(k) for k in ROUNDINGS for make in (_rounded_down, _without_small))

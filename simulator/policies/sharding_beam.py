"""Construction for `sharding_search.py`: tables are dealt out one after another to several plans beside each other.

Under a limit on every member's time each plan grows by each choice of the next table, on the places that it fills least
(or, packing tightly, on the fullest that take it); plans of the best rank stay. All plans of a step are rows of arrays,
so that many cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from simulator.policies.sharding_bound import Bound, Totals
from simulator.policies.sharding_state import State
from simulator.policies.table_sharding import Choice, Problem

CLEARLY = 1.02
"""Factor by which any way to part a table costs more than what every member would pay alike."""


class Style(NamedTuple):
    """How plans grow and rank. tight: parts go to the fullest place that takes them, and uneven plans, which leave
    whole members to the parts to come, rank first; else even ones do. memory: what evenness in memory is worth.
    even_first: tables that every member should pay for come before those that are dearer."""

    tight: bool = False
    memory: float = 0.0
    even_first: bool = True


@dataclass(frozen=True, slots=True)
class _Plans:
    """Rows of plans. times, sizes: int64 [plans, members]; spent: cost so far; parent, choice: how each has grown
    from a row of the step before; places: int64 [plans, most places], filled up with -1."""

    times: np.ndarray
    sizes: np.ndarray
    spent: np.ndarray
    parent: np.ndarray
    choice: np.ndarray
    places: np.ndarray

    def take(self, rows: np.ndarray) -> _Plans:
        return _Plans(*(getattr(self, name)[rows] for name in self.__slots__))


class Beam:
    """Of one problem. value: of each choice, its time on all members and its bytes' worth, at the bound's price."""

    def __init__(self, problem: Problem, bound: Bound, style: Style):
        totals = Totals(problem)
        self.problem, self.style, self.price, self.memory = problem, style, bound.ps_per_byte, totals.memory
        self.budgets = np.array(problem.budgets, np.int64)
        self.value = [
            [float(row_time[place] + self.price * row_size[place]) for place in range(len(choices))]
            for choices, row_time, row_size in zip(problem.choices, totals.time, totals.size, strict=True)
        ]
        least, size = [min(row) for row in self.value], totals.size.min(axis=1)
        all_, memory = sum(least) or 1.0, self.memory or 1.0
        weight = [one / all_ + style.memory * float(held) / memory for one, held in zip(least, size, strict=True)]
        even = [style.even_first and self._is_everyones(table) for table in range(len(least))]
        self.order = sorted(range(len(least)), key=lambda table: (not even[table], -weight[table], table))
        self.least = least

    def _is_everyones(self, table: int) -> bool:
        """Whether the cheapest choice is clearly one that every member pays for. Such a table leaves plans as even as
        they are, and finds no room where others have filled a single member."""
        choices = self.problem.choices[table]
        parts = (value for value, choice in zip(self.value[table], choices, strict=True) if choice.places)
        return min(self.value[table]) * CLEARLY < min(parts, default=inf)

    def within(self, limit_ps: float, width: int, ends: int = 1, start: State | None = None) -> list[State]:
        """Up to `ends` plans in which no member takes longer than the limit, the least busy first."""
        start = start or State(self.problem)
        missing = [table for table in self.order if start.placed[table] is None]
        room = self.problem.members * limit_ps * (1 + 1e-12) + self.price * self.memory
        spent = sum(
            self.value[table][self.problem.choices[table].index(placed[0])]
            for table, placed in enumerate(start.placed) if placed is not None
        )  # fmt: skip
        rest = sum(self.least[table] for table in missing)
        plans = _Plans(
            start.times[None],
            start.sizes[None],
            np.full(1, spent),
            np.zeros(1, int),
            np.zeros(1, int),
            np.zeros((1, 1), int),
        )
        history = []
        for table in missing:
            rest -= self.least[table]
            grown = [
                more for which in range(len(self.problem.choices[table]))
                if (more := self._grown(plans, table, which, limit_ps, room - rest)) is not None
            ]  # fmt: skip
            if not grown:
                return []
            plans = self._best(grown, limit_ps, width)
            history.append(plans)
        last = np.lexsort((np.arange(len(plans.times)), plans.times.max(axis=1)))[:ends]
        return [self._state(start, missing, history, int(row)) for row in last]

    def _grown(self, plans: _Plans, table: int, which: int, limit_ps: float, room: float) -> _Plans | None:
        choice = self.problem.choices[table][which]
        rows = np.flatnonzero(plans.spent + self.value[table][which] <= room)
        times, sizes = plans.times[rows] + choice.everywhere.time_ps, plans.sizes[rows] + choice.everywhere.size_bytes
        fits = (times.max(axis=1, initial=0) <= limit_ps) & (sizes <= self.budgets).all(axis=1)
        rows, times, sizes = rows[fits], times[fits], sizes[fits]
        places = np.full((len(rows), 1), -1)
        if choice.places and len(rows):
            places = self._places(times, sizes, choice, limit_ps)
            fits = places[:, -1] >= 0
            rows, times, sizes, places = rows[fits], times[fits], sizes[fits], places[fits]
            width = self.problem.per_node if choice.of_nodes else 1
            owners = (places[:, :, None] * width + np.arange(width)).reshape(len(rows), choice.places * width)
            row = np.arange(len(rows))[:, None]
            times[row, owners] += choice.owner.time_ps
            sizes[row, owners] += choice.owner.size_bytes
        if not len(rows):
            return None
        return _Plans(
            times, sizes, plans.spent[rows] + self.value[table][which], rows, np.full(len(rows), which), places
        )

    def _places(self, times: np.ndarray, sizes: np.ndarray, choice: Choice, limit_ps: float) -> np.ndarray:
        """Places of a choice in each plan, best first; the last is -1 where there are not enough."""
        times, sizes = times + choice.owner.time_ps, sizes + choice.owner.size_bytes
        full = np.maximum(times / limit_ps, sizes / np.maximum(self.budgets, 1))
        if self.style.tight:
            full = 2.0 - full
        full[(times > limit_ps) | (sizes > self.budgets)] = np.inf
        if choice.of_nodes:
            full = full.reshape(len(full), -1, self.problem.per_node).max(axis=2)
        if self.problem.closed is not None:
            full[:, self.problem.closed_place(choice)] = np.inf
        best = np.argsort(full, axis=1, kind="stable")[:, : choice.places]
        if best.shape[1] < choice.places:
            return np.full((len(full), choice.places), -1)
        best[np.isinf(np.take_along_axis(full, best, 1)).any(axis=1)] = -1
        return best

    def _best(self, grown: list[_Plans], limit_ps: float, width: int) -> _Plans:
        """Those of the best rank; of two that load members alike, one."""
        most = max(more.places.shape[1] for more in grown)
        filled = [np.pad(more.places, ((0, 0), (0, most - more.places.shape[1])), constant_values=-1) for more in grown]
        names = ("times", "sizes", "spent", "parent", "choice")
        plans = _Plans(
            *(np.concatenate([getattr(more, name) for more in grown]) for name in names), np.concatenate(filled)
        )
        shares = plans.times / limit_ps
        spread = np.sqrt((shares * shares).mean(axis=1))
        rank = plans.spent / self.problem.members / limit_ps + (-spread if self.style.tight else spread)
        if self.style.memory:
            fills = plans.sizes / np.maximum(self.budgets, 1)
            rank = rank + self.style.memory * np.sqrt((fills * fills).mean(axis=1))
        order = np.argsort(rank, kind="stable")
        same = np.round(rank[order], 12)
        first = np.append(True, same[1:] != same[:-1])
        return plans.take(order[first][:width])

    def _state(self, start: State, missing: list[int], history: list[_Plans], row: int) -> State:
        state = start.copy()
        for table, plans in zip(reversed(missing), reversed(history), strict=True):
            places = tuple(sorted(int(place) for place in plans.places[row] if place >= 0))
            state.add(table, self.problem.choices[table][int(plans.choice[row])], places)
            row = int(plans.parent[row])
        return state

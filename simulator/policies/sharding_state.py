"""A plan of embedding tables as it grows: what every member has, and where one more choice fits best."""

from __future__ import annotations

import numpy as np

from simulator.policies.table_sharding import Choice, Problem

Placed = tuple[Choice, tuple[int, ...]]


class State:
    """placed: (choice, places) of each table, None where it has none yet. times, sizes: int64 [members]."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.times = np.zeros(problem.members, np.int64)
        self.sizes = np.zeros(problem.members, np.int64)
        self.budgets = np.array(problem.budgets, np.int64)
        self.placed: list[Placed | None] = [None] * len(problem.choices)

    def copy(self) -> State:
        """The same plan, to grow in another way."""
        other = State.__new__(State)
        other.problem, other.budgets, other.placed = self.problem, self.budgets, list(self.placed)
        other.times, other.sizes = self.times.copy(), self.sizes.copy()
        return other

    @property
    def standing(self) -> tuple[int, int]:
        """What the search lowers: the busiest member's time, and how many are as busy."""
        most = int(self.times.max())
        return most, int((self.times == most).sum())

    def add(self, table: int, choice: Choice, places: tuple[int, ...]) -> None:
        self._change(choice, places, 1)
        self.placed[table] = (choice, places)

    def remove(self, table: int) -> Placed:
        choice, places = self.placed[table]
        self._change(choice, places, -1)
        self.placed[table] = None
        return choice, places

    def places_for(self, choice: Choice, limit_ps: float, without: tuple[int, ...] = ()) -> tuple[int, ...] | None:
        """The places that a choice fills least, none of them beyond the limit or its budget; None where there are none.

        How full: the larger of a member's shares of the limit and of its budget, a node as its fullest member; the
        lowest place on ties.
        """
        times, sizes = self.times + choice.everywhere.time_ps, self.sizes + choice.everywhere.size_bytes
        if choice.everywhere != (0, 0) and (times.max() > limit_ps or (sizes > self.budgets).any()):
            return None
        if not choice.places:
            return ()
        times, sizes = times + choice.owner.time_ps, sizes + choice.owner.size_bytes
        full = np.maximum(times / limit_ps, sizes / np.maximum(self.budgets, 1))
        full[(times > limit_ps) | (sizes > self.budgets)] = np.inf
        if choice.of_nodes:
            full = full.reshape(-1, self.problem.per_node).max(axis=1)
        full[[*without, *(() if self.problem.closed is None else (self.problem.closed_place(choice),))]] = np.inf
        best = np.argsort(full, kind="stable")[: choice.places]
        if len(best) < choice.places or full[best[-1]] == np.inf:
            return None
        return tuple(sorted(best.tolist()))

    def _change(self, choice: Choice, places: tuple[int, ...], sign: int) -> None:
        self.times += sign * choice.everywhere.time_ps
        self.sizes += sign * choice.everywhere.size_bytes
        if places:
            owners = list(self.problem.owners(choice, places))
            self.times[owners] += sign * choice.owner.time_ps
            self.sizes[owners] += sign * choice.owner.size_bytes

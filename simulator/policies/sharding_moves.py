"""Local search: a plan of embedding tables made less busy where it is busiest.

One of the busiest member's tables has a part moved to another place, exchanged for a part of another table, or is
sharded in another way; a change stays where the busiest member is less busy, or fewer members are as busy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simulator.policies.sharding_state import State

MAX_CHANGES = 2000
EXCHANGES = 4
"""Most promising partners that each part is tried against."""


def improve(state: State, enough_ps: float) -> None:
    """Changes the plan until nothing helps, or until its busiest member takes no longer than `enough_ps`."""
    for _ in range(MAX_CHANGES):
        if state.times.max() <= enough_ps or not (_move(state) or _exchange(state) or _shard_otherwise(state)):
            break


def _move(state: State) -> bool:
    """A part goes to the place that has most left."""
    busiest, most = state.times.argmax(), state.times.max()
    for table in tables_on(state, busiest):
        choice, places = state.placed[table]
        place = busiest // state.problem.per_node if choice.of_nodes else busiest

        def move(table=table, choice=choice, places=places, place=place) -> None:
            state.remove(table)
            target = state.places_for(replace(choice, places=1), most - 1, without=places)
            if target is not None:
                state.add(table, choice, tuple(sorted({*places, *target} - {int(place)})))

        if _helps(state, move):
            return True
    return False


def _exchange(state: State) -> bool:
    """A part against a part of another table on another member."""
    busiest, most = int(state.times.argmax()), int(state.times.max())
    parts = [
        (table, member, *choice.owner)
        for table, (choice, places) in enumerate(state.placed) if choice.places and not choice.of_nodes
        for member in places
    ]  # fmt: skip
    if not parts:
        return False
    tables, members, times, sizes = np.array(parts, np.int64).T
    for table in tables_on(state, busiest):
        choice, places = state.placed[table]
        if choice.of_nodes:
            continue
        here, there = state.times[busiest] - choice.owner.time_ps, state.times[members] + choice.owner.time_ps
        after = np.maximum(here + times, there - times)
        after[np.isin(members, places)] = most
        after[state.sizes[busiest] - choice.owner.size_bytes + sizes > state.budgets[busiest]] = most
        after[state.sizes[members] + choice.owner.size_bytes - sizes > state.budgets[members]] = most
        for part in np.argsort(after, kind="stable")[:EXCHANGES]:
            other, member = int(tables[part]), int(members[part])
            if after[part] >= most or busiest in state.placed[other][1]:
                continue

            def exchange(table=table, other=other, member=member) -> None:
                for moved, source, target in ((table, busiest, member), (other, member, busiest)):
                    choice, places = state.remove(moved)
                    state.add(moved, choice, tuple(sorted({*places, target} - {source})))

            if _helps(state, exchange):
                return True
    return False


def _shard_otherwise(state: State) -> bool:
    """A table of the busiest member, or one that costs everyone, by another of its choices."""
    most = state.times.max()
    everyone = [table for table, (choice, _) in enumerate(state.placed) if choice.everywhere.time_ps]
    for table in dict.fromkeys((*tables_on(state, state.times.argmax()), *everyone)):
        for choice in state.problem.choices[table]:
            if choice == state.placed[table][0]:
                continue

            def shard(table=table, choice=choice) -> None:
                state.remove(table)
                places = state.places_for(choice, most)
                if places is not None:
                    state.add(table, choice, places)

            if _helps(state, shard):
                return True
    return False


def tables_on(state: State, member: int) -> list[int]:
    """Tables of which a member owns a part, the largest part first."""
    found = []
    for table, (choice, places) in enumerate(state.placed):
        if choice.places and (member // state.problem.per_node if choice.of_nodes else member) in places:
            found.append((-choice.owner.time_ps, table))
    return [table for _, table in sorted(found)]


def _helps(state: State, change: Callable[[], None]) -> bool:
    """Whether a change of some tables lowers the standing; one that does not is taken back."""
    before, kept = state.standing, list(state.placed)
    change()
    if None not in state.placed and state.standing < before:
        return True
    changed = [table for table, old in enumerate(kept) if state.placed[table] is not old]
    for table in changed:
        if state.placed[table] is not None:
            state.remove(table)
    for table in changed:
        state.add(table, *kept[table])
    return False

"""Search for `table_sharding.py`: construction under falling limits, local search, and what is taken apart and rebuilt.

Limits on every member's time are tried upwards from the bound until construction (`sharding_beam.py`, in a few styles)
succeeds, then by halving; each plan is improved (`sharding_moves.py`). Then, again and again, the tables of the busiest
member and some others are taken out of the best plan and put back under a lower limit. Draws come from a generator with
a fixed seed: a plan is a function of its problem.
"""

from __future__ import annotations

import numpy as np

from simulator.policies.sharding_beam import Beam, Style
from simulator.policies.sharding_bound import Bound, Totals
from simulator.policies.sharding_moves import improve, tables_on
from simulator.policies.sharding_state import State
from simulator.policies.table_sharding import Problem

STYLES = (
    *(Style(memory=memory) for memory in (0.3, 1.0, 3.0, 0.0)),
    *(Style(memory=memory, even_first=False) for memory in (0.3, 1.0)),
    Style(tight=True, even_first=False),
)
"""Even memory is worth something even where all of it would do: parts have to find room somewhere."""

FEW_TABLES = 256
"""With more, two styles and less width: parts are smaller, and what is left uneven is soon rebuilt."""

LIMITS = (1.0, 1.01, 1.03, 1.1, 1.3, 2.0, 4.0, 1e2, 1e4, 1e9)
"""Times of the bound under which construction is tried."""

HALVINGS = 6
WIDTH, ENDS = 16, 3
"""Plans that grow beside each other, and those of them that are improved."""

FEWER = (2, 3)
"""Width and halvings for more than `FEW_TABLES`."""

REBUILDS, REBUILD_WIDTH, TAKEN_OUT = 100, 4, (2, 8)
"""How often at most (five times for each table), plans that grow beside each other, fewest and most tables."""

GOOD_ENOUGH = 1.001
"""Times of the bound at which the search ends."""

EQUAL, TRIFLE = 1.001, 1e-4
"""Costs of a table that count as the same: by factor, or by share of what a member may take."""


def search(problem: Problem, bound: Bound) -> State | None:
    """The best plan found; None where none was found that fits."""
    few = len(problem.choices) <= FEW_TABLES
    beams = [Beam(problem, bound, style) for style in (STYLES if few else STYLES[:2])]
    width, halvings = (WIDTH, HALVINGS) if few else FEWER
    enough = bound.time_ps * GOOD_ENOUGH

    def built(limit_ps: float) -> State | None:
        plans = [plan for beam in beams for plan in beam.within(limit_ps, width, ENDS)]
        for plan in plans:
            improve(plan, enough)
        return min(plans, key=lambda plan: plan.standing, default=None)

    found = (built(max(bound.time_ps, 1) * factor) for factor in LIMITS)
    best = next((plan for plan in found if plan is not None), None)
    if best is None:
        return None
    low, high = bound.time_ps, int(best.times.max())
    for _ in range(halvings):
        if best.times.max() <= enough or high - low <= 1:
            break
        middle = (low + high) // 2
        plan = built(middle)
        if plan is None:
            low = middle
        else:
            best = min(best, plan, key=lambda plan: plan.standing)
            high = min(middle, int(best.times.max()))
    return _rebuilt(best, beams, enough)


def _rebuilt(best: State, beams: list[Beam], enough_ps: float) -> State:
    """The plan after parts of it were rebuilt under lower limits."""
    problem, tables = best.problem, len(best.placed)
    draw = np.random.Generator(np.random.Philox(tables))
    for turn in range(min(REBUILDS, 5 * tables)):
        most = best.times.max()
        if most <= enough_ps:
            break
        other = int(draw.integers(problem.members))
        out = dict.fromkeys((*tables_on(best, int(best.times.argmax())), *tables_on(best, other)))
        more = draw.permutation(tables).tolist()
        out = list(dict.fromkeys((*out, *more[: max(0, int(draw.integers(*TAKEN_OUT)) - len(out))])))
        start = best.copy()
        for table in out:
            start.remove(table)
        for plan in beams[turn % len(beams)].within(most - 1, REBUILD_WIDTH, start=start):
            improve(plan, enough_ps)
            best = plan
    return best


def make_plain(state: State) -> None:
    """Of choices that cost all members together as good as the same, the first, where the busiest member allows it.

    Bytes are rounded to whole ids and rows, and a search by the last picosecond would follow the rounding.
    """
    problem, limit_ps = state.problem, float(state.times.max()) * EQUAL
    totals = Totals(problem).time
    for table, choices in enumerate(problem.choices):
        old, places = state.placed[table]
        now = choices.index(old)
        allowed = totals[table, now] + max(totals[table, now] * (EQUAL - 1), TRIFLE * problem.members * limit_ps)
        for place in np.flatnonzero(totals[table, :now] <= allowed).tolist():
            state.remove(table)
            found = state.places_for(choices[place], limit_ps)
            state.add(table, *((old, places) if found is None else (choices[place], found)))
            if found is not None:
                break


def smallest(problem: Problem) -> State:
    """The plan that takes least memory and spreads it most evenly, wherever it does not fit."""
    state, totals = State(problem), Totals(problem)
    for table in sorted(range(len(problem.choices)), key=lambda table: (-totals.size[table].min(), table)):
        choices = problem.choices[table]
        place = min(range(len(choices)), key=lambda place: (totals.peak_size[table][place], totals.size[table][place]))
        choice = choices[place]
        width = problem.per_node if choice.of_nodes else 1
        held = state.sizes.reshape(-1, width).max(axis=1).astype(float)
        if problem.closed is not None:
            held[problem.closed_place(choice)] = np.inf
        state.add(table, choice, tuple(sorted(np.argsort(held, kind="stable")[: choice.places].tolist())))
    return state

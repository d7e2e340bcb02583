"""The planner of embedding tables: by hand, against every plan there is, and as laws over random problems."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.policies.sharding_bound import lower_bound
from simulator.policies.sharding_proof import raised
from simulator.policies.table_sharding import Choice, Cost, Problem, shard_tables

EVEN = "row_wise"


def whole(time_ps, size_bytes=1):
    return Choice("table_wise", 1, owner=Cost(time_ps, size_bytes))


def halves(time_ps, size_bytes=1):
    return Choice("column_wise", 2, owner=Cost(time_ps, size_bytes))


def spread(time_ps, size_bytes=1):
    return Choice(EVEN, everywhere=Cost(time_ps, size_bytes))


def loads(problem, chosen):
    """(times, sizes) of every member, added up anew."""
    times, sizes = [0] * problem.members, [0] * problem.members
    for choice, places in chosen:
        for member in range(problem.members):
            owns = member in problem.owners(choice, places)
            times[member] += choice.everywhere.time_ps + owns * choice.owner.time_ps
            sizes[member] += choice.everywhere.size_bytes + owns * choice.owner.size_bytes
    return times, sizes


def best_of_all(problem):
    """The least time of the busiest member over every plan that fits, None where none does."""
    count = {False: problem.members, True: problem.members // problem.per_node}
    options = [
        [
            (choice, places)
            for choice in choices
            for places in combinations(range(count[choice.of_nodes]), choice.places)
        ]
        for choices in problem.choices
    ]
    found = []
    for plan in product(*options):
        times, sizes = loads(problem, plan)
        if all(size <= budget for size, budget in zip(sizes, problem.budgets, strict=True)):
            found.append(max(times))
    return min(found, default=None)


def test_whole_tables_are_dealt_evenly():
    # 7 + 2, 5 + 4 and 6 + 3 on three members: nothing is left over
    problem = Problem(tuple((whole(time),) for time in (7, 2, 5, 4, 6, 3)), (10,) * 3)
    found = shard_tables(problem)
    assert (found.time_ps, found.bound_ps, found.gap) == (9, 9, 0.0)


def test_the_largest_table_is_cut_where_whole_it_would_be_the_bottleneck():
    problem = Problem(((whole(100), halves(55)), (whole(10), halves(6))), (10,) * 2)
    found = shard_tables(problem)
    assert [choice.kind for choice, _ in found.chosen] == ["column_wise", "column_wise"]
    assert (found.time_ps, found.bound_ps) == (61, 60)  # no less than half of 2 * 55 + 10


def test_memory_decides_where_time_would_not():
    # whole tables would be fast, but a member holds one of them only; spread, they fit
    problem = Problem(((whole(10, 8), spread(12, 4)),) * 3, (12, 12))
    found = shard_tables(problem)
    assert found.fits and max(loads(problem, found.chosen)[1]) <= 12
    assert found.time_ps == best_of_all(problem)


def test_what_fits_nowhere_says_by_how_much():
    problem = Problem(((whole(1, 30), spread(1, 10)),), (8, 8, 8))
    found = shard_tables(problem)
    assert (found.fits, found.short_bytes, found.chosen[0][0].kind) == (False, 2, EVEN)


def test_a_node_takes_a_table_whole():
    of_node = Choice("table_row_wise", 1, of_nodes=True, owner=Cost(5, 1))
    problem = Problem(((of_node,), (of_node,)), (4,) * 4, per_node=2)
    found = shard_tables(problem)
    assert sorted(problem.owners(*placed) for placed in found.chosen) == [(0, 1), (2, 3)]
    assert found.time_ps == 5


def test_equal_choices_are_the_first_one_however_costs_are_rounded():
    problem = Problem(((whole(1_000_000), spread(250_001), halves(500_000)),), (10,) * 4)
    assert shard_tables(problem).chosen[0][0].kind == EVEN
    problem = Problem(((whole(1_000_000),),) * 3 + ((spread(25), whole(24), halves(12)),), (10,) * 4)
    assert shard_tables(problem).chosen[3][0].kind == EVEN


@st.composite
def problems(draw, most_tables=5, most_members=4):
    members = draw(st.integers(1, most_members))
    per_node = draw(st.sampled_from([one for one in (1, 2) if members % one == 0]))
    choices = []
    for _ in range(draw(st.integers(1, most_tables))):
        time, size = draw(st.integers(1, 1000)), draw(st.integers(1, 100))
        own = [whole(time, size), spread(-(-time * draw(st.integers(1, 4)) // members), -(-size // members))]
        if members > 1:
            asker = Cost(draw(st.integers(0, 50)), draw(st.integers(0, 5)))
            half = halves(-(-time * draw(st.integers(5, 8)) // 10), -(-size // 2))
            own.append(replace(half, everywhere=asker))
        if per_node > 1:
            own.append(Choice("table_row_wise", 1, True, Cost(), Cost(-(-time * 2 // 3), -(-size // 2))))
        choices.append(tuple(own))
    return Problem(tuple(choices), (draw(st.integers(20, 400)),) * members, per_node)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_bound_plan_and_budgets_keep_their_promises(problem):
    """The bound is below the best plan of all, the plan found is one of them, and no member holds more than it may."""
    found, best = shard_tables(problem), best_of_all(problem)
    times, sizes = loads(problem, found.chosen)
    assert max(times) == found.time_ps
    assert all(len(set(places)) == choice.places for choice, places in found.chosen)
    if best is None:
        assert not found.fits and max(sizes) - problem.budgets[0] == found.short_bytes
        return
    assert found.bound_ps <= best
    bound = lower_bound(problem)
    assert bound is not None and bound.time_ps <= found.bound_ps
    # told of a worse plan it does not know where to stop: what it rules out by itself is below the best
    assert all(raised(problem, bound, worse) <= best for worse in (best + 2, best + best // 9, 2 * best))
    if found.fits:
        assert max(sizes) <= problem.budgets[0] and found.time_ps >= best


@settings(max_examples=20, deadline=None)
@given(problems(most_tables=4, most_members=4))
def test_small_problems_are_solved_to_a_tenth(problem):
    best, found = best_of_all(problem), shard_tables(problem)
    if best is not None and found.fits:
        assert found.time_ps <= 1.1 * best


@given(problems(most_tables=12, most_members=4))
@settings(max_examples=20, deadline=None)
def test_a_plan_is_a_function_of_its_problem(problem):
    first = shard_tables(problem)
    shard_tables.cache_clear()
    assert shard_tables(problem) == first


def test_bound_knows_what_parts_leave_no_room_for_beside_what_everyone_pays():
    # 4 of 16 for everyone, and three parts of 6: two of them meet. Added up it would be (2 * 4 + 3 * 6) / 2 = 13
    tables = ((spread(4000), whole(20_000)), *[(whole(6000),)] * 3)
    found = shard_tables(Problem(tables, (10,) * 2))
    assert found.time_ps == 16_000 and found.gap < 0.001
    # of memory too: two whole tables do not fit beside 4 of 16 bytes, so one of the three is spread
    problem = Problem(((spread(1000, 4),), *[(spread(9000, 4), whole(10_000, 7))] * 3), (16,) * 2)
    found = shard_tables(problem)
    assert found.time_ps == best_of_all(problem) == 20_000 and found.gap < 0.001


def test_more_memory_never_makes_the_bound_worse():
    choices = ((whole(90, 60), spread(40, 15)),) * 4
    bounds = [lower_bound(Problem(choices, (budget,) * 3)).time_ps for budget in (60, 65, 70, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert (bounds[0], bounds[-1]) == (160, 120)  # all spread; all whole, 4 * 90 over 3 members


@pytest.mark.parametrize("members", [3, 5])
def test_two_halves_of_a_table_never_meet(members):
    found = shard_tables(Problem(((halves(5),),) * members, (10,) * members))
    assert all(len(set(places)) == 2 for _, places in found.chosen)
    assert found.time_ps == 10

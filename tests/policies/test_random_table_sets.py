"""How far above the bound plans of random table sets are, and that they never exceed a budget.

Two to six tables for each of 2 to 64 members. The goal is a twentieth; nine in ten reach it. The others have 32 or 64
members and few tables for each: there the bound, which mixes choices and cuts parts at will, is itself some per cent
below the best plan (10 tables on 32 members: 10 %, where an exact solver proves the plan found to be the best), and the
search stops short of it.
"""

from __future__ import annotations

import pytest
from table_sets import table_set

from simulator.policies.table_sharding import shard_tables

GOAL, MOST = 0.05, 0.2


def check(seed: int) -> float:
    problem, words = table_set(seed, fewest=2, most=6)
    found = shard_tables(problem)
    sizes = [0] * problem.members
    for choice, places in found.chosen:
        owners = set(problem.owners(choice, places))
        for member in range(problem.members):
            sizes[member] += choice.everywhere.size_bytes + (member in owners) * choice.owner.size_bytes
    assert found.fits and max(sizes) <= problem.budgets[0], words
    assert found.gap <= MOST, words
    return found.gap


@pytest.mark.parametrize("seed", range(6))
def test_a_random_set_is_within_a_twentieth_of_the_bound(seed):
    assert check(seed) <= GOAL


@pytest.mark.full
def test_nine_in_ten_of_a_hundred_sets_are_within_a_twentieth_of_the_bound(capsys):
    gaps = sorted(check(seed) for seed in range(100))
    assert gaps[89] <= GOAL
    with capsys.disabled():
        print(
            f"\ngap to the bound over 100 table sets: median {gaps[50]:.2%}, 90th {gaps[90]:.2%}, most {gaps[-1]:.2%}"
        )

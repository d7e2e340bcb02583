"""How far above the bound plans of random table sets are, and that they never exceed a budget.

Two to six tables for each of 2 to 64 members. The goal is a twentieth.
"""

from __future__ import annotations

import pytest
from table_sets import table_set

from simulator.policies.table_sharding import shard_tables

GOAL = 0.05

SETS = (0, 1, 2, 3, 4, 5, 40)
"""Set 40 is one of five that miss the goal where tables that every member should pay for find members already full."""


def check(seed: int) -> float:
    problem, words = table_set(seed, fewest=2, most=6)
    found = shard_tables(problem)
    sizes = [0] * problem.members
    for choice, places in found.chosen:
        owners = set(problem.owners(choice, places))
        for member in range(problem.members):
            sizes[member] += choice.everywhere.size_bytes + (member in owners) * choice.owner.size_bytes
    assert found.fits and max(sizes) <= problem.budgets[0], words
    assert found.gap <= GOAL, words
    return found.gap


@pytest.mark.parametrize("seed", SETS)
def test_a_random_set_is_within_a_twentieth_of_the_bound(seed):
    check(seed)


@pytest.mark.full
def test_each_of_a_hundred_sets_is_within_a_twentieth_of_the_bound(capsys):
    gaps = sorted(check(seed) for seed in range(100))
    with capsys.disabled():
        print(
            f"\ngap to the bound over 100 table sets: median {gaps[50]:.2%}, 90th {gaps[90]:.2%}, most {gaps[-1]:.2%}"
        )

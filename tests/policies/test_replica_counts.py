"""Microbatches of unequal replicas: no deal of as many has an earlier last end."""

import random
from itertools import product

import pytest

from simulator.policies.replica_counts import deal_microbatches


def linear(fill, each):
    return lambda count: fill + each * count


def brute_force(times, total, most):
    """The earliest last end of all deals; None where there is none."""
    deals = product(*(range(1, top + 1) for top in most))
    ends = [max(time(count) for time, count in zip(times, deal, strict=True)) for deal in deals if sum(deal) == total]
    return min(ends, default=None)


@pytest.mark.parametrize("seed", range(500))
def test_the_slowest_replica_is_as_fast_as_in_the_best_of_all_deals(seed):
    draw = random.Random(seed)
    replicas = draw.randint(1, 4)
    total = draw.randint(1, 12)
    most = [draw.choice([total, draw.randint(1, 6)]) for _ in range(replicas)]
    times = []
    for _ in range(replicas):
        steps = [draw.choice([0, 1, 3, 7, 10]) for _ in range(total + 1)]  # never less for more, whatever its form
        table = [draw.randint(0, 20) + sum(steps[:count]) for count in (0,)]
        for step in steps:
            table.append(table[-1] + step)
        times.append(table.__getitem__)
    found = deal_microbatches(times, total, most)
    best = brute_force(times, total, most)
    if best is None:
        assert found is None
        return
    assert sum(found) == total and all(1 <= count <= top for count, top in zip(found, most, strict=True))
    assert max(time(count) for time, count in zip(times, found, strict=True)) == best


def test_replicas_alike_get_equally_many_and_the_lower_ones_what_is_over():
    assert deal_microbatches([linear(5, 3)] * 4, 16, [16] * 4) == (4, 4, 4, 4)
    assert deal_microbatches([linear(5, 3)] * 4, 18, [18] * 4) == (5, 5, 4, 4)


def test_a_replica_of_half_the_speed_gets_half():
    assert deal_microbatches([linear(0, 1), linear(0, 2)], 12, [12, 12]) == (8, 4)
    assert deal_microbatches([linear(0, 1), linear(0, 2)], 12, [6, 12]) == (6, 6)  # as many as it can hold
    assert deal_microbatches([linear(0, 1), linear(0, 2)], 12, [6, 5]) is None

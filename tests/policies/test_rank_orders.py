"""Orders of ranks on devices: nested ones number the same coordinates otherwise, swaps never make one dearer."""

import random
from itertools import permutations

import pytest

from simulator.layout import Layout
from simulator.policies.rank_orders import best_order, nested_orders


def test_nested_orders_are_the_permutations_of_the_axes():
    layout = Layout(tensor=2, context=1, data=3, pipeline=2)
    orders = nested_orders(layout)
    assert orders[0] == tuple(range(12)) and len(orders) == len(set(orders)) == 6  # of three axes longer than one
    for order in orders:
        assert sorted(order) == list(range(12))
    # tensor, then pipeline, then data: a replica's stages side by side (Megatron-LM's tp-cp-pp-dp)
    compact = tuple((layout.coordinates(rank)[1] * 2 + layout.coordinates(rank)[0]) * 2 + layout.coordinates(rank)[3]
                    for rank in range(12))  # fmt: skip
    assert compact in orders


def ring_cost(distance):
    return lambda order: sum(distance[a][b] for a, b in zip(order, order[1:] + order[:1], strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_few_devices_get_the_cheapest_of_all_orders(seed):
    draw = random.Random(seed)
    count = draw.randint(2, 6)
    distance = [[draw.randint(1, 100) for _ in range(count)] for _ in range(count)]
    cost = ring_cost(distance)
    found = best_order(tuple(range(count)), [(device,) for device in range(count)], cost, tries=1000)
    assert cost(found) == min(map(cost, permutations(range(count))))


@pytest.mark.parametrize("seed", range(30))
def test_many_devices_change_places_only_where_that_is_cheaper(seed):
    draw = random.Random(seed)
    distance = [[draw.randint(1, 100) for _ in range(12)] for _ in range(12)]
    cost, start = ring_cost(distance), tuple(draw.sample(range(12), 12))
    units = [(device,) for device in range(12)]
    found = best_order(start, units, cost, tries=2000)
    assert sorted(found) == list(range(12)) and cost(found) < cost(start)
    assert best_order(found, units, cost, tries=2000) == found  # no pair that is left would help
    assert best_order(start, units, cost, tries=0) == start


def test_what_stays_together_moves_together():
    cost = lambda order: order.index(6)  # noqa: E731  (device 6 wants to be early)
    found = best_order(tuple(range(8)), [(0, 1), (2, 3), (4, 5), (6, 7)], cost, tries=100)
    assert found[:2] == (6, 7) and all(found.index(2 * node) + 1 == found.index(2 * node + 1) for node in range(4))

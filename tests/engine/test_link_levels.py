"""Levels of activities on shared links: the engine's integers against float64 max-min shares and linear programs."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import linprog

from simulator.engine.link_shares import levels
from simulator.network import fair_share
from simulator.units import FULL_RATE


def case(seed: int, alike: bool) -> tuple[list[int], list[list[tuple[int, int]]], list[int]]:
    """(caps, loads, capacities) of up to six activities on up to four links. alike: one weight on all its links."""
    rng = random.Random(seed)
    capacities = [rng.randrange(10**9, 10**11) for _ in range(rng.randint(1, 4))]
    loads = []
    for _ in range(rng.randint(1, 6)):
        weight = rng.randrange(FULL_RATE // 8, 8 * FULL_RATE)
        links = rng.sample(range(len(capacities)), rng.randint(1, len(capacities)))
        loads.append([(link, weight if alike else rng.randrange(FULL_RATE // 8, 8 * FULL_RATE)) for link in links])
    return [rng.randrange(10**8, 10**11) for _ in loads], loads, capacities


@pytest.mark.parametrize("seed", range(60))
def test_levels_are_those_of_fair_share(seed):
    """The integers against the float64 of `simulator.network`: level times weight is the rate of a weighted flow."""
    caps, loads, capacities = case(seed, alike=True)
    weights = [own[0][1] / FULL_RATE for own in loads]
    expected = fair_share(
        [tuple(link for link, _ in own) for own in loads],
        capacities,
        weights=weights,
        rate_caps=[cap * weight for cap, weight in zip(caps, weights, strict=True)],
    )
    found = [level * weight for level, weight in zip(levels(caps, loads, capacities), weights, strict=True)]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(25))
def test_levels_are_max_min_fair(seed):
    """Against linear programs: raise the lowest level as far as it goes, fix who cannot rise further, go on."""
    caps, loads, capacities = case(seed, alike=False)
    count = len(caps)
    weight = np.zeros((len(capacities), count))
    for member, own in enumerate(loads):
        for link, amount in own:
            weight[link, member] = amount / FULL_RATE
    scale = 1e9
    limits, tops = np.array(capacities) / scale, np.array(caps) / scale
    fixed: dict[int, float] = {}

    def highest(goal: np.ndarray, lowest: float | None) -> float:
        """The most that goal . (levels, t) can be; `lowest` None: with t below every open level."""
        rows = [np.append(weight[link], 0) for link in range(len(capacities))]
        right = list(limits)
        for member in set(range(count)) - set(fixed):
            row = np.zeros(count + 1)
            row[member], row[-1] = -1, 1 if lowest is None else 0
            rows.append(row)
            right.append(0 if lowest is None else -lowest * (1 - 1e-9))
        bounds = [(fixed[one], fixed[one]) if one in fixed else (0, tops[one]) for one in range(count)]
        found = linprog(-goal, np.array(rows), right, bounds=[*bounds, (0, None)])
        assert found.success
        return -found.fun

    while len(fixed) < count:
        lowest = highest(np.eye(count + 1)[-1], None)
        stuck = [
            member
            for member in range(count)
            if member not in fixed and highest(np.eye(count + 1)[member], lowest) <= lowest * (1 + 1e-6)
        ]
        assert stuck
        fixed.update(dict.fromkeys(stuck, lowest * (1 - 1e-9)))
    found = levels(caps, loads, capacities)
    assert [level / scale for level in found] == pytest.approx([fixed[one] for one in range(count)], rel=1e-5)
    assert (weight @ np.array(found) <= np.array(capacities) * (1 + 1e-12)).all()


def test_components_filled_apart_are_what_they_are_together():
    for seed in range(40):
        caps, loads, capacities = case(seed, alike=False)
        more_caps, more_loads, more_capacities = case(seed + 1000, alike=False)
        moved = [[(link + len(capacities), weight) for link, weight in own] for own in more_loads]
        together = levels([*caps, *more_caps], [*loads, *moved], [*capacities, *more_capacities])
        assert together == levels(caps, loads, capacities) + levels(more_caps, more_loads, more_capacities)

"""Interpolation between scattered points: exact where it must be, honest about what it leaves out."""

import numpy as np
import pytest

from simulator.costs.scattered import Scattered
from simulator.costs.tables import INSIDE, OUTSIDE


def points(count: int = 30, seed: int = 3) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).uniform(0, 8, (count, 3))


def smooth(where: np.ndarray) -> np.ndarray:
    return np.exp(0.1 * where[:, 0] - 0.05 * where[:, 1] + 0.02 * where[:, 2])


def test_measured_points_come_back_but_for_their_noise():
    where = points()
    grid = Scattered(where, smooth(where))
    found = np.array([grid.at(tuple(point))[0] for point in where])
    assert np.abs(np.log(found / smooth(where))).max() < 0.005


def test_a_constant_stays_constant_everywhere():
    where = points()
    grid = Scattered(where, np.full(len(where), 0.7))
    for point in ((0.0, 0.0, 0.0), (4.0, 4.0, 4.0), (100.0, -3.0, 9.0)):
        assert grid.at(point)[0] == pytest.approx(0.7, rel=1e-9)


def test_beyond_the_box_the_value_of_its_edge_holds():
    where = points()
    grid = Scattered(where, smooth(where))
    inside, outside = tuple(where.max(axis=0)), tuple(where.max(axis=0) + 5)
    assert grid.at(outside) == (grid.at(inside)[0], OUTSIDE) and grid.at(inside)[1] == INSIDE


def test_leaving_a_point_out_in_closed_form_is_leaving_it_out():
    where = points(12)
    values = smooth(where) * np.linspace(0.9, 1.1, 12)
    closed = Scattered(where, values).left_out()
    low, high = where.min(axis=0), where.max(axis=0)
    for place in range(12):
        rest = np.delete(np.arange(12), place)
        if (where[place] > low).all() and (where[place] < high).all():  # else the box shrinks and the point is clamped
            one = Scattered(where[rest], values[rest]).at(tuple(where[place]))[0]
            assert np.log(values[place] / one) == pytest.approx(closed[place], abs=1e-6)


def test_a_single_point_is_a_constant():
    grid = Scattered(np.array([[3.0]]), np.array([2.0]))
    assert grid.at((9.0,))[0] == pytest.approx(2.0) and len(grid.left_out()) == 0

"""LogGrid: exact on its points, straight in logarithms between them, clamped beyond."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs.tables import EXACT, INSIDE, OUTSIDE, LogGrid

AXIS = np.array([1.0, 4.0, 16.0])


def power_law(a, b):
    """c = a^0.5 b^-1 is a plane in logarithms, so the grid must reproduce it everywhere inside."""
    return a**0.5 / b


def plane(missing=()):
    points = [(a, b) for a in AXIS for b in AXIS if (a, b) not in missing]
    columns = {"a": np.array([a for a, _ in points]), "b": np.array([b for _, b in points])}
    return LogGrid(columns, np.array([power_law(a, b) for a, b in points]))


@given(st.floats(1, 16), st.floats(1, 16))
def test_a_power_law_is_reproduced_inside(a, b):
    value, place = plane().at((a, b))
    assert value == pytest.approx(power_law(a, b), rel=1e-9)
    assert place in (EXACT, INSIDE)


def test_points_are_exact_and_said_to_be():
    assert plane().at((4.0, 16.0)) == (pytest.approx(0.125), EXACT)


def test_beyond_the_edge_the_edge_counts():
    value, place = plane().at((64.0, 16.0))
    assert value == pytest.approx(plane().at((16.0, 16.0))[0]) and place == OUTSIDE


def test_a_hole_is_filled_from_its_neighbours_and_not_called_exact():
    value, place = plane(missing={(4.0, 4.0)}).at((4.0, 4.0))
    assert value == pytest.approx(power_law(4, 4)) and place == INSIDE


def test_a_missing_corner_is_extrapolated():
    assert plane(missing={(16.0, 16.0)}).at((16.0, 16.0))[1] == OUTSIDE


def test_a_point_given_twice_is_averaged_in_the_log():
    grid = LogGrid({"a": np.array([2.0, 2.0])}, np.array([1.0, 4.0]))
    assert grid.at((2.0,)) == (pytest.approx(2.0), EXACT)

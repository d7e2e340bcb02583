"""Measured curves of a collective: points scatter, more bytes never cost less."""

import numpy as np
import pytest

from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile_entries import CollectiveCurve, SourceGroup

SIZES = np.array([1e3, 1e4, 1e5, 1e6])


def curves(times, kind, count=None):
    source = SourceGroup(kind, "a test", "2026-01-01", "none")
    count = None if count is None else np.array(count, dtype=np.float64)
    curve = CollectiveCurve("all_reduce", 2, "intra_node", source, SIZES, np.array(times), count=count)
    return NodeCurves("all_reduce", [curve])


def test_measured_points_that_fall_meet_in_the_middle():
    """A noisy point is as often too short as too long: 4 ms for 10 kB, and 1 ms for ten times as much."""
    found = curves([0.5e-3, 4e-3, 1e-3, 2e-3], "measured")
    assert [found.time_s(2, size)[0] for size in SIZES] == pytest.approx([0.5e-3, 2e-3, 2e-3, 2e-3])
    assert [found.time_s(2, size)[1] for size in SIZES] == [True, False, False, True], "only what counts is exact"


def test_where_points_fall_the_one_with_more_repeats_weighs_more():
    found = curves([0.5e-3, 4e-3, 1e-3, 9e-3], "measured", count=[8, 30, 10, 8])
    assert found.time_s(2, 1e4)[0] == found.time_s(2, 1e5)[0] == pytest.approx(4e-3**0.75 * 1e-3**0.25)


def test_a_published_dip_is_raised():
    found = curves([0.5e-3, 4e-3, 1e-3, 5e-3], "published")
    assert [found.time_s(2, size)[0] for size in SIZES] == pytest.approx([0.5e-3, 4e-3, 4e-3, 5e-3])


@pytest.mark.parametrize("kind", ["measured", "published"])
def test_either_way_more_bytes_never_cost_less(kind):
    found = curves([2e-3, 1e-3, 3e-3, 2.5e-3], kind)
    times = [found.time_s(2, size)[0] for size in np.geomspace(500, 1e7, 60)]
    assert times == sorted(times)

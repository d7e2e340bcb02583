"""Measured curves of a collective: what else a machine does makes a sample too long, never too short."""

import numpy as np
import pytest

from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile import CollectiveCurve, SourceGroup

SIZES = np.array([1e3, 1e4, 1e5, 1e6])


def curves(times, kind):
    source = SourceGroup(kind, "a test", "2026-01-01", "none")
    return NodeCurves("all_reduce", [CollectiveCurve("all_reduce", 2, "intra_node", source, SIZES, np.array(times))])


def test_a_point_that_took_longer_than_a_larger_message_is_lowered():
    """One visit fell into another process's busy second: 4 ms for 10 kB, and 1 ms for ten times as much."""
    found = curves([0.5e-3, 4e-3, 1e-3, 2e-3], "measured")
    assert [found.time_s(2, size)[0] for size in SIZES] == pytest.approx([0.5e-3, 1e-3, 1e-3, 2e-3])
    assert [found.time_s(2, size)[1] for size in SIZES] == [True, False, True, True], "only what counts is exact"


def test_a_published_dip_is_raised():
    found = curves([0.5e-3, 4e-3, 1e-3, 5e-3], "published")
    assert [found.time_s(2, size)[0] for size in SIZES] == pytest.approx([0.5e-3, 4e-3, 4e-3, 5e-3])


@pytest.mark.parametrize("kind", ["measured", "published"])
def test_either_way_more_bytes_never_cost_less(kind):
    found = curves([2e-3, 1e-3, 3e-3, 2.5e-3], kind)
    times = [found.time_s(2, size)[0] for size in np.geomspace(500, 1e7, 60)]
    assert times == sorted(times)

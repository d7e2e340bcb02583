"""Latency of links that a scenario spells out, inside one node: charged beyond what the profile's start-up holds."""

import pytest

from simulator.cluster import Link
from simulator.cluster.inline import inline_cluster
from simulator.costs.algorithms import ring_steps
from simulator.costs.pricer import SWITCH_LATENCY_S, Pricer
from simulator.units import MIB
from topologies.devices import find_device

CHIP = find_device("a100_sxm4_80gb")


def star(latency_s: float, devices: int = 4):
    """Devices on one switch, as fast as NVLink; a message crosses two of its links."""
    ends = [(f"gpu{place}", "switch") for place in range(devices)]
    wires = [Link(one, other, 300 * 10**9, latency_s) for pair in ends for one, other in (pair, pair[::-1])]
    return inline_cluster([("gpu", devices, CHIP)], wires)


def pricer(profiles, latency_s: float, *, datasheet: bool = False) -> Pricer:
    return Pricer(None if datasheet else profiles["a100_sxm4_80gb"], star(latency_s))


@pytest.mark.parametrize("op, algorithm, steps", [
    ("all_reduce", "auto", 6), ("all_reduce", "ring", 6), ("all_gather", "auto", 3), ("reduce_scatter", "auto", 3),
    ("all_to_all", "auto", 1), ("all_reduce", "tree", 4), ("all_reduce", "halving_doubling", 4),
])  # fmt: skip
def test_every_message_that_waits_for_another_takes_the_hop_longer(profiles, op, algorithm, steps):
    """Four devices: 2(n-1) messages of a ring one after another, 2 log2(n) of a tree or of halving and doubling."""
    near, far = (pricer(profiles, latency_s) for latency_s in (0.0, 50e-6))
    one, other = (p.collective(op, 64 * MIB, p.cluster.span(range(4)), algorithm) for p in (near, far))
    assert other.duration_ns - one.duration_ns == pytest.approx(steps * (100e-6 - SWITCH_LATENCY_S) * 1e9, abs=2)
    assert other.traffic.latency_ns - one.traffic.latency_ns == pytest.approx(steps * 99_000, abs=2)
    if algorithm in ("auto", "ring") and op != "all_to_all":
        assert steps == ring_steps(op, 4)


def test_a_message_takes_the_hop_longer(profiles):
    near, far = (pricer(profiles, latency_s) for latency_s in (0.0, 50e-6))
    times = [p.transfer(MIB, p.cluster.span((0, 1))).duration_ns for p in (near, far)]
    assert times[1] - times[0] == pytest.approx(99_000, abs=2)


def test_hops_as_long_as_those_that_were_measured_cost_nothing_more(profiles):
    near, same = (pricer(profiles, latency_s) for latency_s in (0.0, SWITCH_LATENCY_S / 2))
    prices = [p.collective("all_reduce", 64 * MIB, p.cluster.span(range(4))) for p in (near, same)]
    assert prices[0] == prices[1] and prices[0].source != "extrapolated"


def test_a_datasheets_prices_know_the_hop_already():
    near, far = (pricer({}, latency_s, datasheet=True) for latency_s in (0.0, 50e-6))
    times = [p.collective("all_reduce", 64 * MIB, p.cluster.span(range(4))).duration_ns for p in (near, far)]
    assert times[1] - times[0] == pytest.approx(6 * 100_000, rel=0.01)

"""Closed forms of collective algorithms, to the nanosecond."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs import algorithms
from simulator.units import NS_PER_S, gbit_per_s, seconds_to_ns

RANKS = st.integers(2, 4096)
SIZES = st.integers(1, 2**40)
RATES = st.integers(10**6, 10**12)
LATENCIES_NS = st.integers(0, 10**6)


def close_in_ns(seconds: float, exact: Fraction) -> bool:
    """Nine digits survive the way to nanoseconds."""
    want = exact * NS_PER_S
    return abs(seconds_to_ns(seconds) - want) <= max(Fraction(1), want / 10**8)


@given(RANKS, SIZES, RATES, LATENCIES_NS)
def test_ring_all_reduce_is_2_n_minus_1_times_piece_and_latency(ranks, size, rate, latency_ns):
    exact = 2 * (ranks - 1) * (Fraction(size, ranks * rate) + Fraction(latency_ns, NS_PER_S))
    assert close_in_ns(algorithms.ring_all_reduce(ranks, size, rate, latency_ns / NS_PER_S), exact)


@given(RANKS, SIZES, RATES, LATENCIES_NS)
def test_all_gather_reduce_scatter_and_all_to_all_send_n_minus_1_pieces(ranks, size, rate, latency_ns):
    exact = (ranks - 1) * (Fraction(size, ranks * rate) + Fraction(latency_ns, NS_PER_S))
    for op in ("all_gather", "reduce_scatter", "all_to_all"):
        assert close_in_ns(algorithms.RING[op](ranks, size, rate, latency_ns / NS_PER_S), exact)


@given(RANKS, SIZES, RATES, LATENCIES_NS)
def test_all_reduce_is_reduce_scatter_then_all_gather(ranks, size, rate, latency_ns):
    latency = latency_ns / NS_PER_S
    parts = algorithms.ring_reduce_scatter(ranks, size, rate, latency)
    parts += algorithms.ring_all_gather(ranks, size, rate, latency)
    assert algorithms.ring_all_reduce(ranks, size, rate, latency) == pytest.approx(parts, rel=1e-12)


@given(RANKS)
def test_a_tree_is_as_deep_as_its_ranks_halve_and_sends_the_message_up_once_and_down_twice_in_halves(ranks):
    assert 2 ** (algorithms.tree_depth(ranks) - 1) < ranks <= 2 ** algorithms.tree_depth(ranks)
    assert algorithms.tree_volume(ranks) == (1 if ranks == 2 else 2), "two ranks only exchange halves"


def test_broadcast_pipelines_the_message_once():
    assert algorithms.ring_broadcast(8, 10**9, 10**9, 1e-6) == pytest.approx(1 + 7e-6)


def test_ring_wins_on_volume_and_tree_on_latency():
    assert 2 * algorithms.tree_depth(64) < algorithms.ring_steps("all_reduce", 64) / 10
    assert algorithms.ring_volume("all_reduce", 64) < algorithms.tree_volume(64)


def test_one_gibibyte_over_eight_ranks_at_50_gigabytes_takes_37_6_ms():
    """1 GiB, not 1 GB; 400 Gb/s are 50e9 bytes/s: 2 * 7/8 * 2^30 / 50e9."""
    seconds = algorithms.ring_all_reduce(8, 2**30, gbit_per_s(400), 0.0)
    assert seconds == pytest.approx(0.03758096384, rel=1e-12)


def test_a_sendrecv_is_one_message_however_long_the_ring():
    assert algorithms.ring_sendrecv(8, 10**9, 10**9, 1e-6) == pytest.approx(1 + 1e-6)
    assert algorithms.ring_volume("sendrecv", 8) == algorithms.ring_volume("sendrecv", 2) == 1.0
    assert algorithms.ring_sendrecv(1, 10**9, 10**9, 1e-6) == 0.0


def test_volume_and_steps_follow_from_the_formulas():
    assert algorithms.ring_volume("all_reduce", 8) == pytest.approx(1.75)
    assert algorithms.ring_volume("all_gather", 4) == pytest.approx(0.75)
    assert algorithms.ring_steps("all_reduce", 8) == 14
    assert algorithms.ring_steps("broadcast", 8) == 7

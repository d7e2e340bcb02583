"""Curves that were measured on one link, asked for another: bytes take as long as that link needs, all else stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.costs.algorithms import ring_volume
from simulator.units import MIB

SIZES = (64, 4096, 65536, MIB, 64 * MIB, 1024 * MIB)
RANKS = 8
NVLINK3 = 300e9


def seconds(pricers, size: int, slower: float, op: str = "all_reduce") -> float:
    """On eight GPUs whose links are so many times slower than those of a DGX A100."""
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span(range(RANKS))
    slow = replace(span, intra_bytes_per_s=round(span.intra_bytes_per_s / slower))
    return pricer.collective(op, size, slow).duration_ns / 1e9


@pytest.mark.parametrize("op", ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"])
def test_a_slower_link_costs_more_and_a_faster_one_less_but_never_nothing(pricers, op):
    for size in SIZES:
        times = [seconds(pricers, size, slower, op) for slower in (0.5, 1, 2, 16, 128)]
        assert times[0] > 0 and times == sorted(times)


def test_what_a_slow_link_adds_is_what_its_bytes_need_there(pricers):
    """All of a large message's time is its bytes'; next to nothing of a small one's is."""
    for size in SIZES[2:]:
        added = seconds(pricers, size, 128, "all_gather") - seconds(pricers, size, 1, "all_gather")
        least = ring_volume("all_gather", RANKS) * size * 127 / NVLINK3
        assert least <= added <= 1.35 * least, size  # links reach four fifths of their rate
    small, large = (seconds(pricers, size, 128) / seconds(pricers, size, 1) for size in (SIZES[1], SIZES[-1]))
    assert small < 3 and large > 100

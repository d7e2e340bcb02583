"""Distinct ids and cache hits against sums over every row."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.model.ids import HEAD, dealt_shares, expected_unique, hit_rate, unique_outside
from simulator.model.spec import UniformIds, ZipfIds

UNIFORM = UniformIds()


def zipf(alpha):
    return ZipfIds(kind="zipf", alpha=alpha)


def probabilities(ids, rows):
    ranks = np.arange(1, rows + 1, dtype=float)
    weights = ranks**-ids.alpha if ids.kind == "zipf" else np.ones(rows)
    return weights / weights.sum()


@pytest.mark.parametrize("ids", [UNIFORM, zipf(0.5), zipf(1.0), zipf(1.05), zipf(1.8)], ids=str)
@pytest.mark.parametrize(("rows", "draws"), [(10, 5), (999, 4000), (1001, 100), (50_000, 20_000), (300_000, 5_000_000)])
def test_sums_over_every_row(ids, rows, draws):
    p = probabilities(ids, rows)
    seen = -np.expm1(draws * np.log1p(-p))
    kept = rows // 10
    assert expected_unique(ids, rows, draws) == pytest.approx(seen.sum(), rel=1e-6)
    assert hit_rate(ids, rows, 0.1) == pytest.approx(p[:kept].sum(), rel=1e-6)
    assert unique_outside(ids, rows, draws, 0.1) == pytest.approx(seen[kept:].sum(), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.05, 1.8])
@pytest.mark.parametrize("rows, owners", [(10, 3), (10, 16), (999, 8), (50_000, 8), (50_000, 64), (300_000, 4096)])
@pytest.mark.parametrize("draws", [0, 500])
def test_shares_of_owners_of_dealt_rows(alpha, rows, owners, draws):
    """Against sums over every owner's rows; beyond HEAD ranks the mean stands for them, at most one row off."""
    p = probabilities(zipf(alpha), rows)
    asked = -np.expm1(draws * np.log1p(-p)) if draws else p
    found = dealt_shares(zipf(alpha), rows, owners, draws)
    assert len(found) == min(owners, 8) and list(found) == sorted(found, reverse=True)
    row = asked[HEAD] / asked.sum() if rows > HEAD else 0.0
    for place, share in enumerate(found):
        assert share == pytest.approx(asked[place::owners].sum() / asked.sum(), abs=row + 1e-6)
    assert dealt_shares(UNIFORM, rows, owners, draws) == ()


def test_draws_of_a_generator():
    p = probabilities(zipf(1.05), 2000)
    generator = random.Random(7)
    counts = [len(set(generator.choices(range(2000), weights=p, k=1500))) for _ in range(60)]
    assert sum(counts) / 60 == pytest.approx(expected_unique(zipf(1.05), 2000, 1500), rel=0.01)


@given(st.floats(0.3, 2.5), st.integers(1, 10**9), st.integers(1, 10**8), st.floats(0, 1))
def test_bounds_and_order(alpha, rows, draws, fraction):
    ids = zipf(alpha)
    unique = expected_unique(ids, rows, draws)
    assert 0 < unique <= min(rows, draws) * (1 + 1e-8)
    assert unique <= expected_unique(ids, rows, 2 * draws) * (1 + 1e-8)
    assert unique <= expected_unique(UNIFORM, rows, draws) * (1 + 1e-6)  # skew repeats ids
    assert 0 <= hit_rate(ids, rows, fraction) <= 1
    assert hit_rate(ids, rows, fraction) >= hit_rate(UNIFORM, rows, fraction) - 1e-6
    assert unique_outside(ids, rows, draws, fraction) <= unique * (1 + 1e-8)


def test_edges():
    assert hit_rate(zipf(1.05), 100, 0.0) == 0
    assert hit_rate(zipf(1.05), 100, 1.0) == 1
    assert unique_outside(zipf(1.05), 100, 50, 1.0) == 0
    assert expected_unique(zipf(1.05), 1, 50) == expected_unique(UNIFORM, 1, 50) == 1
    assert unique_outside(UNIFORM, 100, 50, 0.0) == expected_unique(UNIFORM, 100, 50)


def test_skew_makes_a_small_cache_worth_having():
    # FINDINGS of the recommender rows: 10 % of 50M rows in device memory serve most of Zipf 1.05's lookups
    assert hit_rate(zipf(1.05), 50_000_000, 0.1) > 0.85
    assert hit_rate(UNIFORM, 50_000_000, 0.1) == pytest.approx(0.1)

"""Draws: equal on every machine, normal, and one for each op class."""

import numpy as np
import pytest

from simulator.costs.sampling import factors, fit_factor, inverse_normal, normals, raw_integers, repeat_factors


def test_raw_integers_are_philox_and_never_change():
    """Golden: a change here changes every sampled answer ever given."""
    assert raw_integers(0, "fit", "gemm.bf16", 0, 2).tolist() == RAW
    assert fit_factor(0, 0, "gemm.bf16", 0.05) == FACTOR


def test_streams_differ_by_seed_purpose_name_and_sample():
    keys = [(0, "fit", "a", 0), (1, "fit", "a", 0), (0, "repeat", "a", 0), (0, "fit", "b", 0), (0, "fit", "a", 1)]
    assert len({raw_integers(*key, 1)[0] for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("probability", "quantile"),
    [(0.5, 0.0), (0.975, 1.959963984540054), (0.001, -3.090232306167813), (1e-9, -5.997807015008182)],
)
def test_quantiles_of_the_normal_distribution(probability, quantile):
    assert inverse_normal(np.array([probability]))[0] == pytest.approx(quantile, rel=1.2e-8, abs=1e-9)


def test_deviates_have_mean_0_and_spread_1():
    deviates = normals(raw_integers(7, "repeat", "ops", 0, 100_000))
    assert abs(deviates.mean()) < 0.01 and abs(deviates.std() - 1) < 0.01
    assert np.isfinite(deviates).all()


def test_no_error_means_no_change():
    assert fit_factor(3, 5, "gemm.bf16", 0.0) == 1.0
    assert (repeat_factors(3, 5, np.zeros(4)) == 1.0).all()


def test_repeat_factors_spread_with_their_error():
    drawn = repeat_factors(0, 0, np.array([0.1, 0.0] * 20_000))
    assert (drawn[1::2] == 1.0).all()
    assert np.log(drawn[::2]).std() == pytest.approx(0.1, rel=0.03)


def test_factors_carry_no_more_than_eight_decimals():
    drawn = factors(0.1, np.linspace(-4, 4, 100))
    assert (drawn == np.round(drawn, 8)).all()


RAW = [5947292202294630617, 15086271035932693593]
FACTOR = 0.97721417

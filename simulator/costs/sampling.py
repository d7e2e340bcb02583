"""Draws for `--samples`: counter-based, keyed, integers only until the last step, so equal on every machine.

A stream of Philox is keyed by sha256 of (seed, purpose, name, sample); its raw 64-bit integers become normal deviates
through a rational approximation of the inverse normal distribution. Factors passed through log and exp, so they are
rounded to 9 significant digits.
"""

from __future__ import annotations

import numpy as np

from simulator.draws import raw_integers

FIT, REPEAT = "fit", "repeat"


def normals(integers: np.ndarray) -> np.ndarray:
    """Standard normal deviates float64[n] from uint64[n]; the upper 53 bits of each, never 0 or 1."""
    uniform = ((integers >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return inverse_normal(uniform)


def inverse_normal(probability: np.ndarray) -> np.ndarray:
    """The quantile of the standard normal distribution, to 1.2e-9 relative (P. J. Acklam's rational approximation)."""
    tail = np.minimum(probability, 1.0 - probability)
    far = tail < _TAIL
    root = np.sqrt(-2.0 * np.log(np.where(far, tail, 0.5)))
    outer = _polynomial(_C, root) / (_polynomial(_D, root) * root + 1.0)
    centre = np.where(far, 0.0, tail - 0.5)
    square = centre * centre
    inner = centre * _polynomial(_A, square) / (_polynomial(_B, square) * square + 1.0)
    below = np.where(far, outer, inner)
    return np.where(probability <= 0.5, below, -below)


def factors(error: np.ndarray | float, deviates: np.ndarray) -> np.ndarray:
    """exp(error * deviate), to 9 decimal digits: 1 exactly where the error is 0."""
    return np.rint(np.exp(error * deviates) * 1e8) / 1e8


def fit_factor(seed: int, sample: int, op_class: str, error: float) -> float:
    """The one factor that all ops of a class share within a sample."""
    if error == 0.0:
        return 1.0
    return float(factors(error, normals(raw_integers(seed, FIT, op_class, sample, 1)))[0])


def repeat_factors(seed: int, sample: int, repeat_error: np.ndarray, draw: np.ndarray | None = None) -> np.ndarray:
    """One factor for each op of a graph, in op order; ops without a repeat spread keep 1. float64[n].

    draw: int64[n], the op whose deviate each op takes; default: its own.
    """
    if not repeat_error.any():
        return np.ones(len(repeat_error))
    raw = raw_integers(seed, REPEAT, "ops", sample, len(repeat_error))
    return factors(repeat_error, normals(raw if draw is None else raw[draw]))


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    total = np.zeros_like(x)
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


_TAIL = 0.02425
_A = (-3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02, 1.383577518672690e02,
      -3.066479806614716e01, 2.506628277459239e00)  # fmt: skip
_B = (-5.447609879822406e01, 1.615858368580409e02, -1.556989798598866e02, 6.680131188771972e01,
      -1.328068155288572e01)  # fmt: skip
_C = (-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e00, -2.549732539343734e00,
      4.374664141464968e00, 2.938163982698783e00)  # fmt: skip
_D = (7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00)

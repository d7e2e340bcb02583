"""How good a set of predictions is: mean error, bias, worst, and whether it ranks as the measurements do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations


def percent_error(predicted: float, measured: float) -> float:
    """100 (predicted - measured) / measured: positive when the prediction is too slow."""
    return 100.0 * (predicted - measured) / measured


def best_scale(errors: Sequence[float], shares: Sequence[float]) -> float | None:
    """The factor on one term, whose share each row has, that leaves the least sum of squared errors; None without it.

    Both in the same unit: error_i + (factor - 1) share_i is what is left of row i. A factor below 0 is 0.
    """
    squares = sum(share * share for share in shares)
    if not squares:
        return None
    return max(0.0, 1.0 - sum(error * share for error, share in zip(errors, shares, strict=True)) / squares)


def concordance(pairs: Sequence[tuple[float, float]], spreads: Sequence[float] | None = None) -> tuple[int, int]:
    """(concordant - discordant, pairs that could be ranked) of (predicted, measured) values.

    spreads: how far each measurement scatters. Two measurements that do not lie further apart than both spreads
    together (without spreads: that are equal) rank nothing; two equal predictions of different measurements count as
    neither.
    """
    score = ranked = 0
    scatter = [0.0] * len(pairs) if spreads is None else spreads
    for (one, own), (other, others) in combinations(zip(pairs, scatter, strict=True), 2):
        if abs(one[1] - other[1]) <= own + others:
            continue
        ranked += 1
        agreement = (one[0] - other[0]) * (one[1] - other[1])
        score += (agreement > 0) - (agreement < 0)
    return score, ranked


def kendall_tau(groups: Iterable[Sequence[tuple[float, float]]]) -> float | None:
    """Kendall's tau over the pairs within each group of (predicted, measured): 1 the same order, -1 the reverse.

    Groups are pooled by their pairs (a group of one has none). None where nothing can be ranked.
    """
    score = ranked = 0
    for group in groups:
        more, of = concordance(group)
        score, ranked = score + more, ranked + of
    return score / ranked if ranked else None

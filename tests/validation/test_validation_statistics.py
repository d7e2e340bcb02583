"""Errors and ranks against values worked out by hand."""

import pytest

from simulator.validation.statistics import concordance, kendall_tau, percent_error


def test_a_slow_prediction_has_a_positive_error():
    assert percent_error(1.1, 1.0) == pytest.approx(10.0)
    assert percent_error(0.9, 1.0) == pytest.approx(-10.0)


def test_tau_of_one_swapped_pair_in_four():
    """Order 1 2 3 4 predicted as 1 3 2 4: five pairs agree, one does not: (5 - 1) / 6."""
    assert kendall_tau([[(1, 1), (3, 2), (2, 3), (4, 4)]]) == pytest.approx(4 / 6)


def test_tau_of_the_reverse_order_is_minus_one():
    assert kendall_tau([[(3, 1), (2, 2), (1, 3)]]) == -1.0


def test_groups_are_ranked_apart_and_pooled_by_pairs():
    """One pair that agrees and three that do not: (1 - 3) / 4, whatever the scale of the groups."""
    assert kendall_tau([[(1, 1), (2, 2)], [(300, 100), (200, 200), (100, 300)]]) == pytest.approx(-0.5)


def test_equal_measurements_rank_nothing_and_equal_predictions_miss():
    assert concordance([(1, 5), (2, 5)]) == (0, 0)
    assert concordance([(2, 5), (2, 6)]) == (0, 1)
    assert kendall_tau([[(1, 1)], []]) is None

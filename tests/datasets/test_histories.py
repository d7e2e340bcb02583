"""Histories by time, the generator, and the split that holds each user's last item out."""

import numpy as np
import pytest

from simulator.datasets import histories
from simulator.datasets.histories import generated, histories_of
from simulator.datasets.movielens import HEADER, NoData, parse


def test_histories_are_in_the_order_of_time_and_of_the_file_where_times_are_equal():
    user, item, time = np.array([7, 3, 7, 3, 7]), np.array([12, 20, 11, 21, 10]), np.array([5, 9, 1, 2, 5])
    found = histories_of("x", 30, user, item, time)
    assert [list(sequence) for sequence in found.sequences] == [[21, 20], [11, 12, 10]]
    assert [list(sequence) for sequence in found.training()] == [[21], [11, 12]]
    assert list(found.held_out()) == [20, 10]


def test_interactions_are_read_from_their_typed_columns():
    text = HEADER + "\n196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t7\t5\t881250900\n"
    found = parse(text)
    assert [list(sequence) for sequence in found.sequences] == [[302], [7, 242]]
    assert found.source == "ml-100k"


def test_another_header_is_refused():
    with pytest.raises(NoData, match="interactions begin with"):
        parse("user\titem\n1\t2\n")


def test_generated_histories_look_like_the_real_ones():
    found = generated(0)
    lengths = np.array([len(sequence) for sequence in found.sequences])
    items = np.concatenate(found.sequences)
    assert len(lengths) == histories.GENERATED_USERS
    assert lengths.min() >= histories.SHORTEST and lengths.max() <= histories.LONGEST
    assert 55 <= np.median(lengths) <= 75
    assert items.min() == 1 and items.max() <= histories.GENERATED_ITEMS
    counts = np.bincount(items, minlength=histories.GENERATED_ITEMS + 1)[1:]
    assert counts[0] / counts[9] == pytest.approx(10**histories.POPULARITY_ALPHA, rel=0.1)


def test_the_seed_decides_what_is_generated():
    one, same, other = generated(1), generated(1), generated(2)
    assert all((a == b).all() for a, b in zip(one.sequences, same.sequences, strict=True))
    assert any(len(a) != len(b) for a, b in zip(one.sequences, other.sequences, strict=True))

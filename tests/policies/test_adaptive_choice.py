"""The greedy choice of a method for each bucket, on costs made up by hand."""

from itertools import product

import pytest

from simulator.policies.adaptive import MOST_RUNS, NONE, choose


def exposed(sizes, backward, ratio, encode):
    """A step whose messages leave one after another beside `backward`; encoding lengthens it. Methods: NONE and "m"."""

    def step(choice):
        sent = [size // ratio if method == "m" else size for size, method in zip(sizes, choice, strict=True)]
        busy = backward + encode * choice.count("m")
        return max(busy, sum(sent[:-1])) + sent[-1]

    return step


def test_only_the_exposed_message_is_compressed_where_the_rest_hides():
    step = exposed(sizes=[10, 10, 10, 40], backward=100, ratio=10, encode=5)
    assert choose((3, 2, 1, 0), ("m",), step) == (NONE, NONE, NONE, "m")


def test_all_are_compressed_where_nothing_hides():
    step = exposed(sizes=[100] * 4, backward=50, ratio=10, encode=5)
    assert choose((3, 2, 1, 0), ("m",), step) == ("m",) * 4


def test_nothing_is_compressed_where_encoding_costs_more_than_it_saves():
    step = exposed(sizes=[10] * 4, backward=100, ratio=10, encode=20)
    assert choose((3, 2, 1, 0), ("m",), step) == (NONE,) * 4


@pytest.mark.parametrize("backward", [10, 60, 120, 300])
@pytest.mark.parametrize("encode", [1, 8, 30])
def test_no_choice_is_slower_than_one_method_for_all_and_few_are_slower_than_the_best(backward, encode):
    step = exposed(sizes=[30, 20, 25, 10, 35], backward=backward, ratio=8, encode=encode)
    found = step(choose((4, 3, 2, 1, 0), ("m",), step))
    assert found <= min(step((method,) * 5) for method in (NONE, "m"))
    best = min(map(step, product((NONE, "m"), repeat=5)))
    assert best <= found <= 1.15 * best


def test_of_equals_the_first_is_kept_and_steps_are_priced_a_bounded_number_of_times():
    asked = []

    def step(choice):
        asked.append(choice)
        return 1

    assert choose(range(500), ("a", "b", "c"), step) == (NONE,) * 500
    assert len(asked) <= MOST_RUNS

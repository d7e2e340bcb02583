"""The study's real runs: what is concluded from made-up ones, and that the methods really train."""

from __future__ import annotations

import pytest

from simulator.datasets import next_item
from simulator.datasets.histories import generated
from studies.when_does_compression_pay import learning, order


def test_orders_are_compared_over_pairs_that_differ_by_more_than_their_spreads():
    link = next(iter(order.LINKS))
    found = [order.Row(link, method, predicted, measured, 0.01) for method, predicted, measured in
             (("none", 0.30, 0.50), ("bf16", 0.20, 0.30), ("topk", 0.10, 0.105), ("int8", 0.11, 0.100))]  # fmt: skip
    assert order.agreement(found) == (1.0, 5)  # topk and int8 are too close to call
    assert (
        order.agreement([order.Row(link, one.method, -one.predicted_s, one.measured_s, 0.01) for one in found])[0] == -1
    )
    assert order.answers(found)[0] == (
        f"{link}: predicted topk < int8 < bf16 < none; measured int8 < topk < bf16 < none; "
        "Kendall's tau +1.00 over 5 pairs"
    )


def test_slow_and_plain_links_run_the_same_program():
    from simulator.program.lowering import lower

    for method in order.METHODS:
        plain, slow = (lower(order.scenario(method, factor)) for factor in order.LINKS.values())
        assert plain.digest() == slow.digest()


def test_time_to_target_is_steps_to_target_times_the_step():
    falling = tuple(1.0 / (1 + step) for step in range(100))
    slower = tuple(1.0 / (1 + step / 2) for step in range(100))
    runs = [learning.Trained(method, 1e-3, seed, slower if method == "topk" else falling, 0.1)
            for method in learning.METHODS for seed in range(3)]  # fmt: skip
    rows = {row["method"]: row for row in learning.summary(runs, 0.1, {"slow": [10.0, *[4.0] * 7]})}
    assert rows["none"]["steps to target"] == 9 and rows["topk"]["steps to target"] == 18
    assert rows["none"]["time, slow"] == "1.00" and rows["bf16"]["time, slow"] == "0.40"
    assert rows["topk"]["time, slow"] == "0.80"  # twice the steps at 0.4 of the time


def test_a_target_that_is_not_reached_is_no_number():
    runs = [learning.Trained(method, 1e-3, 0, (2.0, 1.0) if method != "onebit" else (2.0, 2.0), 0.1)
            for method in learning.METHODS]  # fmt: skip
    rows = {row["method"]: row for row in learning.summary(runs, 1.0, {"net": [1.0] * 8})}
    assert rows["onebit"]["steps to target"] is rows["onebit"]["time, net"] is None


def test_every_method_trains_on_two_processes():
    histories = generated(0)
    found = learning.train(
        [(method, 1e-2, 0) for method in learning.METHODS], 12, next_item.generated_batches, histories
    )
    assert [one.method for one in found] == list(learning.METHODS)
    starts = {one.losses[0] for one in found}
    assert max(starts) - min(starts) < 1e-3  # the same model and samples
    for one in found:
        assert one.losses[-1] < one.losses[0] - 0.05, one.method
        assert 0.0 <= one.ndcg <= 1.0
    assert pytest.approx(found[0].losses[-1], rel=0.01) == found[1].losses[-1]  # a cast changes next to nothing

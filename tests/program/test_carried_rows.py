"""Rows that a head on the last stage scores are looked up on the first, and go with what stages hand on."""

from __future__ import annotations

import pytest

from simulator import scenario_from
from simulator.program.lowering import lower
from simulator.program.placement import carries_rows
from simulator.road import Road

B, S, H, WIDTH, NEGATIVES = 4, 32, 64, 16, 5
POSITIONS = B * S


def sasrec(head="sampled_softmax", *sets, **plan):
    degrees = {"pipeline": 2, "data": 2, "microbatch": B, "global_batch": 8 * B, **plan}
    drawn = {"negatives": NEGATIVES} if head != "full_softmax" else {}
    ranks = degrees["pipeline"] * degrees["data"] * degrees.get("tensor", 1) * degrees.get("context", 1)
    return scenario_from({
        "schema_version": 1, "name": "carried", "dtype": "bf16", "plan": degrees,
        "model": {"trunk": {"block": "sasrec", "layers": 4, "hidden": H, "heads": 2, "seq": S},
                  "tables": [{"name": "item", "rows": 10_000, "dim": WIDTH}],
                  "head": {"kind": head, "table": "item", **drawn}},
        "cluster": {"preset": "dgx_h100", "gpus_per_node": ranks},
    }, sets)  # fmt: skip


def sent(built) -> set[int]:
    return {launch.action.size_bytes for own in lower(built).ranks for launch in own.launches
            if launch.action.verb == "send"}  # fmt: skip


@pytest.mark.parametrize("head", ["sampled_softmax", "binary"])
def test_every_edge_carries_an_activation_and_the_rows_of_each_position(head):
    """2 bytes an element: H of the activation, and 1 + negatives rows; back come their gradients."""
    whole = POSITIONS * (H + (1 + NEGATIVES) * WIDTH) * 2
    assert sent(sasrec(head)) == sent(sasrec(head, pipeline=4, data=1)) == {whole}
    assert sent(sasrec(head, tensor=2)) == sent(sasrec(head, tensor=2, sequence_parallel=True)) == {whole // 2}
    assert sent(sasrec(head, context=2)) == {whole // 2}


def test_nothing_is_carried_where_all_rows_are_scored_or_both_ends_are_on_one_rank():
    plain = {POSITIONS * H * 2}
    assert sent(sasrec("full_softmax")) == sent(sasrec(schedule="zb_v", virtual_stages=2)) == plain
    assert not carries_rows(sasrec(pipeline=1))


def test_a_step_that_carries_rows_folds_exactly_and_is_no_faster():
    road = Road(sasrec("sampled_softmax", tensor=2))
    folded, whole, plain = (
        road.timeline(road.expanded(road.prices, **keys)) for keys in ({}, {"whole": True}, {"contracted": False})
    )
    assert folded.digest() == whole.digest() and folded.step_ns == whole.step_ns == plain.step_ns
    fewer = Road(sasrec("sampled_softmax", "model.head.negatives=1", tensor=2))
    assert fewer.timeline(fewer.expanded(fewer.prices)).step_ns < folded.step_ns

"""Bags that context and tensor ranks share out: each is one rank's, and what fills a share up is asked for anyway."""

from __future__ import annotations

import pytest
import torch

from calibration.measure.stand_ins import StubGroup
from simulator.executor.bags import Bags, part_of, zero_padded


@pytest.mark.parametrize(("samples", "context", "tensor"), [(12, 2, 3), (5, 2, 2), (1, 1, 4), (7, 3, 1)])
def test_every_bag_is_some_ranks_and_shares_are_equal(samples, context, tensor):
    bags = torch.arange(samples)[:, None].expand(samples, 3)
    shares = [
        Bags(StubGroup("context", context, c), StubGroup("tensor", tensor, t), sums_tensor=False).own(bags)
        for c in range(context)
        for t in range(tensor)
    ]
    assert len({share.shape for share in shares}) == 1
    gathered = torch.cat(shares)  # tensor ranks of the first context rank, then of the next
    assert torch.equal(gathered[:samples], bags)
    assert (gathered[samples:] == samples - 1).all()


def test_what_fills_a_share_up_is_a_row_that_is_looked_up_anyway():
    """Not row 0: an optimizer with a memory, as Adam, moves every row that is touched."""
    ids = torch.tensor([5, 7, 9])
    assert part_of(ids, 0, 2).tolist() == [5, 7] and part_of(ids, 1, 2).tolist() == [9, 9]
    assert part_of(ids[:0], 0, 2).tolist() == []
    assert zero_padded(torch.ones(3, 2), 2).sum(1).tolist() == [2, 2, 2, 0]


@pytest.mark.parametrize(("context", "tensor", "sums", "rows"), [(1, 2, False, 3), (1, 2, True, 6), (2, 2, False, 6)])
def test_gradients_are_a_share_each_or_whole_for_the_sum_that_follows(context, tensor, sums, rows):
    bags = Bags(StubGroup("context", context), StubGroup("tensor", tensor, 1), sums_tensor=sums)
    samples = torch.arange(6.0)[:, None]
    spread = bags.spread_out(samples)
    assert len(spread) == rows + (2 if context * tensor == 4 else 0)  # 6 bags over 4 ranks: 8 places
    if context == 1 and not sums:
        assert spread[:, 0].tolist() == [3.0, 4.0, 5.0]  # the second tensor rank's

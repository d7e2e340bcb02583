"""Tables share messages: one collective for each action of the program, however many tables there are."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from small_scenarios import scenario

from calibration.measure.stand_ins import StubGroup
from simulator.executor.table_messages import Leg, end_to_end, exchange, side_by_side
from simulator.executor.table_routes import TableGroups
from simulator.executor.tables import SparseTables


class Counting(StubGroup):
    """A group that counts its collectives; every member sends what this one does."""

    def __init__(self, kind: str, size: int):
        super().__init__(kind, size)
        self.calls = Counter()

    def all_to_all(self, tensor, sent, received):
        self.calls["all_to_all"] += 1
        return super().all_to_all(tensor, sent, received)

    def reduce_scatter(self, tensor, element_bytes):
        self.calls["reduce_scatter"] += 1
        return super().reduce_scatter(tensor, element_bytes)

    def all_gather(self, tensor, element_bytes):
        self.calls["all_gather"] += 1
        return super().all_gather(tensor, element_bytes)


def test_an_action_is_one_collective_and_ids_have_their_counts_ahead_and_their_bags_behind():
    built = scenario("hstu_pooled", data=4, global_batch=8, microbatch=2, embedding_sharding="row_wise")
    whole, alone = Counting("table", 4), Counting("table_node", 1)
    tables = SparseTables(
        built,
        TableGroups(whole, alone, alone, StubGroup("context", 1), StubGroup("tensor", 1)),
        torch.device("cpu"),
        True,
    )
    ids = {name: torch.arange(2 * each) % 8 for name, each in (("item", 8), ("tags", 3), ("shops", 5))}
    expected = [("exchange_ids", "all_to_all", 3), ("lookup", "", 0), ("exchange_vectors", "all_to_all", 1),
                ("reduce_vectors", "reduce_scatter", 1), ("exchange_gradients", "all_to_all", 1),
                ("gather_gradients", "all_gather", 1)]  # fmt: skip
    tables.present(0, ids)
    for method, op, count in expected:
        whole.calls.clear()
        getattr(tables, method)(0)
        assert whole.calls == (Counter({op: count}) if count else Counter()), method


@pytest.mark.parametrize("dtypes", [(torch.float32,) * 3, (torch.float32, torch.bfloat16, torch.float32)])
def test_packed_rows_arrive_as_if_each_table_went_alone(dtypes):
    group, widths, counts = Counting("table", 3), (4, 1, 7), ([2, 0, 1], [0, 3, 3], [5, 1, 0])
    tensors = [torch.arange(sum(sent) * width).view(-1, width).to(dtype) / 8
               for sent, width, dtype in zip(counts, widths, dtypes, strict=True)]  # fmt: skip
    legs = [Leg(tensor, sent, [sent[0]] * 3) for tensor, sent in zip(tensors, counts, strict=True)]
    alone = [exchange(group, [leg])[0] for leg in legs]
    group.calls.clear()
    together = exchange(group, legs)
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))
    assert group.calls["all_to_all"] == len(set(dtypes))


def test_columns_side_by_side_and_tables_end_to_end_come_apart_again():
    first, second = torch.rand(6, 4), torch.rand(6, 2)
    halves = side_by_side([first, second], lambda whole: whole[:3])
    assert torch.equal(halves[0], first[:3]) and torch.equal(halves[1], second[:3])
    other = torch.rand(5, 3)
    twice = end_to_end([first, other], 2, lambda flat: flat.repeat(2))
    assert torch.equal(twice[0], first.repeat(2, 1)) and torch.equal(twice[1], other.repeat(2, 1))

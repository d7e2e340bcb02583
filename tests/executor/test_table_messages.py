"""What tables send on the embedding stream, rank by rank, against what the program says of the busiest."""

from __future__ import annotations

import numpy as np
import pytest
from bag_plans import BAG_PLANS, PACKED
from measured_runs import runs
from plans import PLANS
from table_plans import TABLE_PLANS

from simulator.executor.job import own_program
from simulator.model import tables

CHECKED = {
    ranks: [*TABLE_PLANS[ranks], *(plan for plan in BAG_PLANS[ranks] if not set(PACKED) & set(plan[1]["sets"]))]
    for ranks in TABLE_PLANS
}
EACH = [(ranks, number) for ranks, plans in CHECKED.items() for number in range(len(plans))]
WHOLE_ROWS = ("table_wise", "column_wise")


@pytest.mark.parametrize(("ranks", "number"), EACH, ids=str)
def test_ranks_send_what_they_ask_for_and_no_rank_more_than_the_program_says(ranks, number):
    """An asker's side is exact. So is an owner's where it holds whole rows or sums; where rows are dealt out, the few
    ids that were drawn decide: within four deviations of what the busiest owner expects (`model/test_hot_owners.py`),
    which is what the program has, and the busiest of several owners may be one more."""
    job, records = runs(ranks)[PLANS[ranks].index(CHECKED[ranks][number])]
    parts = tables.parts(job.scenario)
    moving = [part for part in parts if part.sharding != "data_parallel"]
    direct = [part for part in moving if tables.way_of(part.table, part.placed) == tables.DIRECT]
    if job.scenario.plan.embedding_dedup:
        pytest.skip("what is sent depends on which ids are equal: the next test")
    asked = {
        "exchange ids": ("sent", sum(8 * part.own_ids * part.placed.pieces for part in moving)),
        "exchange vectors": ("received", sum(part.own_vectors * part.vector_bytes for part in direct)),
        "exchange gradients": ("sent", sum(part.own_vectors * part.vector_bytes for part in direct)),
    }
    seen = {}
    for record in records:
        for launch, span in zip(own_program(job.program, record.rank).launches, record.spans[0], strict=True):
            if launch.stream == "embedding" and launch.action.microbatch == 0:
                seen.setdefault((launch.action.verb, launch.action.size_bytes), []).append(span)
    for (verb, size), spans in seen.items():
        most = max(max(span.sent, span.received) for span in spans)
        if verb in asked:
            side, exact = asked[verb]
            assert {getattr(span, side) for span in spans} == {exact}, verb
            if all(part.sharding in WHOLE_ROWS for part in (moving if verb == "exchange ids" else direct)):
                assert most == size, verb
            else:
                one = 8 if verb == "exchange ids" else max(part.vector_bytes for part in direct)
                assert abs(most - size) <= (4 * (size / one) ** 0.5 + 1) * one, verb
        else:
            assert most == size, verb
        if verb.startswith("exchange"):
            assert sum(span.sent for span in spans) == sum(span.received for span in spans), verb
    launched = (launch.action for launch in job.program.ranks[0].launches if launch.stream == "embedding")
    assert {verb for verb, _ in seen} == {action.verb for action in launched if action.microbatch == 0}


DEDUPLICATED = [(ranks, number) for ranks, number in EACH if "embedding_dedup" in CHECKED[ranks][number][1]]


@pytest.mark.parametrize(("ranks", "number"), DEDUPLICATED, ids=str)
def test_distinct_ids_are_as_many_as_expected(ranks, number):
    """Over all ranks, microbatches and steps, within 10 %: draws are random, and there are few in so small a run."""
    job, records = runs(ranks)[PLANS[ranks].index(CHECKED[ranks][number])]
    parts = [part for part in tables.parts(job.scenario) if part.sharding != "data_parallel"]
    direct = [part for part in parts if tables.way_of(part.table, part.placed) == tables.DIRECT]
    expected = {
        ("exchange ids", "sent"): sum(8 * part.sent * part.placed.pieces for part in parts),
        ("exchange vectors", "received"): sum(part.came * part.vector_bytes for part in direct),
        ("exchange gradients", "sent"): sum(part.came * part.vector_bytes for part in direct),
    }
    assert any(part.sent < part.own_ids for part in parts)
    for (verb, side), size in expected.items():
        moved = [
            getattr(span, side)
            for record in records
            for spans in record.spans
            for launch, span in zip(own_program(job.program, record.rank).launches, spans, strict=True)
            if launch.action.verb == verb
        ]
        assert np.mean(moved) == pytest.approx(size, rel=0.1), verb

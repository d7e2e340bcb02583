"""Ids of which a sample has a stated number: each is asked for once, by the rank of the position that it stands at."""

from __future__ import annotations

import pytest
from measured_runs import runs
from plans import PLANS
from sample_id_plans import SAMPLE_ID_PLANS
from small_scenarios import scenario as scenario_of

from simulator.executor.job import own_program
from simulator.model import tables
from simulator.model.blocks import sparse_tables
from simulator.model.lookups import group_size, ids_of


def plans_of(holds):
    """(ranks, number) of each plan of whose scenario this holds."""
    return [
        (ranks, number)
        for ranks, plans in SAMPLE_ID_PLANS.items()
        for number, (model, keys) in enumerate(plans)
        if holds(scenario_of(model, **{"microbatch": 2, **keys}))
    ]


def is_known_beforehand(scenario):
    """Whether what is sent does not depend on what is drawn."""
    return not scenario.samples_differ and not scenario.plan.embedding_dedup


def asks_once(scenario):
    """Not where one rank has every row; equal ids are asked for once under dedup, those of cut columns more often,
    those of replicated tables never."""
    kinds = [(part.sharding, part.placed.pieces) for part in tables.parts(scenario)]
    cut = any(kind == "data_parallel" or (kind != "table_wise" and pieces > 1) for kind, pieces in kinds)
    return group_size(scenario) > 1 and not scenario.plan.embedding_dedup and not cut


def run(ranks: int, number: int):
    return runs(ranks)[PLANS[ranks].index(SAMPLE_ID_PLANS[ranks][number])]


@pytest.mark.parametrize(("ranks", "number"), plans_of(is_known_beforehand), ids=str)
def test_the_rank_that_asks_for_most_sends_what_the_program_says(ranks, number):
    job, records = run(ranks, number)
    parts = [part for part in tables.parts(job.scenario) if part.sharding != "data_parallel"]
    slices = range(max((len(part.sent_by) for part in parts), default=0))
    asked = {
        "exchange ids": ("sent", [sum(8 * p.sent_of(one) * p.placed.pieces for p in parts) for one in slices]),
        "exchange vectors": ("received", [sum(p.came_to(one) * p.vector_bytes for p in parts) for one in slices]),
        "exchange gradients": ("sent", [sum(p.came_to(one) * p.vector_bytes for p in parts) for one in slices]),
    }
    for verb, (side, sizes) in asked.items():
        found = []
        for record in records:
            for launch, span in zip(own_program(job.program, record.rank).launches, record.spans[0], strict=True):
                if launch.action.verb == verb and launch.action.microbatch == 0:
                    found.append(getattr(span, side))
                    assert max(sizes) <= launch.action.size_bytes
        shares = len(found) // len(sizes) if sizes else 0
        assert sorted(found) == sorted(sizes * shares), verb


@pytest.mark.parametrize(("ranks", "number"), plans_of(asks_once), ids=str)
def test_every_id_is_asked_for_once(ranks, number):
    """By whichever rank: over all ranks as many as there are, but for what fills equal shares of a tensor group up."""
    job, records = run(ranks, number)
    scenario, plan = job.scenario, job.scenario.plan
    real = sum(scenario.lengths(0))
    there = sum(ids_of(scenario.model, table, plan.global_batch, real) for table in sparse_tables(scenario.model))
    sent = sum(
        span.sent
        for record in records
        for launch, span in zip(own_program(job.program, record.rank).launches, record.spans[0], strict=True)
        if launch.action.verb == "exchange ids"
    )
    gathers = plan.tensor > 1 and not plan.sequence_parallel
    filled = plan.tensor * len(scenario.model.tables) * scenario.microbatches * len(records) if gathers else 0
    assert 8 * there <= sent <= 8 * (there + filled)

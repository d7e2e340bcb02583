"""A real run sends what the simulator prices: message by message, byte by byte."""

from __future__ import annotations

import pytest
from measured_runs import runs
from plans import PLANS

from simulator.executor.job import own_program
from simulator.graph.steps import StepSource
from simulator.model.work import Collective
from simulator.program.cuts import cut_of


def each_plan(ranks):
    return pytest.mark.parametrize("number", range(len(PLANS[ranks])), ids=[str(n) for n in range(len(PLANS[ranks]))])


def check(ranks: int, number: int) -> None:
    check_run(*runs(ranks)[number])


def check_run(job, records) -> None:
    """Every message of every rank is the program's."""
    steps, gathered = StepSource(job.scenario, cut_of(job.scenario, job.attention)), {}
    for record in records:
        own = own_program(job.program, record.rank)
        for spans in record.spans:
            for launch, span in zip(own.launches, spans, strict=True):
                action = launch.action
                if launch.stream == "compute":
                    priced = [
                        (step.op, step.group, step.size_bytes)
                        for piece in steps.steps(own, action)
                        for step in piece.steps
                        if isinstance(step, Collective)
                    ]
                    sent = [(c.op, c.group, c.size_bytes) for c in span.children if c.priced]
                    assert sent == priced, f"rank {record.rank} {action.name}"
                elif action.verb == "recv":
                    assert (span.sent, span.received) == (0, action.size_bytes), action.name
                elif action.verb == "send":
                    assert (span.sent, span.received) == (action.size_bytes, 0), action.name
                elif action.verb.startswith("exchange") or " node " in action.verb:
                    pass  # depends on who asks for what, or who holds it: test_table_messages.py, test_sample_ids.py
                elif action.verb == "gather vectors":  # of a context group, whose ranks have more or fewer ids
                    gathered.setdefault((own.rank, action), []).append(span.sent)
                else:
                    assert span.sent == action.size_bytes, f"rank {record.rank} {action.name}"
    uneven = job.scenario.samples_differ or any(
        table.pooling == "none" and table.lookups_per_sample for table in job.scenario.model.tables
    )
    for (_, action), sent in gathered.items():
        assert max(sent) == action.size_bytes, action.name
        assert min(sent) == max(sent) or uneven


@each_plan(2)
def test_messages_of_2_ranks(number):
    check(2, number)


@each_plan(3)
def test_messages_of_3_ranks(number):
    check(3, number)


@each_plan(4)
def test_messages_of_4_ranks(number):
    check(4, number)


@each_plan(8)
def test_messages_of_8_ranks(number):
    check(8, number)


def test_row_wise_exchange_sends_and_brings_back_one_slice():
    number = PLANS[4].index(("hstu", {"tensor": 2, "data": 2}))
    _check_exchange(4, number, "exchange ids", lambda span: span.sent)
    _check_exchange(4, number, "exchange vectors", lambda span: span.received)
    _check_exchange(4, number, "exchange gradients", lambda span: span.sent)


def test_table_wise_exchange_is_as_long_as_its_owner_is_busy():
    number = next(n for n, (_, keys) in enumerate(PLANS[2]) if keys.get("embedding_sharding") == "table_wise")
    job, records = runs(2)[number]
    for verb in ("exchange ids", "exchange vectors", "exchange gradients"):
        sizes, moved = set(), []
        for record in records:
            own = own_program(job.program, record.rank)
            for launch, span in zip(own.launches, record.spans[0], strict=True):
                if launch.action.verb == verb:
                    sizes.add(launch.action.size_bytes)
                    moved.append(max(span.sent, span.received))
        assert {max(moved)} == sizes


def _check_exchange(ranks, number, verb, moved):
    job, records = runs(ranks)[number]
    count = 0
    for record in records:
        own = own_program(job.program, record.rank)
        for launch, span in zip(own.launches, record.spans[0], strict=True):
            if launch.action.verb == verb:
                assert moved(span) == launch.action.size_bytes
                count += 1
    assert count == ranks * job.scenario.microbatches

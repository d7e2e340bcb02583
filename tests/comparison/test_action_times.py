"""The table of action times: what the compute stream does sums to the step, and the rest stands beside it."""

import numpy as np
import pytest
from replays import replay, scenario

from simulator import kinds, simulate
from simulator.action_times import EXPOSED, IDLE, IN_STEP, RECOMPUTE, ROWS, action_times
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import GraphBuilder
from simulator.road import Road
from simulator.timeline import Timeline

PLANS = [
    {"data": 2}, {"data": 2, "bucket_mib": 1, "compression": {"method": "topk"}}, {"data": 2, "zero": 1},
    {"tensor": 2}, {"tensor": 2, "sequence_parallel": True, "recompute": "full"}, {"pipeline": 2, "schedule": "gpipe"},
    {"pipeline": 2, "data": 2, "tensor": 2},
]  # fmt: skip


def timeline(graph):
    return Timeline.of(graph, run(graph))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_rows_in_the_step_sum_to_it(plan):
    result = simulate(scenario(**plan))
    times = action_times(result.timeline)
    assert tuple(times) == ROWS
    assert sum(times[row] for row in IN_STEP) == pytest.approx(result.timeline.step_ns, abs=1)
    assert all(ns >= -1e-3 for ns in times.values())


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_contracting_actions_changes_no_row(plan):
    made = scenario(**plan)
    road = Road(made)
    tables = []
    for contracted in (True, False):
        tables.append(action_times(road.timeline(road.expanded(road.prices, contracted=contracted))))
    for row in ROWS:
        assert tables[0][row] == pytest.approx(tables[1][row], abs=2), row


def test_a_compute_action_lasts_from_its_first_kernel_to_its_last():
    graph = GraphBuilder()
    first = graph.op(0, "compute", 10, action="0F0")
    reduced = graph.op(0, "tensor", 7, after=[first], kind=kinds.TENSOR, action="0F0")
    last = graph.op(0, "compute", 20, after=[reduced], action="0F0")
    graph.op(0, "compute", 5, after=[last], kind=kinds.RECOMPUTE, action="0B0")
    graph.op(0, "compute", 15, kind=kinds.COMPUTE, action="0B0")
    times = action_times(timeline(graph.build()))
    assert (times["forward"], times[EXPOSED], times[RECOMPUTE], times["backward"]) == (30, 7, 5, 15)
    assert times[IDLE] == 0


def test_what_a_kernel_hides_is_not_exposed():
    graph = GraphBuilder()
    first = graph.op(0, "compute", 10, action="0B0")
    graph.op(0, "tensor", 30, after=[first], kind=kinds.TENSOR, action="0B0")
    graph.op(0, "compute", 20, after=[first], action="0B0")
    times = action_times(timeline(graph.build()))
    assert (times["backward"], times[EXPOSED]) == (30, 10)


def test_parts_of_an_op_that_was_slowed_stretch_with_it():
    graph = GraphBuilder()
    graph.op(0, "compute", 30, action="0B0", parts=((kinds.COMPUTE, 10), (kinds.RECOMPUTE, 20)))
    found = timeline(graph.build())
    found.end_ns[0] = 60
    times = action_times(found)
    assert (times["backward"], times[RECOMPUTE], times[EXPOSED]) == (20, 40, 0)


def test_ranks_count_by_how_many_they_stand_for():
    graph = GraphBuilder()
    graph.op(0, "compute", 10, action="0F0")
    graph.op(1, "compute", 40, action="1F0")
    found = graph.build({0: 3, 1: 1})
    times = action_times(Timeline.of(found, run(found)))
    assert times["forward"] == pytest.approx((3 * 10 + 40) / 4)
    assert times[IDLE] == pytest.approx(3 * 30 / 4)


def test_a_collective_lasts_from_when_its_last_member_is_ready():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    for rank, ns in ((0, 10), (1, 50)):
        done = graph.op(rank, "compute", ns, action="0B0")
        graph.op(rank, "data", 8, after=[done], kind=kinds.DATA, meeting=meeting, action="reduce b0 4MiB none")
    times = action_times(timeline(graph.build()))
    assert times["gradient reduce"] == 8
    assert times[IDLE] == 58 - 30


@pytest.mark.parametrize("plan", [PLANS[0], PLANS[1], PLANS[5]], ids=str)
def test_a_run_is_read_like_a_prediction(plan):
    """The same times written down by ranks give the same table, collectives inside actions aside."""
    result = simulate(scenario(**plan))
    predicted, measured = action_times(result.timeline), action_times(replay(result).timeline)
    for row in ROWS:
        assert measured[row] == pytest.approx(predicted[row], abs=2), row


def test_an_empty_step_has_no_times():
    assert action_times(timeline(GraphBuilder().build())) == dict.fromkeys(ROWS, 0.0)
    assert np.isfinite(list(action_times(timeline(GraphBuilder().build())).values())).all()

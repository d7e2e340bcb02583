"""The reference engine on graphs small enough to compute in one's head."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from simulator import kinds
from simulator.engine.overlap_rates import OverlapRates
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import GraphBuilder
from simulator.units import FULL_RATE

HALF = FULL_RATE // 2


def spans(graph: GraphBuilder) -> list[tuple[int, int]]:
    times = run(graph.build())
    return list(zip(times.start_ns.tolist(), times.end_ns.tolist(), strict=True))


def test_an_empty_graph_takes_no_time():
    times = run(GraphBuilder().build())
    assert times.step_ns == 0
    assert times.end_ns.dtype == np.int64


def test_ops_of_one_stream_run_in_launch_order_one_at_a_time():
    graph = GraphBuilder()
    for duration in (5, 0, 7):
        graph.op(0, "compute", duration)
    assert spans(graph) == [(0, 5), (5, 5), (5, 12)]


def test_streams_and_ranks_run_side_by_side():
    graph = GraphBuilder()
    first = graph.op(0, "compute", 5)
    graph.op(0, "data", 7, after=[first])
    graph.op(0, "compute", 6)
    graph.op(1, "compute", 4)
    assert spans(graph) == [(0, 5), (5, 12), (5, 11), (0, 4)]


def test_collective_starts_when_its_last_rank_arrives_and_ends_everywhere_at_once():
    graph = GraphBuilder()
    meeting = graph.meeting(3)
    members = []
    for rank, arrives, lasts in ((0, 10, 3), (1, 40, 8), (2, 25, 5)):
        before = graph.op(rank, "compute", arrives)
        members.append(graph.op(rank, "data", lasts, after=[before], meeting=meeting))
    times = run(graph.build())
    assert times.ready_ns[members].tolist() == [10, 40, 25]
    assert times.start_ns[members].tolist() == [40, 40, 40]
    assert times.end_ns[members].tolist() == [48, 48, 48]


def test_collectives_of_one_communicator_serialise_and_of_two_run_together():
    graph = GraphBuilder()
    for stream in ("data", "data", "tensor"):
        graph.op(0, stream, 10)
    assert spans(graph) == [(0, 10), (10, 20), (0, 10)]


def test_two_that_overlap_are_slowed_for_exactly_the_share_they_overlap():
    """A kernel of 100 ns and a collective of 20 ns that starts 30 ns into it; 3/4 and 1/2 of full rate while together.

    The collective takes 20 / (1/2) = 40 ns. In them the kernel does 30 of its remaining 70 ns, 40 are left after.
    """
    graph = GraphBuilder()
    delay = graph.op(0, "host", 30)
    graph.op(0, "compute", 100)
    graph.op(0, "data", 20, after=[delay], compute_rate=FULL_RATE * 3 // 4, own_rate=HALF)
    assert spans(graph) == [(0, 30), (0, 30 + 40 + 40), (30, 70)]


def test_a_collective_that_outlives_the_kernel_gets_its_full_rate_back():
    graph = GraphBuilder()
    graph.op(0, "compute", 30)
    graph.op(0, "data", 40, compute_rate=HALF, own_rate=HALF)
    assert spans(graph) == [(0, 60), (0, 70)]


def test_a_slowed_end_is_rounded_up_to_the_next_nanosecond():
    graph = GraphBuilder()
    graph.op(0, "compute", 10)
    graph.op(0, "data", 1, own_rate=FULL_RATE // 3)
    assert FULL_RATE % 3 == 1
    assert spans(graph)[1] == (0, 4), "3 ns at a third of full rate leave a third of a unit to do"


def test_the_dearest_of_several_collectives_sets_the_rate_of_the_kernel():
    graph = GraphBuilder()
    graph.op(0, "compute", 100)
    graph.op(0, "data", 50, compute_rate=HALF)
    graph.op(0, "tensor", 20, compute_rate=FULL_RATE // 4)
    assert spans(graph)[0] == (0, 20 + 30 + 100 - 5 - 15)


def test_a_meeting_runs_at_the_rate_of_its_slowest_member():
    """Only rank 1 computes, for 40 ns; all three members feel it."""
    graph = GraphBuilder()
    meeting = graph.meeting(3)
    graph.op(1, "compute", 40)
    for rank in range(3):
        graph.op(rank, "data", 50, meeting=meeting, own_rate=(FULL_RATE // 4, HALF, FULL_RATE // 4)[rank])
    assert spans(graph)[1:] == [(0, 40 + 30)] * 3


def test_a_meeting_slows_the_kernels_of_each_rank_by_that_members_factor():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    for rank in range(2):
        graph.op(rank, "compute", 100)
        graph.op(rank, "data", 60, meeting=meeting, compute_rate=(HALF, FULL_RATE)[rank])
    assert [span[1] for span in spans(graph)] == [130, 60, 100, 60]


def test_members_that_wait_for_their_meeting_slow_nobody():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    late = graph.op(1, "compute", 100)
    graph.op(0, "compute", 100)
    graph.op(0, "data", 10, meeting=meeting, compute_rate=HALF)
    graph.op(1, "data", 10, meeting=meeting, compute_rate=HALF, after=[late])
    assert spans(graph)[1] == (0, 100)


def test_the_host_stream_neither_slows_nor_is_slowed():
    graph = GraphBuilder()
    graph.op(0, "host", 50, compute_rate=HALF, own_rate=HALF)
    graph.op(0, "data", 50, compute_rate=HALF, own_rate=HALF)
    graph.op(1, "host", 50, compute_rate=HALF, own_rate=HALF)
    graph.op(1, "compute", 50)
    assert spans(graph) == [(0, 50)] * 4


def test_transfers_without_factors_neither_slow_nor_are_slowed():
    graph = GraphBuilder()
    graph.op(0, "compute", 50)
    graph.op(0, "send", 50, kind=kinds.PIPELINE)
    graph.op(0, "data", 20, compute_rate=HALF, own_rate=HALF)
    assert spans(graph) == [(0, 50 + 20), (0, 50), (0, 40)]


def test_kernels_that_meet_are_slowed_on_their_own_ranks_only():
    """Ranks 0 and 1 compute together; what runs on ranks 2 and 3 is none of their business."""
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    graph.op(2, "data", 50, compute_rate=HALF)
    graph.op(3, "data", 50, compute_rate=HALF)
    kernels = [graph.op(rank, "compute", 50, meeting=meeting) for rank in (0, 1)]
    graph.op(1, "data", 10, after=kernels, compute_rate=HALF)
    assert spans(graph)[2:4] == [(0, 50), (0, 50)]


def recorded_changes(monkeypatch):
    """Every rate that overlap gives to something that runs, in turn."""
    changes = []

    class Recording(OverlapRates):
        def __init__(self, work, running, change):
            super().__init__(work, running, lambda own, rate: changes.append(rate) or change(own, rate))

    monkeypatch.setattr("simulator.engine.simpy_engine.OverlapRates", Recording)
    return changes


def test_rates_settle_once_per_instant_after_all_its_ends_and_starts(monkeypatch):
    """Kernels back to back, one without duration, one that also waits for the host: the collective sees no gap."""
    changes = recorded_changes(monkeypatch)
    graph = GraphBuilder()
    for duration in (20, 0, 20):
        graph.op(0, "compute", duration)
    host = [graph.op(0, "host", ns) for ns in (30, 10)]
    graph.op(0, "compute", 20, after=host)
    graph.op(0, "data", 30, own_rate=HALF)
    assert spans(graph)[-1] == (0, 60)
    assert changes == [HALF]


def test_an_op_that_is_slowed_and_let_go_again_twice():
    graph = GraphBuilder()
    graph.op(0, "compute", 100)
    first = graph.op(0, "data", 10, compute_rate=HALF)
    pause = graph.op(0, "host", 30, after=[first])
    graph.op(0, "data", 20, compute_rate=HALF, after=[pause])
    assert spans(graph) == [(0, 115), (0, 10), (10, 40), (40, 60)]


def test_two_completions_set_for_one_instant_end_an_op_once():
    """The kernel's completion comes early at 100 and is set for 200; let go at 120: 160; slowed at 140: 200 again."""
    graph = GraphBuilder()
    graph.op(0, "compute", 100)
    first = graph.op(0, "data", 120, compute_rate=HALF)
    pause = graph.op(0, "host", 20, after=[first])
    graph.op(0, "data", 100, after=[pause], compute_rate=FULL_RATE // 3 + 1)
    assert spans(graph)[0] == (0, 200)


@pytest.mark.parametrize("relisted", [False, True])
def test_ties_do_not_depend_on_op_ids(relisted):
    """A collective ends, a kernel starts and another ends at 50, whichever of them is listed first."""
    graph = GraphBuilder()
    kernels = [(0, "compute", 50), (0, "compute", 30)]
    collectives = [(0, "data", 50), (0, "data", 40)]
    order = collectives + kernels if relisted else kernels + collectives
    for rank, stream, duration in order:
        rates = {"compute_rate": HALF, "own_rate": HALF} if stream == "data" else {}
        graph.op(rank, stream, duration, **rates)
    ends = [end for _, end in spans(graph)]
    assert sorted(ends) == [100, 100, 160, 170]


def test_garbage_collection_is_as_it_was_after_a_run():
    graph = GraphBuilder()
    graph.op(0, "compute", 1)
    assert gc.isenabled()
    run(graph.build())
    assert gc.isenabled()
    gc.disable()
    try:
        run(graph.build())
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_times_beyond_32_bits_and_work_beyond_64_stay_exact():
    year_ns = 365 * 86_400 * 10**9
    graph = GraphBuilder()
    graph.op(0, "compute", year_ns)
    graph.op(0, "data", 1, compute_rate=HALF)
    assert year_ns * FULL_RATE > 2**63
    assert spans(graph) == [(0, year_ns + 1), (0, 1)]

"""Schedules with a known answer, run as graphs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import GraphBuilder
from simulator.units import FULL_RATE

durations = st.lists(st.integers(0, 10**6), min_size=1, max_size=12)


@given(durations)
def test_a_chain_takes_the_sum(chain_ns):
    graph = GraphBuilder()
    for ns in chain_ns:
        graph.op(0, "compute", ns)
    assert run(graph.build()).step_ns == sum(chain_ns)


@given(durations, st.integers(0, 1000), st.integers(0, 1000))
def test_fork_and_join_take_the_longest_branch(branches_ns, before_ns, after_ns):
    graph = GraphBuilder()
    fork = graph.op(0, "compute", before_ns)
    branches = [graph.op(rank, "compute", ns, after=[fork]) for rank, ns in enumerate(branches_ns, start=1)]
    graph.op(0, "compute", after_ns, after=branches)
    assert run(graph.build()).step_ns == before_ns + max(branches_ns) + after_ns


@given(st.lists(durations, min_size=2, max_size=5))
def test_a_barrier_every_round_takes_the_sum_of_the_slowest(rounds_ns):
    """Synchronous data parallelism: each round costs what its slowest rank costs, and faster ranks wait."""
    num_ranks = min(map(len, rounds_ns))
    graph = GraphBuilder()
    barriers = [graph.meeting(num_ranks) for _ in rounds_ns]
    for barrier, round_ns in zip(barriers, rounds_ns, strict=True):
        for rank in range(num_ranks):
            graph.op(rank, "compute", round_ns[rank])
            graph.op(rank, "compute", 0, meeting=barrier)
    assert run(graph.build()).step_ns == sum(max(round_ns[:num_ranks]) for round_ns in rounds_ns)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 1000))
def test_a_line_of_equal_stages_takes_microbatches_plus_stages_minus_one(stages, microbatches, ns):
    graph = GraphBuilder()
    previous: dict[int, int] = {}
    for microbatch in range(microbatches):
        for stage in range(stages):
            after = [previous[stage - 1]] if stage else []
            previous[stage] = graph.op(stage, "compute", ns, after=after, action=f"{stage}F{microbatch}")
    assert run(graph.build()).step_ns == (microbatches + stages - 1) * ns


@given(st.integers(2, 9), st.integers(1, 10**6), st.integers(0, 10**4))
def test_ring_all_reduce_takes_two_rounds_less_two_of_a_chunk_and_a_latency(num_ranks, chunk_bytes, latency_ns):
    """2 (n - 1) (S / n / B + L): reduce-scatter and all-gather, n - 1 sends of one n-th each, at 1 byte a ns."""
    graph = GraphBuilder()
    arrived: dict[int, int] = {}
    for _ in range(2 * (num_ranks - 1)):
        before = dict(arrived)
        for rank in range(num_ranks):
            after = [before[(rank - 1) % num_ranks]] if before else []
            arrived[rank] = graph.op(rank, "data", chunk_bytes + latency_ns, after=after, kind=kinds.DATA)
    size_bytes, bytes_per_ns = num_ranks * chunk_bytes, 1
    expected = 2 * (num_ranks - 1) * (size_bytes // num_ranks // bytes_per_ns + latency_ns)
    assert run(graph.build()).step_ns == expected


@pytest.mark.parametrize("reversed_listing", [False, True])
@given(
    kernel_ns=st.integers(1, 10**7),
    collective_ns=st.integers(1, 10**7),
    delay_ns=st.integers(0, 10**7),
    compute_rate=st.integers(1, FULL_RATE),
    own_rate=st.integers(1, FULL_RATE),
)
def test_a_known_overlap_slows_by_exactly_its_share(
    reversed_listing, kernel_ns, collective_ns, delay_ns, compute_rate, own_rate
):
    """A kernel from 0, a collective from `delay_ns`: both ends in closed form, rounded up to whole nanoseconds."""
    graph = GraphBuilder()

    def kernel() -> int:
        return graph.op(0, "compute", kernel_ns)

    def collective() -> int:
        delay = graph.op(0, "host", delay_ns)
        return graph.op(0, "data", collective_ns, after=[delay], compute_rate=compute_rate, own_rate=own_rate)

    ops = {make.__name__: make() for make in ((collective, kernel) if reversed_listing else (kernel, collective))}
    end = run(graph.build()).end_ns
    found = int(end[ops["kernel"]]), int(end[ops["collective"]])

    def ceil(work: int, rate: int) -> int:
        return -(-work // rate)

    if delay_ns >= kernel_ns:
        assert found == (kernel_ns, delay_ns + collective_ns)
        return
    kernel_left, collective_work = (kernel_ns - delay_ns) * FULL_RATE, collective_ns * FULL_RATE
    kernel_first, collective_first = ceil(kernel_left, compute_rate), ceil(collective_work, own_rate)
    shared_ns = min(kernel_first, collective_first)
    if kernel_first <= collective_first:
        rest = max(collective_work - shared_ns * own_rate, 0)
        assert found == (delay_ns + shared_ns, delay_ns + shared_ns + ceil(rest, FULL_RATE))
    else:
        rest = kernel_left - shared_ns * compute_rate
        assert found == (delay_ns + shared_ns + ceil(rest, FULL_RATE), delay_ns + shared_ns)

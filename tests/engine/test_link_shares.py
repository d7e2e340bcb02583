"""Ops that meet on links, in graphs small enough to compute in one's head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine import link_shares
from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.simpy_engine import run
from simulator.errors import BrokenLaw
from simulator.graph.event_graph import EventGraph, GraphBuilder
from simulator.units import FULL_RATE

HALF = FULL_RATE // 2
GB = 10**9


def spans(graph: GraphBuilder | EventGraph) -> list[tuple[int, int]]:
    built = graph.build() if isinstance(graph, GraphBuilder) else graph
    check_graph(built)
    times = run(built)
    check_timeline(built, times)
    return list(zip(times.start_ns.tolist(), times.end_ns.tolist(), strict=True))


def send(graph: GraphBuilder, rank: int, duration_ns: int, *links: int, flow: int = GB, flows: int = 1, **other) -> int:
    """An op whose `flows` flows of `flow` bytes/s each cross every one of these links."""
    demands = tuple((link, flow) for link in links for _ in range(flows))
    return graph.op(rank, "data", duration_ns, flow_bytes_per_s=flow, demands=demands, **other)


def test_alone_an_op_takes_its_time_and_not_a_nanosecond_more():
    """Also where its weight is rounded up: 1.5 flows of 2/3 of the link."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 1000, wire)
    graph.op(0, "data", 12_345, latency_ns=345, flow_bytes_per_s=666_666_667, demands=((wire, GB),))
    assert spans(graph) == [(0, 1000), (1000, 13_345)]


def test_two_communicators_on_one_link_get_half_each_and_all_of_it_once_one_has_ended():
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 100, wire)
    send(graph, 1, 300, wire)
    assert spans(graph) == [(0, 200), (0, 400)]


def test_an_op_that_joins_slows_the_one_that_is_there():
    """100 ns alone, then half speed for the other 200 it has left; the newcomer has 100 left at 500."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    delay = graph.op(1, "host", 100)
    send(graph, 0, 300, wire)
    send(graph, 1, 300, wire, after=[delay])
    assert spans(graph)[1:] == [(0, 500), (100, 600)]


def test_shares_are_per_flow_and_an_op_of_three_flows_gets_three():
    """Four flows on the link: a quarter of it each, so both ops run at a quarter of flow speed."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 100, wire, flow=GB)
    send(graph, 1, 100, wire, flow=GB, flows=3)
    assert spans(graph) == [(0, 400), (0, 400)]


def test_a_slow_flow_takes_what_it_can_use_and_leaves_the_rest():
    """A flow of a quarter of the link is below its fair half: it is not slowed, the other runs at three quarters."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 400, wire, flow=GB // 4)
    send(graph, 1, 300, wire, flow=GB)
    assert spans(graph) == [(0, 400), (0, 400)]


def test_what_a_flow_cannot_use_because_of_another_link_goes_to_its_neighbours():
    """Three flows on a link of 5/4, one of them held to 1/4 by a narrow link: the others get half a flow's speed."""
    graph = GraphBuilder()
    wide, narrow = graph.link("wide", GB * 5 // 4), graph.link("narrow", GB // 4)
    send(graph, 0, 100, wide, narrow)
    send(graph, 1, 100, wide)
    send(graph, 2, 100, wide)
    assert spans(graph) == [(0, 400), (0, 200), (0, 200)]


@pytest.mark.parametrize("peers", [1, 3, 7])
def test_simultaneous_sends_to_all_peers_share_the_nic(peers):
    """A node that sends to every other at once takes as long as it would one after another."""
    graph = GraphBuilder()
    nic = graph.link("node0/port0/out", 50 * GB)
    for peer in range(peers):
        graph.op(0, f"send{peer}", 1024, flow_bytes_per_s=50 * GB, demands=((nic, 50 * GB),))
    one_after_another_ns = 1024 * peers
    assert {end - one_after_another_ns for _, end in spans(graph)} <= {0, 1}, "a seventh of a rate is rounded down"


def test_one_slow_nic_paces_the_whole_ring():
    """A ring of four is one activity: the port at a quarter of its speed holds all four, on every link they use."""
    graph = GraphBuilder()
    ports = [graph.link(f"node{rank}/port0/out", GB // 4 if rank == 2 else GB) for rank in range(4)]
    ring = graph.meeting(4)
    for rank in range(4):
        send(graph, rank, 100, ports[rank], meeting=ring)
    other = graph.op(0, "send", 300, flow_bytes_per_s=GB, demands=((ports[0], GB),))
    assert spans(graph)[:4] == [(0, 400)] * 4
    assert spans(graph)[other] == (0, 400), "three quarters of its port are left"


def test_members_that_share_a_port_load_it_together():
    """Two members behind one port put two flows on it: with a port for one, both take twice as long."""
    graph = GraphBuilder()
    port = graph.link("node0/port0/out", GB)
    ring = graph.meeting(2)
    for rank in range(2):
        send(graph, rank, 100, port, meeting=ring)
    assert spans(graph) == [(0, 200)] * 2


def test_the_latency_uses_no_link_and_is_not_slowed():
    """Both start; one transfers alone for 50 ns while the other's latency lasts. Then halves: 100 left take 200."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 150, wire)
    send(graph, 1, 250, wire, latency_ns=50)
    assert spans(graph) == [(0, 50 + 200), (0, 50 + 200 + 100)]


def test_a_latency_that_is_all_there_is_uses_no_link():
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 100, wire)
    send(graph, 1, 100, wire, latency_ns=100)
    assert spans(graph) == [(0, 100), (0, 100)]


def test_a_meeting_has_the_longest_latency_of_its_members():
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    meeting = graph.meeting(2)
    send(graph, 0, 150, wire, latency_ns=50, meeting=meeting)
    send(graph, 1, 150, meeting=meeting)
    send(graph, 2, 50, wire)
    assert spans(graph) == [(0, 150), (0, 150), (0, 50)]


def test_overlap_is_a_cap_and_what_it_leaves_goes_to_the_neighbour():
    """A kernel beside it holds the first op to a quarter; the other gets three quarters of the link, then all of it."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    graph.op(0, "compute", 400)
    send(graph, 0, 100, wire, own_rate=FULL_RATE // 4)
    send(graph, 1, 400, wire)
    assert spans(graph) == [(0, 400), (0, 400), (0, 500)]


def test_of_overlap_and_share_the_slower_counts():
    """Held to 3/4 by the kernel and to half by the link; when the link is free at 200, 3/4; after the kernel, full."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    graph.op(0, "compute", 400)
    send(graph, 0, 350, wire, own_rate=FULL_RATE * 3 // 4)
    send(graph, 1, 100, wire)
    assert spans(graph) == [(0, 400), (0, 200 + 200 + 100), (0, 200)]


def test_a_cap_that_comes_while_the_share_is_as_low_still_holds_when_the_link_is_free():
    """Half by the link until 200; half by the kernel from 100 to 500; the last 50 of 300 ns at full speed."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 300, wire, own_rate=HALF)
    send(graph, 1, 100, wire)
    delay = graph.op(0, "host", 100)
    graph.op(0, "compute", 400, after=[delay])
    assert spans(graph) == [(0, 550), (0, 200), (0, 100), (100, 500)]


def test_a_kernel_is_slowed_for_as_long_as_the_shared_transfer_beside_it_lasts():
    """Half speed beside a collective of 50 ns latency and 100 ns transfer that the link stretches to 250 in all."""
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    graph.op(0, "compute", 300)
    send(graph, 0, 150, wire, latency_ns=50, compute_rate=HALF)
    delay = graph.op(1, "host", 50)
    send(graph, 1, 100, wire, after=[delay])
    assert spans(graph)[:2] == [(0, 250 + 175), (0, 250)]


def test_an_op_that_asks_for_more_than_a_degraded_link_has_is_slowed_alone():
    graph = GraphBuilder()
    wire = graph.link("wire", GB // 2)
    send(graph, 0, 100, wire)
    assert spans(graph) == [(0, 200)]


def test_ops_of_one_stream_never_meet():
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    for _ in range(3):
        send(graph, 0, 100, wire)
    assert spans(graph) == [(0, 100), (100, 200), (200, 300)]


def fills(monkeypatch) -> list[int]:
    """Will hold the number of activities of each component that is filled."""
    sizes, plain = [], link_shares.levels
    monkeypatch.setattr(link_shares, "levels", lambda caps, *rest: sizes.append(len(caps)) or plain(caps, *rest))
    return sizes


def test_what_recurs_is_filled_once_and_components_apart(monkeypatch):
    """Two pairs on a link each, twenty layers: one fill for each pair, whatever the other pair does."""
    graph = GraphBuilder()
    wires = [graph.link(f"wire{pair}", GB) for pair in range(2)]
    for _ in range(20):
        for rank in range(4):
            send(graph, rank, 100 + 7 * (rank // 2), wires[rank // 2])
    found = fills(monkeypatch)
    assert spans(graph)[-4:] == [(3800, 4000)] * 2 + [(4066, 4280)] * 2
    assert found == [2, 2]


def test_what_fits_is_not_filled_at_all(monkeypatch):
    """Four could be there, two at a time are: the link holds nobody back until a third comes."""
    graph = GraphBuilder()
    wire = graph.link("wire", 2 * GB)
    first = [send(graph, rank, 100, wire) for rank in range(2)]
    send(graph, 2, 100, wire, after=first)
    send(graph, 3, 100, wire, after=first)
    found = fills(monkeypatch)
    assert spans(graph)[2:] == [(100, 200)] * 2
    assert all(size == 1 for size in found)


@given(
    folded=st.integers(2, 5),
    others=st.integers(1, 3),
    flow=st.integers(10**6, 10**7),
    demand=st.integers(10**5, 10**7),
    capacity=st.integers(10**6, 10**8),
)
def test_one_op_for_k_flows_is_k_ops_to_the_nanosecond(folded, others, flow, demand, capacity):
    """Whatever the ratio of demand to flow: each listed flow is rounded by itself, as it is in an op of its own."""

    def graph(together: bool) -> list[tuple[int, int]]:
        builder = GraphBuilder()
        wire = builder.link("wire", capacity)
        ops = [
            builder.op(rank, "data", 100_000, latency_ns=9, flow_bytes_per_s=flow, demands=((wire, demand),) * count)
            for rank, count in enumerate([folded] if together else [1] * folded)
        ]
        for rank in range(others):
            builder.op(50 + rank, "data", 70_000 * (1 + rank), flow_bytes_per_s=3 * flow, demands=((wire, 2 * flow),))
        times = spans(builder)
        return [times[ops[0]], *times[len(ops) :]]

    assert graph(together=True) == graph(together=False)


def test_an_end_later_than_the_worst_that_can_meet_explains_is_found():
    graph = GraphBuilder()
    wire = graph.link("wire", GB)
    send(graph, 0, 110, wire, latency_ns=10)
    send(graph, 1, 100, wire)
    built = graph.build()
    times = run(built)
    times.end_ns[0] = 210
    check_timeline(built, times)
    times.end_ns[0] = 211
    with pytest.raises(BrokenLaw, match="more than the 210 ns"):
        check_timeline(built, times)

"""What must hold for every graph whose ops share links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import graphs, relisted
from slow_oracles import one_nanosecond_at_a_time

from simulator.engine.activities import activities
from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.link_shares import LinkShares
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import EventGraph
from simulator.timeline import Timeline
from simulator.units import FULL_RATE


def listed(times) -> list[tuple[int, int, int]]:
    return list(zip(times.ready_ns.tolist(), times.start_ns.tolist(), times.end_ns.tolist(), strict=True))


@given(graphs(links=True))
def test_shared_links_do_what_one_nanosecond_at_a_time_does(graph):
    """The slow engine fills all that transfers at once, link after link; the fast one only what changed."""
    assert listed(run(graph)) == one_nanosecond_at_a_time(graph)


@given(graphs(fluid=True, links=True, max_rounds=10, max_ns=15))
def test_shared_links_and_overlap_do_what_one_nanosecond_at_a_time_does(graph):
    assert listed(run(graph)) == one_nanosecond_at_a_time(graph)


@given(graphs(fluid=True, links=True))
def test_every_result_passes_the_checks(graph):
    check_graph(graph)
    check_timeline(graph, run(graph))


@given(graphs(fluid=True, links=True), st.integers(0, 2**32))
def test_the_order_of_listing_changes_nothing(graph, seed):
    """Not that of ops and streams, and not that of links and demands."""
    other = relisted(graph, seed)
    check_graph(other)
    assert Timeline.of(graph, run(graph)).digest() == Timeline.of(other, run(other)).digest()


@given(graphs(fluid=True, links=True))
def test_links_with_room_for_all_change_nothing(graph):
    roomy = replace(graph, link_capacity=graph.link_capacity * 1000)
    none = replace(graph, demand_first=np.zeros(0), demand_link=np.zeros(0, np.int32), demand_bytes_per_s=np.zeros(0))
    assert listed(run(roomy)) == listed(run(none))


@given(graphs(links=True))
def test_nothing_is_faster_than_alone(graph):
    none = replace(graph, demand_first=np.zeros(0), demand_link=np.zeros(0, np.int32), demand_bytes_per_s=np.zeros(0))
    shared, alone, work = run(graph), run(none), activities(graph)
    assert (shared.end_ns - shared.start_ns >= work.duration_ns[work.of_op]).all()
    assert (shared.end_ns >= alone.end_ns).all()


def rates_of(graph: EventGraph):
    """The engine's answer, and every rate that a share was solved to: (activities that transfer, their rates)."""
    solved = []

    class Recording(LinkShares):
        def settle(self):
            found = dict(super().settle())
            self.rates = {**getattr(self, "rates", {}), **found}
            active = sorted({user for users in self._users for user in users})
            solved.append({activity: self.rates[activity] for activity in active})
            return found.items()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulator.engine.simpy_engine.LinkShares", Recording)
        return run(graph), solved


def demands_of(graph: EventGraph) -> np.ndarray:
    """bytes/s that each activity puts on each link at full speed, (a, l)."""
    work = activities(graph)
    asked = np.zeros((len(work), len(graph.link_names)), dtype=np.int64)
    owner = work.of_op[np.repeat(np.arange(len(graph)), np.diff(graph.demand_first))]
    np.add.at(asked, (owner, graph.demand_link), graph.demand_bytes_per_s)
    return asked


@given(graphs(fluid=True, links=True))
def test_no_link_is_ever_above_its_capacity(graph):
    asked = demands_of(graph)
    for rates in rates_of(graph)[1]:
        members = list(rates)
        load = np.array([rates[one] for one in members], dtype=object) @ asked[members].astype(object)
        assert all(load <= graph.link_capacity.astype(object) * FULL_RATE)


@given(graphs(fluid=True, links=True))
def test_no_rate_could_rise_without_taking_from_one_that_is_no_better_off(graph):
    """Max-min fair: who is slowed crosses a full link on which nobody's flows get more (to the rounding of a level)."""
    asked, work = demands_of(graph), activities(graph)
    flow = work.combined(np.maximum, graph.flow_bytes_per_s)
    for rates in rates_of(graph)[1]:
        level = {one: int(flow[one]) * rate / FULL_RATE for one, rate in rates.items()}
        load = sum((asked[one] * rate / FULL_RATE for one, rate in rates.items()), np.zeros(asked.shape[1]))
        full = load >= graph.link_capacity * (1 - 1e-5)
        for one, rate in rates.items():
            if rate == FULL_RATE or rate in set(graph.own_rate.tolist()):
                continue
            best = [
                all(level[other] <= level[one] * (1 + 1e-5) + 2 for other in rates if asked[other, link])
                for link in np.flatnonzero(full & (asked[one] > 0))
            ]
            assert any(best)


@given(graphs(fluid=True, links=True))
def test_the_same_graph_gives_the_same_bytes(graph):
    first, second = run(graph), run(graph)
    for column in ("ready_ns", "start_ns", "end_ns"):
        assert getattr(first, column).tobytes() == getattr(second, column).tobytes()

"""When rounds of messages are through: a collective as what it is on the wire, every message by itself.

A rank begins what it sends in a round once all that it sent in earlier rounds has left and all that was sent to it in
earlier rounds has arrived; with `barrier`, once that holds for everybody. Messages share links max-min fair and are not
stored and forwarded, as in `simulate_flows`. A receiver need not be ready, and chunks queue without bound before a slow
link: a library with few buffers holds the sender back instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simulator.errors import ScenarioError
from simulator.network.collective_rounds import Round, counted
from simulator.network.flows import simulate_flows
from simulator.network.max_min import refuse_where
from simulator.network.round_events import round_by_instants
from simulator.network.wire import Wire, checked_wire


def simulate_rounds(
    rounds: Sequence[Round],
    capacities: Sequence[float],
    latencies: Sequence[float] | None = None,
    *,
    start_s: float | Sequence[float] = 0.0,
    barrier: bool = False,
) -> list[float]:
    """Seconds at which each rank is through: its last message has left, and the last one to it has arrived.

    rounds: for each the messages (source rank, target rank, bytes, path) that it consists of. One that comes back
    should be the same object each time: it is then read once. capacities: bytes/s of each link. latencies: seconds of
    each link, default 0. start_s: when the ranks begin, for all or one a rank.
    Where no two ranks send over one link, whole rounds are taken at a time (a ring of 4,096 ranks in a second). Else
    time goes from instant to instant, and flows that have met before are not solved again; ranks that are out of step
    with one another then cost some 0.1 ms a message.
    Raises ScenarioError for ranks, bytes or times that cannot be, and as `simulate_flows` does.
    """
    wire = checked_wire(rounds, capacities, latencies)
    ready_s = _checked_start(start_s, wire.num_ranks)
    if barrier:
        flows = [[(num_bytes, 0.0, path) for _, _, num_bytes, path in one] for _, one in counted(rounds)]
        took_s = [max(simulate_flows(flow, capacities, latencies), default=0.0) for flow in flows]
        end_s = math.fsum([*(took_s[kind] for kind in wire.kinds), ready_s.max(initial=0.0)])
        return [end_s] * wire.num_ranks
    if _each_link_has_one_sender(wire):
        return _whole_rounds(wire, ready_s).tolist()
    return round_by_instants(wire, ready_s).tolist()


def _each_link_has_one_sender(wire: Wire) -> bool:
    """Whether no two messages can meet: a link is one sender's, who sends one after another over it."""
    num_links = len(wire.capacity)
    links = wire.paths[:, wire.route]
    on_link = links < num_links
    kind = np.repeat(np.arange(len(wire.first) - 1), np.diff(wire.first))
    links, kind, source = links[on_link], _beside(kind, links)[on_link], _beside(wire.source, links)[on_link]
    sender = np.full(num_links, -1)
    sender[links] = source
    once_a_round = len(np.unique(kind * num_links + links)) == len(links)
    return once_a_round and bool((sender[links] == source).all())


def _beside(of_message: np.ndarray, links: np.ndarray) -> np.ndarray:
    return np.broadcast_to(of_message, links.shape)


def _whole_rounds(wire: Wire, ready_s: np.ndarray) -> np.ndarray:
    """Seconds by rank where every message has its links alone: it takes its bytes over the narrowest of them."""
    narrowest = np.append(wire.capacity, math.inf)[wire.paths].min(axis=0, initial=math.inf)
    takes_s = wire.num_bytes / narrowest[wire.route]
    ready_s = ready_s.copy()
    for kind in wire.kinds:
        these = slice(wire.first[kind], wire.first[kind + 1])
        source = wire.source[these]
        left_s = ready_s[source] + takes_s[these]
        np.maximum.at(ready_s, source, left_s)
        np.maximum.at(ready_s, wire.target[these], left_s + wire.latency_s[these])
    return ready_s


def _checked_start(start_s: float | Sequence[float], num_ranks: int) -> np.ndarray:
    ready_s = np.array(start_s, dtype=float)
    if ready_s.ndim == 0:
        ready_s = np.full(num_ranks, float(ready_s))
    if ready_s.shape != (num_ranks,):
        raise ScenarioError(f"{ready_s.size} times to start for {num_ranks} ranks; give one, or one a rank")
    refuse_where(~np.isfinite(ready_s), ready_s, "rank {i} starts at {v}", "a time in seconds")
    return ready_s

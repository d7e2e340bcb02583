"""Random event graphs for property tests, and the same graph listed in another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from simulator import kinds
from simulator.graph.event_graph import EventGraph, GraphBuilder
from simulator.units import FULL_RATE

STREAMS = {
    "compute": kinds.COMPUTE,
    "tensor": kinds.TENSOR,
    "data": kinds.DATA,
    "recv": kinds.PIPELINE,
    "host": kinds.HOST,
}
RATES = (FULL_RATE, FULL_RATE // 2, FULL_RATE * 3 // 4, 777_777, 1_000_003, FULL_RATE // 7)
TEXTS = {
    "compute": "0F{}",
    "tensor": "gather vectors 0F{} 1KiB",
    "data": "reduce b{} 1KiB none",
    "recv": "recv 1F{} <p0 1KiB",
    "host": None,
}


FLOWS = (1_000_000, 1_500_000, 2_000_003)
CAPACITIES = (2_000_000, 3_000_001, 4_999_999, 9_000_000)


@st.composite
def graphs(draw, fluid: bool = False, links: bool = False, max_rounds: int = 14, max_ns: int = 25) -> EventGraph:
    """Up to three ranks with up to five streams; plain ops and meetings, which may depend on any earlier op.

    The members of a meeting are listed together and depend on earlier ops only, so nothing deadlocks. fluid: rates of
    overlap. links: up to three of them, which most communication loads, some more than once and some beyond capacity.
    """
    num_ranks = draw(st.integers(1, 3))
    builder = GraphBuilder()
    wires = [builder.link(f"wire{place}", draw(st.sampled_from(CAPACITIES))) for place in range(3)] if links else []
    ops: list[int] = []
    duration = st.integers(0, max_ns)
    rate = st.sampled_from(RATES) if fluid else st.just(FULL_RATE)
    for place in range(draw(st.integers(0, max_rounds))):
        stream = draw(st.sampled_from(tuple(STREAMS)))
        ranks = [draw(st.integers(0, num_ranks - 1))]
        meeting = -1
        if num_ranks > 1 and stream != "host" and draw(st.booleans()):
            ranks = draw(st.permutations(range(num_ranks)))[: draw(st.integers(2, num_ranks))]
            meeting = builder.meeting(len(ranks))
        earlier = list(ops)
        for rank in ranks:
            after = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
            communicates = stream not in ("compute", "host")
            text = TEXTS[stream]
            duration_ns, flow, demands = draw(duration), 0, ()
            if wires and communicates:
                flow = draw(st.sampled_from(FLOWS))
                demand = st.tuples(st.sampled_from(wires), st.sampled_from((flow // 2, flow, 2 * flow - 1)))
                demands = tuple(draw(st.lists(demand, max_size=3)))
            ops.append(
                builder.op(
                    rank,
                    stream,
                    duration_ns,
                    after=after,
                    kind=STREAMS[stream],
                    meeting=meeting,
                    compute_rate=draw(rate) if communicates else FULL_RATE,
                    own_rate=draw(rate) if communicates else FULL_RATE,
                    action=text and text.format(place),
                    latency_ns=draw(st.integers(0, duration_ns)) if demands else 0,
                    flow_bytes_per_s=flow,
                    demands=demands,
                )
            )
    return builder.build()


def relisted(graph: EventGraph, seed: int) -> EventGraph:
    """The same graph with its ops in another topological order and its streams in another order."""
    random = np.random.Generator(np.random.Philox(seed))
    count = len(graph)
    sources = np.repeat(np.arange(count), np.diff(graph.first_successor))
    waits = np.bincount(graph.successor, minlength=count)
    free, order = np.flatnonzero(waits == 0).tolist(), []
    while free:
        op = free.pop(int(random.integers(len(free))))
        order.append(op)
        for other in graph.successor[graph.first_successor[op] : graph.first_successor[op + 1]].tolist():
            waits[other] -= 1
            if not waits[other]:
                free.append(other)
    new_id = np.empty(count, dtype=np.int64)
    new_id[order] = np.arange(count)
    lanes = random.permutation(len(graph.streams))
    new_lane = np.argsort(lanes)
    edges = np.stack([new_id[sources], new_id[graph.successor]])
    edges = edges[:, np.lexsort((edges[1], edges[0]))]
    columns = ("duration_ns", "kind", "source", "action", "meeting", "compute_rate", "own_rate")
    columns = (*columns, "latency_ns", "flow_bytes_per_s")
    wires = random.permutation(len(graph.link_names))
    first = graph.demand_first
    demands = [random.permutation(np.arange(first[op], first[op + 1])) for op in order]
    demand = np.concatenate([np.zeros(0, dtype=np.int64), *demands]).astype(np.int64)
    return replace(
        graph,
        **{name: getattr(graph, name)[order] for name in columns},
        stream=new_lane[graph.stream[order]].astype(np.int32),
        streams=tuple(graph.streams[lane] for lane in lanes),
        first_successor=np.searchsorted(edges[0], np.arange(count + 1)).astype(np.int64),
        successor=edges[1].astype(np.int32),
        op_names=tuple(graph.op_names[op] for op in order),
        demand_first=np.concatenate([[0], np.cumsum([len(own) for own in demands])]).astype(np.int64),
        demand_link=np.argsort(wires)[graph.demand_link[demand]].astype(np.int32),
        demand_bytes_per_s=graph.demand_bytes_per_s[demand],
        link_capacity=graph.link_capacity[wires],
        link_names=tuple(graph.link_names[wire] for wire in wires),
    )

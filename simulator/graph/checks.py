"""The laws of graphs: whatever built one, an engine may rely on these."""

from __future__ import annotations

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCES
from simulator.errors import BrokenLaw
from simulator.graph.event_graph import COMPUTE_STREAM, HOST_STREAM, EventGraph
from simulator.units import FULL_RATE


def check_graph(graph: EventGraph) -> None:
    """Every op is well formed, ids are topological, streams are chains, meetings are possible, parts add up, links are.

    Raises BrokenLaw with the story of the first op that breaks a law.
    """
    _check_columns(graph)
    _check_edges(graph)
    _check_streams(graph)
    _check_meetings(graph)
    _check_rates(graph)
    _check_parts(graph)
    _check_links(graph)


def law(graph: EventGraph, broken: np.ndarray, story: str, *, named: bool = True, **values: np.ndarray) -> None:
    """Raises BrokenLaw about the first op for which `broken` is true."""
    if broken.any():
        op = int(np.argmax(broken))
        numbers = ", ".join(f"{name} {int(column[op])}" for name, column in values.items())
        subject = graph.op_story(op) if named else f"op {op}"
        raise BrokenLaw(f"{subject} {story}" + (f" ({numbers})" if numbers else ""))


def stream_predecessors(graph: EventGraph) -> np.ndarray:
    """int64[n]: the op ahead of each on its stream, -1 for the first."""
    order = np.argsort(graph.stream, kind="stable")
    same = graph.stream[order][1:] == graph.stream[order][:-1]
    before = np.full(len(graph), -1, dtype=np.int64)
    before[order[1:][same]] = order[:-1][same]
    return before


def _check_columns(graph: EventGraph) -> None:
    count = len(graph)
    per_op = ("stream", "kind", "source", "action", "meeting", "compute_rate", "own_rate")
    bounds = ("first_successor", "part_first", "demand_first")
    sizes = {name: (count, len(getattr(graph, name))) for name in (*per_op, "latency_ns", "flow_bytes_per_s")}
    sizes |= {name: (count + 1, len(getattr(graph, name))) for name in bounds}
    sizes["multiplicity"] = (len(graph.ranks), len(graph.multiplicity))
    sizes["link_names"] = (len(graph.link_capacity), len(graph.link_names))
    sizes["demand_bytes_per_s"] = (len(graph.demand_link), len(graph.demand_bytes_per_s))
    if graph.op_names:
        sizes["op_names"] = (count, len(graph.op_names))
    for name, (expected, found) in sizes.items():
        if expected != found:
            raise BrokenLaw(f"{name} has {found} entries, not {expected}")
    for name, limit in (("stream", len(graph.streams)), ("kind", len(kinds.KINDS)), ("source", len(SOURCES))):
        column = getattr(graph, name)
        law(graph, (column < 0) | (column >= limit), f"has a {name} that does not exist", **{name: column}, named=False)
    unknown = (graph.action < -1) | (graph.action >= len(graph.actions))
    law(graph, unknown, "has an action that does not exist", action=graph.action, named=False)
    law(graph, graph.duration_ns < 0, "has a negative duration", duration=graph.duration_ns)
    if len(set(graph.streams)) != len(graph.streams):
        raise BrokenLaw("a stream is listed twice")
    if len(set(graph.ranks)) != len(graph.ranks) or {stream.rank for stream in graph.streams} - set(graph.ranks):
        raise BrokenLaw("ranks are not distinct, or a stream is on a rank that is not listed")
    if any(count < 1 for count in graph.multiplicity):
        raise BrokenLaw(f"a rank stands for less than one rank: {graph.multiplicity}")


def _check_edges(graph: EventGraph) -> None:
    first = graph.first_successor
    if first[0] != 0 or first[-1] != len(graph.successor) or (np.diff(first) < 0).any():
        raise BrokenLaw("first_successor does not run from 0 up to the number of edges")
    sources = np.repeat(np.arange(len(graph)), np.diff(first))
    if ((graph.successor < 0) | (graph.successor >= len(graph))).any():
        raise BrokenLaw("an edge leads to an op that does not exist")
    backwards = np.zeros(len(graph), dtype=bool)
    backwards[sources[graph.successor <= sources]] = True
    law(graph, backwards, "has a successor with an id that is not higher than its own")
    same_source = sources[1:] == sources[:-1]
    if (same_source & (np.diff(graph.successor.astype(np.int64)) <= 0)).any():
        raise BrokenLaw("the successors of an op are not sorted, or one is listed twice")


def _check_streams(graph: EventGraph) -> None:
    before = stream_predecessors(graph)
    ops = np.flatnonzero(before >= 0)
    count = len(graph)
    sources = np.repeat(np.arange(count), np.diff(graph.first_successor))
    edges = sources * count + graph.successor
    place = np.searchsorted(edges, before[ops] * count + ops)
    found = np.zeros(len(ops), dtype=bool)
    inside = place < len(edges)
    found[inside] = edges[place[inside]] == (before[ops] * count + ops)[inside]
    unchained = np.zeros(count, dtype=bool)
    unchained[ops[~found]] = True
    law(graph, unchained, "has no edge from the op ahead of it on its stream")


def _check_meetings(graph: EventGraph) -> None:
    members = np.flatnonzero(graph.meeting >= 0)
    if not len(members):
        return
    rank = np.array([stream.rank for stream in graph.streams])[graph.stream[members]]
    order = np.lexsort((rank, graph.meeting[members]))
    meeting, rank, members = graph.meeting[members][order], rank[order], members[order]
    twice = np.zeros(len(graph), dtype=bool)
    twice[members[1:][(meeting[1:] == meeting[:-1]) & (rank[1:] == rank[:-1])]] = True
    law(graph, twice, "is the second op of its rank in one meeting")
    present, counts = np.unique(meeting, return_counts=True)
    if graph.meeting_size is not None:
        if present[-1] >= len(graph.meeting_size):
            raise BrokenLaw(f"meeting {present[-1]} has no declared size")
        wrong = np.flatnonzero(counts != graph.meeting_size[present])
        if len(wrong):
            which = present[wrong[0]]
            op = int(members[meeting == which][0])
            raise BrokenLaw(
                f"{graph.op_story(op)} is in a meeting of {graph.meeting_size[which]} with {counts[wrong[0]]} members"
            )


def _check_rates(graph: EventGraph) -> None:
    no_communication = _no_communication(graph)
    for name in ("compute_rate", "own_rate"):
        rate = getattr(graph, name)
        law(graph, (rate < 1) | (rate > FULL_RATE), f"has a {name} outside 1..FULL_RATE", rate=rate)
        law(graph, no_communication & (rate != FULL_RATE), f"is no communication op but has a {name}", rate=rate)


def _no_communication(graph: EventGraph) -> np.ndarray:
    on_device = np.array([stream.name in (COMPUTE_STREAM, HOST_STREAM) for stream in graph.streams], dtype=bool)
    return on_device[graph.stream]


def _check_parts(graph: EventGraph) -> None:
    first = graph.part_first
    if first[0] != 0 or first[-1] != len(graph.part_ns) or (np.diff(first) < 0).any():
        raise BrokenLaw("part_first does not run from 0 up to the number of parts")
    if len(graph.part_kind) != len(graph.part_ns) or (graph.part_kind >= len(kinds.KINDS)).any():
        raise BrokenLaw("parts have no kind, or one that does not exist")
    if (graph.part_ns < 0).any():
        raise BrokenLaw("a part has a negative duration")
    done = np.concatenate([[0], np.cumsum(graph.part_ns)])
    total = done[first[1:]] - done[first[:-1]]
    wrong = (np.diff(first) > 0) & (total != graph.duration_ns)
    law(graph, wrong, "is not as long as its parts", duration=graph.duration_ns, parts=total)


def _check_links(graph: EventGraph) -> None:
    if len(set(graph.link_names)) != len(graph.link_names):
        raise BrokenLaw("a link is listed twice")
    for link in np.flatnonzero(graph.link_capacity < 1)[:1].tolist():
        raise BrokenLaw(f"link {graph.link_names[link]} has a capacity of {graph.link_capacity[link]} bytes/s")
    latency, flow, first = graph.latency_ns, graph.flow_bytes_per_s, graph.demand_first
    outside = (latency < 0) | (latency > graph.duration_ns)
    law(graph, outside, "has a latency that is not a part of it", latency=latency, duration=graph.duration_ns)
    law(graph, flow < 0, "has a negative flow", flow=flow)
    if first[0] != 0 or first[-1] != len(graph.demand_link) or (np.diff(first) < 0).any():
        raise BrokenLaw("demand_first does not run from 0 up to the number of demands")
    if ((graph.demand_link < 0) | (graph.demand_link >= len(graph.link_capacity))).any():
        raise BrokenLaw("a demand is on a link that does not exist")
    if (graph.demand_bytes_per_s < 1).any():
        raise BrokenLaw("a demand is below 1 byte/s")
    loads = np.diff(first) > 0
    law(graph, loads & (flow < 1), "loads a link but has no flow")
    law(graph, loads & _no_communication(graph), "is no communication op but loads a link")

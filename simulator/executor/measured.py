"""Measured spans as a Timeline: the same actions, kinds and streams as the simulated one, one op for each action.

The start of a collective or transfer is the latest of its members' ready times, as in the simulator: before that it
waited for a member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator import kinds
from simulator.executor.job import peer_of
from simulator.executor.spans import Span
from simulator.graph.event_graph import EventGraph, GraphBuilder
from simulator.program.embedding import MESSAGES
from simulator.program.program import Launch, Program
from simulator.timeline import Timeline

_KIND_OF_VERB = {"encode": kinds.COMPRESSION, "decode": kinds.COMPRESSION, "optimizer": kinds.OPTIMIZER,
                 "table_optimizer": kinds.OPTIMIZER}  # fmt: skip
_STREAMS = {"data": (kinds.DATA, "data"), "shard": (kinds.DATA, "shard"), "replica": (kinds.DATA, "replica"),
            "samples": (kinds.DATA, "samples"),
            "tied": (kinds.DATA, "tied"), "embedding": (kinds.EMBEDDING, "table")}  # fmt: skip


def action_graph(program: Program) -> EventGraph:
    """The program as a graph of one op for each action of every rank, unpriced; `check_timeline` holds measured times
    against it."""
    graph, meetings = GraphBuilder(), {}
    for own in program.unfolded().ranks:
        ops: dict[str, int] = {}
        for launch in own.launches:
            action = launch.action
            meeting = -1
            members, key = _meets(program, own.rank, launch)
            if len(members) > 1:
                if key not in meetings:
                    meetings[key] = graph.meeting(len(members))
                meeting = meetings[key]
            ops[action.name] = graph.op(
                own.rank, launch.stream, 0, after=[ops[name] for name in action.after], kind=kind_of(launch),
                meeting=meeting, action=action._replace(after=()).text,
            )  # fmt: skip
    return graph.build()


def kind_of(launch: Launch) -> str:
    """The label of an action's time, as far as it has one label."""
    if launch.stream == "compute":
        return _KIND_OF_VERB.get(launch.action.verb, kinds.COMPUTE)
    return _STREAMS[launch.stream][0] if launch.stream in _STREAMS else kinds.PIPELINE


def measured_timeline(
    program: Program, graph: EventGraph, begin_ns: Sequence[int], spans: Sequence[Sequence[Span]]
) -> Timeline:
    """One step. graph: `action_graph(program)`. begin_ns, spans: of each rank, by rank; time 0 is the first begin."""
    zero = min(begin_ns)
    launches = [launch for own in program.unfolded().ranks for launch in own.launches]
    flat = [span for own in program.unfolded().ranks for span in spans[own.rank]]
    times = np.array([(span.ready_ns, span.start_ns, span.end_ns) for span in flat], dtype=np.int64).reshape(-1, 3)
    ready, start, end = np.maximum(times - zero, 0).T.copy()
    met = graph.meeting >= 0
    latest = np.zeros(int(graph.meeting.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(latest, graph.meeting[met], ready[met])
    start[met] = np.minimum(np.maximum(start[met], latest[graph.meeting[met]]), end[met])
    counts, part_kind, part_ns = [], [], []
    for span, launch in zip(flat, launches, strict=True):
        found = span.parts(kind_of(launch)) if span.children or span.recomputed else ()
        counts.append(len(found))
        part_kind += [kinds.CODE[label] for label, _ in found]
        part_ns += [ns for _, ns in found]
    return Timeline(
        ready, start, end, graph.kind, graph.stream, graph.action,
        np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        np.array(part_kind, dtype=np.uint8), np.array(part_ns, dtype=np.int64),
        graph.streams, graph.ranks, graph.multiplicity, tuple((rank,) for rank in graph.ranks),
        actions=graph.actions, source="measured", program_digest=program.digest(),
    )  # fmt: skip


def _meets(program: Program, rank: int, launch: Launch) -> tuple[Sequence[int], tuple]:
    """The ranks that an action meets, and what names the meeting."""
    layout, action = program.layout, launch.action
    if launch.stream == "compute":
        return (rank,), ()
    if action.verb in ("send", "recv"):
        peer = peer_of(program, rank, action)
        step = {"F": 1, "B": -1}[action.of] if action.verb == "send" else 0
        ends = (rank, peer) if action.verb == "send" else (peer, rank)
        return ends, (*ends, action.stage + step, action.of, action.microbatch)
    kind = MESSAGES[action.verb][1] if action.verb in MESSAGES else _STREAMS[launch.stream][1]
    members = layout.group(kind, rank)
    return members, (launch.stream, kind, members[0], action.name)

"""Who waits for whom when nothing can go on: the story a Deadlock tells."""

from __future__ import annotations

import numpy as np

from simulator.errors import Deadlock
from simulator.graph.event_graph import EventGraph, predecessors

MAX_LINKS = 12
"""Links of the chain that are printed."""


def deadlock(graph: EventGraph, ended: np.ndarray) -> Deadlock:
    """The error for a run in which `ended[n]` says what ended and the rest waits for ever.

    Follows who waits for whom from the first op that never ended: an op waits for an unfinished predecessor (the one
    before it on its stream first), a ready member of a meeting waits for a member that is not ready.
    """
    before = predecessors(graph)
    op = int(np.flatnonzero(~ended)[0])
    seen: dict[int, int] = {}
    links: list[str] = []
    while op not in seen:
        seen[op] = len(links)
        awaited, reason = _awaited(graph, before, ended, op)
        if awaited is None:
            links.append(f"{graph.op_story(op)} {reason}")
            return _error(graph, ended, links, "")
        links.append(f"{graph.op_story(op)} {reason} {graph.op_story(awaited)}")
        op = awaited
    return _error(graph, ended, links[seen[op] :], ", which closes the cycle")


def _awaited(graph: EventGraph, before, ended: np.ndarray, op: int) -> tuple[int | None, str]:
    waits_for = [other for other in before[op].tolist() if not ended[other]]
    if waits_for:
        on_stream = [other for other in waits_for if graph.stream[other] == graph.stream[op]]
        return (on_stream[-1], "is launched after") if on_stream else (waits_for[0], "waits for")
    meeting = int(graph.meeting[op])
    members = np.flatnonzero(graph.meeting == meeting)
    for other in members.tolist():
        if any(not ended[awaited] for awaited in before[other].tolist()):
            return other, "meets"
    return None, f"is {len(members)} of the {graph.meeting_size[meeting]} members of a meeting; the others never come"


def _error(graph: EventGraph, ended: np.ndarray, links: list[str], closing: str) -> Deadlock:
    left_out = len(links) - MAX_LINKS
    if left_out > 0:
        half = MAX_LINKS // 2
        links = [*links[:half], f"... {left_out} more ...", *links[-half:]]
    return Deadlock(f"{int((~ended).sum())} of {len(graph)} ops never end: " + "; ".join(links) + closing)

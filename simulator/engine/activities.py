"""Activities: what starts and ends as one, either a plain op or all members of a meeting.

Seen so, a rendezvous is nothing special: an activity waits for whatever any of its members waits for, and lasts as long
as its longest member. Engines run activities; `times` spreads the answer over the ops again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from simulator.engine.times import Times
from simulator.graph.event_graph import EventGraph


@dataclass(frozen=True)
class Activities:
    """a activities of n ops. Activities are numbered by their lowest op, so that ids keep the order of op ids.

    of_op[n]: the activity of each op. first_op[a+1], op[n]: the members of each activity, ascending.
    duration_ns[a]: the longest of the members' durations.
    first_successor[a+1], successor: edges between activities. num_waits[a]: how many edges come in, plus one that never
    arrives where a meeting has fewer members than it was declared with.
    """

    graph: EventGraph
    of_op: np.ndarray
    first_op: np.ndarray
    op: np.ndarray
    duration_ns: np.ndarray
    first_successor: np.ndarray
    successor: np.ndarray
    num_waits: np.ndarray

    def __len__(self) -> int:
        return len(self.duration_ns)

    def members(self) -> list[tuple[int, ...]]:
        """The ops of each activity, ascending."""
        ops = self.op.tolist()
        if len(self) == len(ops):
            return list(zip(ops, strict=True))
        first = self.first_op.tolist()
        return [tuple(ops[low:high]) for low, high in pairwise(first)]

    def combined(self, function: np.ufunc, values: np.ndarray) -> np.ndarray:
        """For each activity, `function` (such as np.maximum) over the values of its members."""
        return function.reduceat(values[self.op], self.first_op[:-1]) if len(self) else values

    @cached_property
    def edge_sources(self) -> np.ndarray:
        """The op that each edge of the graph comes from."""
        return np.repeat(np.arange(len(self.graph)), np.diff(self.graph.first_successor))

    def times(self, end_ns: np.ndarray) -> Times:
        """The times of all ops from the ends of all activities: the three definitions in three lines."""
        op_end = end_ns[self.of_op]
        ready = np.zeros(len(self.graph), dtype=np.int64)
        np.maximum.at(ready, self.graph.successor, op_end[self.edge_sources])
        if len(self) == len(self.graph):
            return Times(ready, ready.copy(), op_end)
        return Times(ready, self.combined(np.maximum, ready)[self.of_op], op_end)


def activities(graph: EventGraph) -> Activities:
    """The activities of a graph: the graph itself where nothing meets."""
    count = len(graph)
    if not (graph.meeting >= 0).any():
        ops = np.arange(count + 1)
        waits = np.bincount(graph.successor, minlength=count)
        return Activities(
            graph, ops[:-1], ops, ops[:-1], graph.duration_ns, graph.first_successor, graph.successor, waits
        )
    lowest = np.arange(count)
    members = np.flatnonzero(graph.meeting >= 0)
    meetings, first, inverse = np.unique(graph.meeting[members], return_index=True, return_inverse=True)
    lowest[members] = members[first][inverse]
    leaders, of_op = np.unique(lowest, return_inverse=True)
    op = np.argsort(of_op, kind="stable")
    first_op = np.searchsorted(of_op[op], np.arange(len(leaders) + 1))

    sources = of_op[np.repeat(np.arange(count), np.diff(graph.first_successor))]
    order = np.argsort(sources, kind="stable")
    successor = of_op[graph.successor][order]
    waits = np.bincount(successor, minlength=len(leaders))
    if graph.meeting_size is not None:
        missing = graph.meeting_size[meetings] > np.bincount(inverse)
        waits[of_op[members[first]][missing]] += 1
    return Activities(
        graph,
        of_op,
        first_op,
        op,
        np.maximum.reduceat(graph.duration_ns[op], first_op[:-1]),
        np.searchsorted(sources[order], np.arange(len(leaders) + 1)),
        successor,
        waits,
    )

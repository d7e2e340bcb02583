"""EventGraph: ops, dependencies, streams and durations as arrays; what an engine runs and nothing more.

Ids are topological: an op's successors have higher ids. Program order on a stream is edges like any other. An engine
never sees the model, the plan or the profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from simulator import kinds
from simulator.units import FULL_RATE

COMPUTE_STREAM, HOST_STREAM = "compute", "host"
"""The two streams that rules name: kernels run on one, the CPU launches on the other. All others communicate."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One CUDA stream (or the host) of one rank: ops in launch order, one at a time."""

    rank: int
    name: str


@dataclass(frozen=True)
class EventGraph:
    """A priced program. n ops, e edges, s streams.

    duration_ns[n] int64: time of the op when nothing slows it.
    stream[n] int32: index into `streams`. Ops of one stream are chained by edges in launch order.
    kind[n] uint8: code in `kinds.KINDS`. source[n] uint8: code in `costs.price.SOURCES`.
    action[n] int32: index into `actions`, -1 for none.
    first_successor[n+1] int64, successor[e] int32: edges in CSR form, sorted.
    meeting[n] int32: -1, or the id of the rendezvous this op is a member of: all members start together, when the last
        is ready, and end together after the longest of their durations.
    compute_rate[n] int64: on a communication op, the rate (of FULL_RATE) that a compute op of the same rank runs at
        while this op runs; own_rate[n] int64: the rate of this op while a compute op of its rank runs.
        Both FULL_RATE: the op is fixed. A meeting runs at the lowest rate among its members.
    meeting_size[k] int32: how many members meeting k was declared with; None: as many as there are.
    part_first[n+1] int64, part_kind[p] uint8, part_ns[p] int64: what a contracted op is made of (empty for a plain op);
        parts sum to duration_ns.
    multiplicity[r]: how many real ranks each of `ranks` stands for.

    Links, none where nothing is given. Link l has link_capacity[l] int64 bytes/s and is called link_names[l].
    latency_ns[n] int64: the leading part of duration_ns in which the op uses no link; in the rest it transfers.
    flow_bytes_per_s[n] int64: the rate of one flow of the op while it transfers at full speed, the unit in which links
        are shared fairly; 0: it uses no link.
    demand_first[n+1] int64, demand_link[d] int32, demand_bytes_per_s[d] int64: the load that the op, while it transfers
        at full speed, puts on links, in CSR form. Entries for one link add up; an op that stands for k alike and lists
        a link k times is the same to the bit as k ops.
    A meeting has the longest latency and the largest flow of its members and puts all their loads on links.
    """

    duration_ns: np.ndarray
    stream: np.ndarray
    kind: np.ndarray
    source: np.ndarray
    action: np.ndarray
    first_successor: np.ndarray
    successor: np.ndarray
    meeting: np.ndarray
    compute_rate: np.ndarray
    own_rate: np.ndarray
    part_first: np.ndarray
    part_kind: np.ndarray
    part_ns: np.ndarray
    streams: tuple[Stream, ...]
    ranks: tuple[int, ...]
    multiplicity: tuple[int, ...]
    actions: tuple[str, ...] = ()
    op_names: tuple[str, ...] = field(default=(), repr=False)
    meeting_size: np.ndarray | None = None
    latency_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    flow_bytes_per_s: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    demand_first: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    demand_link: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    demand_bytes_per_s: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    link_capacity: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    link_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A graph that is given no links has none, whatever its number of ops."""
        for column, length in (("latency_ns", 0), ("flow_bytes_per_s", 0), ("demand_first", 1)):
            if not len(getattr(self, column)):
                object.__setattr__(self, column, np.zeros(len(self) + length, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.duration_ns)

    @property
    def is_fixed(self) -> bool:
        """True when no op can change another's rate: nothing overlaps at a price, and no op uses a link."""
        overlaps = (self.compute_rate < FULL_RATE).any() or (self.own_rate < FULL_RATE).any()
        return not overlaps and not len(self.demand_link)

    def op_story(self, op: int) -> str:
        """What messages call an op: rank, stream, and its action, else its own name, else its kind."""
        stream = self.streams[self.stream[op]]
        text = self.actions[self.action[op]] if self.action[op] >= 0 else ""
        text = text or (self.op_names[op] if self.op_names else "") or kinds.KINDS[self.kind[op]]
        return f"rank {stream.rank} {stream.name} '{text}' (op {op})"


class GraphBuilder:
    """Builds a small graph op by op, for tests and for pieces that no template covers.

    >>> graph = GraphBuilder()
    >>> first = graph.op(0, "compute", 5)
    >>> second = graph.op(0, "data", 7, after=[first], kind=kinds.DATA)
    >>> len(graph.build())
    2
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._edges: list[tuple[int, int]] = []
        self._streams: dict[Stream, int] = {}
        self._last: dict[int, int] = {}
        self._actions: dict[str, int] = {}
        self._parts: dict[int, tuple[tuple[str, int], ...]] = {}
        self._names: list[str] = []
        self._meeting_sizes: list[int] = []
        self._demands: list[tuple[tuple[int, int], ...]] = []
        self._links: dict[str, int] = {}

    def meeting(self, num_members: int) -> int:
        """A new meeting of this many members: pass the id to `op`. Where one never comes, a run is a Deadlock."""
        self._meeting_sizes.append(num_members)
        return len(self._meeting_sizes) - 1

    def link(self, name: str, capacity_bytes_per_s: int) -> int:
        """A new link: pass the id in `op`'s demands. Raises ValueError for a name that is taken."""
        if name in self._links:
            raise ValueError(f"a link is called {name!r} already; give each link a name of its own")
        self._links[name] = capacity_bytes_per_s
        return len(self._links) - 1

    def op(
        self,
        rank: int,
        stream: str,
        duration_ns: int,
        *,
        after: Iterable[int] = (),
        kind: str = kinds.COMPUTE,
        meeting: int = -1,
        compute_rate: int = FULL_RATE,
        own_rate: int = FULL_RATE,
        source: int = 0,
        action: str | None = None,
        name: str = "",
        parts: tuple[tuple[str, int], ...] = (),
        latency_ns: int = 0,
        flow_bytes_per_s: int = 0,
        demands: tuple[tuple[int, int], ...] = (),
    ) -> int:
        """Appends an op to the end of a stream and returns its id; `after` are ids of ops it depends on.

        demands: (link, bytes/s at full speed) for every link that it loads while it transfers.
        """
        op = len(self._rows)
        lane = self._streams.setdefault(Stream(rank, stream), len(self._streams))
        before = dict.fromkeys(after)
        if lane in self._last:
            before.setdefault(self._last[lane])
        self._edges.extend((other, op) for other in before)
        self._last[lane] = op
        act = -1 if action is None else self._actions.setdefault(action, len(self._actions))
        row = (duration_ns, lane, kinds.CODE[kind], source, act, meeting)
        self._rows.append((*row, compute_rate, own_rate, latency_ns, flow_bytes_per_s))
        self._demands.append(demands)
        if parts:
            self._parts[op] = parts
        self._names.append(name or action or "")
        return op

    def build(self, multiplicity: dict[int, int] | None = None) -> EventGraph:
        """The graph so far. `multiplicity` maps a rank to the number of ranks it stands for (default 1).

        Meeting ids are either all from `meeting` or all the caller's own numbers.
        """
        count = len(self._rows)
        table = np.array(self._rows, dtype=np.int64).reshape(count, 10)
        edges = np.array(self._edges, dtype=np.int64).reshape(len(self._edges), 2)
        order = np.lexsort((edges[:, 1], edges[:, 0]))
        ranks = tuple(sorted({stream.rank for stream in self._streams}))
        parts = [part for op in range(count) for part in self._parts.get(op, ())]
        demands = [demand for own in self._demands for demand in own]
        return EventGraph(
            duration_ns=table[:, 0].copy(),
            stream=table[:, 1].astype(np.int32),
            kind=table[:, 2].astype(np.uint8),
            source=table[:, 3].astype(np.uint8),
            action=table[:, 4].astype(np.int32),
            meeting=table[:, 5].astype(np.int32),
            compute_rate=table[:, 6].copy(),
            own_rate=table[:, 7].copy(),
            first_successor=np.searchsorted(edges[order, 0], np.arange(count + 1)).astype(np.int64),
            successor=edges[order, 1].astype(np.int32),
            part_first=_first(len(self._parts.get(op, ())) for op in range(count)),
            part_kind=np.array([kinds.CODE[kind] for kind, _ in parts], dtype=np.uint8),
            part_ns=np.array([ns for _, ns in parts], dtype=np.int64),
            streams=tuple(self._streams),
            ranks=ranks,
            multiplicity=tuple((multiplicity or {}).get(rank, 1) for rank in ranks),
            actions=tuple(self._actions),
            op_names=tuple(self._names),
            meeting_size=np.array(self._meeting_sizes, dtype=np.int32) if self._meeting_sizes else None,
            latency_ns=table[:, 8].copy(),
            flow_bytes_per_s=table[:, 9].copy(),
            demand_first=_first(len(own) for own in self._demands),
            demand_link=np.array([link for link, _ in demands], dtype=np.int32),
            demand_bytes_per_s=np.array([rate for _, rate in demands], dtype=np.int64),
            link_capacity=np.array(list(self._links.values()), dtype=np.int64),
            link_names=tuple(self._links),
        )


def _first(counts: Iterable[int]) -> np.ndarray:
    """Where each row begins in CSR form, with the total at the end: int64."""
    return np.concatenate([[0], np.cumsum(list(counts), dtype=np.int64)]).astype(np.int64)


def predecessors(graph: EventGraph) -> Sequence[np.ndarray]:
    """For each op, the ids of the ops it waits for, ascending (for messages and checks; not a hot path)."""
    counts = np.diff(graph.first_successor)
    sources = np.repeat(np.arange(len(graph)), counts)
    order = np.argsort(graph.successor, kind="stable")
    bounds = np.searchsorted(graph.successor[order], np.arange(len(graph) + 1))
    return [sources[order[bounds[op] : bounds[op + 1]]] for op in range(len(graph))]

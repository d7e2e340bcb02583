"""Tiling: places templates in one graph, all at once, with numpy.

Nothing here knows what an action means: it sees templates, the rank each copy belongs to, which copies precede which,
and which ops meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCE_CODE
from simulator.graph.event_graph import EventGraph, Stream
from simulator.graph.templates import Template
from simulator.network.loads import Slot


@dataclass(frozen=True)
class Links:
    """names, capacity_bytes_per_s: of each link. of_slot[rank, slot]: the link in a slot of a rank, and how many ranks
    alike, which this one stands for, load that very link at the same time.
    """

    names: tuple[str, ...] = ()
    capacity_bytes_per_s: tuple[int, ...] = ()
    of_slot: Mapping[tuple[int, Slot], tuple[int, int]] = field(default_factory=dict)


@dataclass
class Tiling:
    """Collects placements; `build` makes the arrays. Placement ids are handed out in order and must be topological."""

    templates: list[Template] = field(default_factory=list)
    _known: dict[int, tuple[int, tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    _placed: list[int] = field(default_factory=list)
    _rank: list[int] = field(default_factory=list)
    _action: list[int] = field(default_factory=list)
    _lane: list[str | None] = field(default_factory=list)
    _edges: list[tuple[int, int]] = field(default_factory=list)
    _meetings: list[tuple[int, int, tuple]] = field(default_factory=list)
    _op_count: int = 0

    def place(
        self, template: Template, rank: int, action: int, after: Sequence[tuple[int, ...]], lane: str | None = None
    ) -> tuple[int, tuple[int, ...]]:
        """Adds a copy. after: exits (global op ids) of the copies that precede it. lane: the stream that its single op
        runs on, where the template leaves it open. Returns its first op's id and its exits."""
        known = self._known.get(id(template))
        if known is None:
            known = self._known[id(template)] = len(self.templates), template.entries, template.exits
            self.templates.append(template)
        number, entries, exits = known
        first = self._op_count
        self._placed.append(number)
        self._rank.append(rank)
        self._action.append(action)
        self._lane.append(lane)
        self._edges += [(other, first + local) for ends in after for other in ends for local in entries]
        self._op_count += len(template.ops)
        return first, tuple([first + local for local in exits])

    def meet(self, op: int, key: tuple) -> None:
        """Op joins the rendezvous of this key."""
        self._meetings.append((op, len(self._meetings), key))

    def build(self, multiplicity: dict[int, int], actions: tuple[str, ...], links: Links | None = None) -> EventGraph:
        """The whole graph. links: those that the demands of templates name by slot; None: they name none."""
        columns = _Columns(self.templates)
        placed = np.array(self._placed, dtype=np.int64)
        offsets, owner, source_op = self._copies(columns)
        streams, stream = self._streams(columns, owner, source_op)
        edges = np.array(self._edges, dtype=np.int64).reshape(-1, 2)
        inner, inner_owner = _spread(columns.edge_count[placed], columns.edge_first[placed])
        edges = np.concatenate([edges, columns.edges[inner] + offsets[inner_owner, None], _program_order(stream)])
        first_successor, successor = _csr(edges, self._op_count)
        part_count = columns.part_count[source_op]
        part, _ = _spread(part_count, columns.part_first[source_op])
        names = columns.names
        return EventGraph(
            duration_ns=columns.duration[source_op],
            stream=stream,
            kind=columns.kind[source_op],
            source=columns.source[source_op],
            action=np.array(self._action, dtype=np.int32)[owner],
            first_successor=first_successor,
            successor=successor,
            meeting=self._meeting_ids(),
            compute_rate=columns.compute_rate[source_op],
            own_rate=columns.own_rate[source_op],
            part_first=np.concatenate([[0], np.cumsum(part_count)]).astype(np.int64),
            part_kind=columns.part_kind[part],
            part_ns=columns.part_ns[part],
            streams=streams,
            ranks=tuple(multiplicity),
            multiplicity=tuple(multiplicity.values()),
            actions=actions,
            op_names=tuple(names[index] for index in columns.name[source_op].tolist()),
            **self._demands(columns, owner, source_op, links or Links()),
        )

    def repeats(self) -> tuple[np.ndarray, np.ndarray]:
        """(repeat_error float64[n], draw int64[n]): how each op's time scatters, and the op whose draw it takes."""
        columns = _Columns(self.templates)
        offsets, owner, source_op = self._copies(columns)
        draw = np.arange(self._op_count)
        shared = columns.drawn_with[source_op]
        draw = np.where(shared < 0, draw, offsets[owner] + shared)
        first: dict[tuple, int] = {}
        for op, _, key in self._meetings:  # members of a rendezvous are one measurement
            draw[op] = first.setdefault(key, op)
        return columns.repeat_error[source_op], draw

    def _copies(self, columns: _Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64: of each copy its first op; of each op its copy and its place among the templates' ops."""
        placed = np.array(self._placed, dtype=np.int64)
        counts = columns.count[placed]
        offsets = np.cumsum(counts) - counts
        owner = np.repeat(np.arange(len(placed)), counts)
        return offsets, owner, np.arange(self._op_count) - offsets[owner] + columns.first[placed][owner]

    def _streams(
        self, columns: _Columns, owner: np.ndarray, source_op: np.ndarray
    ) -> tuple[tuple[Stream, ...], np.ndarray]:
        lanes = [*columns.lanes]
        code = {name: index for index, name in enumerate(lanes)}
        override = np.full(len(self._placed), -1, dtype=np.int64)
        for place, lane in enumerate(self._lane):
            if lane is not None:
                if lane not in code:
                    code[lane] = len(lanes)
                    lanes.append(lane)
                override[place] = code[lane]
        lane_of_op = np.where(override[owner] >= 0, override[owner], columns.lane[source_op])
        rank_of_op = np.array(self._rank, dtype=np.int64)[owner]
        keys = rank_of_op * len(lanes) + lane_of_op
        found, stream = np.unique(keys, return_inverse=True)
        streams = tuple(Stream(int(key) // len(lanes), lanes[int(key) % len(lanes)]) for key in found)
        return streams, stream.astype(np.int32)

    def _demands(self, columns: _Columns, owner: np.ndarray, source_op: np.ndarray, links: Links) -> dict:
        """The graph's columns about links; none where no template asks anything of them."""
        if not len(columns.slot):
            return {}
        ranks = {rank: index for index, rank in enumerate(dict.fromkeys(self._rank))}
        link = np.full((len(ranks), len(columns.slots)), -1, dtype=np.int64)
        times = np.zeros_like(link)
        code = {slot: index for index, slot in enumerate(columns.slots)}
        for (rank, slot), (number, count) in links.of_slot.items():
            if slot in code and rank in ranks:
                link[ranks[rank], code[slot]], times[ranks[rank], code[slot]] = number, count
        row, op = _spread(columns.demand_count[source_op], columns.demand_first[source_op])
        rank_row = np.array([ranks[rank] for rank in self._rank], dtype=np.int64)[owner][op]
        slot = columns.slot[row]
        repeats = times[rank_row, slot]
        return {
            "latency_ns": columns.latency[source_op],
            "flow_bytes_per_s": columns.flow[source_op],
            "demand_first": np.concatenate([[0], np.cumsum(np.bincount(op, repeats, self._op_count))]).astype(np.int64),
            "demand_link": np.repeat(link[rank_row, slot], repeats).astype(np.int32),
            "demand_bytes_per_s": np.repeat(columns.slot_rate[row], repeats),
            "link_capacity": np.array(links.capacity_bytes_per_s, dtype=np.int64),
            "link_names": links.names,
        }

    def _meeting_ids(self) -> np.ndarray:
        meeting = np.full(self._op_count, -1, dtype=np.int32)
        numbers: dict[tuple, int] = {}
        for op, _, key in self._meetings:
            meeting[op] = numbers.setdefault(key, len(numbers))
        return meeting


class _Columns:
    """Every template's ops, edges and parts in one row of arrays."""

    def __init__(self, templates: list[Template]):
        ops = [op for template in templates for op in template.ops]
        sizes = [len(template.ops) for template in templates]
        self.count = np.array(sizes, dtype=np.int64)
        self.first = np.cumsum(self.count) - self.count
        self.duration = np.array([op.price.duration_ns for op in ops], dtype=np.int64)
        self.kind = np.array([kinds.CODE[op.kind] for op in ops], dtype=np.uint8)
        self.source = np.array([SOURCE_CODE[op.price.source] for op in ops], dtype=np.uint8)
        self.repeat_error = np.array([op.price.repeat_error for op in ops], dtype=np.float64)
        self.drawn_with = np.array([-1 if op.drawn_with is None else op.drawn_with for op in ops], dtype=np.int64)
        self.compute_rate = np.array([op.compute_rate for op in ops], dtype=np.int64)
        self.own_rate = np.array([op.own_rate for op in ops], dtype=np.int64)
        self.lanes = tuple(dict.fromkeys(op.stream for op in ops))
        code = {name: index for index, name in enumerate(self.lanes)}
        self.lane = np.array([code[op.stream] for op in ops], dtype=np.int64)
        self.names = tuple(dict.fromkeys(op.name for op in ops))
        code = {name: index for index, name in enumerate(self.names)}
        self.name = np.array([code[op.name] for op in ops], dtype=np.int64)
        edges = [[(other, local) for local, op in enumerate(t.ops) for other in op.after] for t in templates]
        self.edge_count = np.array([len(own) for own in edges], dtype=np.int64)
        self.edge_first = np.cumsum(self.edge_count) - self.edge_count
        self.edges = np.array([edge for own in edges for edge in own], dtype=np.int64).reshape(-1, 2)
        self.latency = np.array([op.demand.latency_ns for op in ops], dtype=np.int64)
        self.flow = np.array([op.demand.flow_bytes_per_s for op in ops], dtype=np.int64)
        asked = [row for op in ops for row in op.demand.slots]
        self.demand_count = np.array([len(op.demand.slots) for op in ops], dtype=np.int64)
        self.demand_first = np.cumsum(self.demand_count) - self.demand_count
        self.slots = tuple(dict.fromkeys(slot for slot, _ in asked))
        code = {slot: index for index, slot in enumerate(self.slots)}
        self.slot = np.array([code[slot] for slot, _ in asked], dtype=np.int64)
        self.slot_rate = np.array([rate for _, rate in asked], dtype=np.int64)
        parts = [part for op in ops for part in op.parts]
        self.part_count = np.array([len(op.parts) for op in ops], dtype=np.int64)
        self.part_first = np.cumsum(self.part_count) - self.part_count
        self.part_kind = np.array([kinds.CODE[kind] for kind, _ in parts], dtype=np.uint8)
        self.part_ns = np.array([ns for _, ns in parts], dtype=np.int64)


def _spread(count: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64, int64: for each owner its `count` rows from `first` on, one after another, and whose each is."""
    owner = np.repeat(np.arange(len(count)), count)
    return np.arange(len(owner)) - (np.cumsum(count) - count)[owner] + first[owner], owner


def _program_order(stream: np.ndarray) -> np.ndarray:
    """An edge from each op to the next on its stream, int64[e, 2]."""
    order = np.argsort(stream, kind="stable")
    same = stream[order[:-1]] == stream[order[1:]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _csr(edges: np.ndarray, num_ops: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges as (first_successor, successor), sorted and without repeats."""
    keys = np.sort(edges[:, 0] * num_ops + edges[:, 1])
    if len(keys):
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    sources, targets = np.divmod(keys, max(num_ops, 1))
    return np.searchsorted(sources, np.arange(num_ops + 1)).astype(np.int64), targets.astype(np.int32)

"""expand: Program + prices -> EventGraph.

Each action becomes its steps (kernels and the collectives inside it), laid out and priced once as a template and placed
wherever the action occurs: as one op where nothing can disturb it (`whole_actions.py`), else op by op, so that what
overlaps is slowed for just as long as it overlaps.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCES
from simulator.graph.assemble import Links, Tiling
from simulator.graph.event_graph import EventGraph
from simulator.graph.messages import KIND_OF_STREAM, collective_of
from simulator.graph.pieces import Piece
from simulator.graph.steps import StepSource
from simulator.graph.surroundings import Surroundings
from simulator.graph.templates import Op, Solve, Template, bytes_by_slot, contract, in_turn, lay_out, source_shares
from simulator.graph.whole_actions import WholeActions
from simulator.network.loads import Slot
from simulator.program.actions import Action
from simulator.program.fold import Folding
from simulator.program.program import Launch, RankProgram
from simulator.units import NS_PER_S

if TYPE_CHECKING:
    from simulator.costs.pricer import Pricer


class LinkUse(NamedTuple):
    """One link of a class of alike ones. capacity_bytes_per_s: what large messages reach on it."""

    link: str
    capacity_bytes_per_s: int
    size_bytes: int

    def share(self, step_ns: int) -> float:
        """Of what it could have carried in a step."""
        return self.size_bytes * NS_PER_S / (self.capacity_bytes_per_s * step_ns) if step_ns else 0.0


@dataclass(frozen=True)
class Expanded:
    """graph; busy_ns: rank-weighted ns priced from each kind of source, in the order of `costs.price.SOURCES`;
    members: the real ranks behind each of graph.ranks; actions: what the texts of graph.actions stand for.

    link_use: of each class of links one, with the bytes that all ranks put on it in the step, contracted or not.
    repeat_error[n]: how each op's time scatters between repeats. draw[n]: the op whose draw it takes: its own, or the
    first of those that were measured together (the kernels of a piece, the members of a rendezvous).
    """

    graph: EventGraph
    busy_ns: np.ndarray
    members: tuple[Sequence[int], ...]
    actions: tuple[Action, ...]
    link_use: tuple[LinkUse, ...]
    repeat_error: np.ndarray
    draw: np.ndarray

    @property
    def provenance(self) -> dict[str, float]:
        """Share of the priced time that each kind of source stands for."""
        total = int(self.busy_ns.sum())
        return {name: (int(ns) / total if total else 0.0) for name, ns in zip(SOURCES, self.busy_ns, strict=True)}


class Sums(NamedTuple):
    """Of the ops of a template, contracted or not. busy_ns: by kind of source. link_bytes: by slot."""

    busy_ns: np.ndarray
    link_bytes: dict[Slot, int]

    @classmethod
    def of(cls, template: Template) -> Sums:
        return cls(source_shares(template), bytes_by_slot(template))

    @classmethod
    def of_all(cls, sums: Sequence[Sums]) -> Sums:
        link_bytes: dict[Slot, int] = {}
        for one in sums:
            for slot, size in one.link_bytes.items():
                link_bytes[slot] = link_bytes.get(slot, 0) + size
        return cls(sum((one.busy_ns for one in sums), np.zeros(len(SOURCES), dtype=np.int64)), link_bytes)


def expand(
    folding: Folding, steps: StepSource, pricer_of: Callable[[int], Pricer], scenario, solve: Solve, *,
    shared: bool = True, contracted: bool = True,
) -> Expanded:  # fmt: skip
    """The priced graph of a folded program.

    steps: what each compute action runs. pricer_of: the prices of a rank. scenario: for its
    cluster. solve: runs a small graph alone. shared: messages share links. contracted False keeps every op; times
    agree to the nanosecond (tested).
    """
    return _Expansion(folding, steps, pricer_of, scenario, solve, shared, contracted).run()


class _Expansion:
    def __init__(self, folding: Folding, steps: StepSource, pricer_of, scenario, solve: Solve, shared, contracted):
        self.folding, self.steps, self.solve, self.contracted = folding, steps, solve, contracted
        self.layout = folding.program.layout
        self.pricers = {own.rank: pricer_of(own.rank) for own in folding.program.ranks}
        self.around = {
            rank: Surroundings(scenario.cluster, self.layout, folding, rank, pricer, shared=shared)
            for rank, pricer in self.pricers.items()
        }
        self.cluster = scenario.cluster
        self.tiling = Tiling()
        self.templates: dict[tuple, tuple[Template, Sums]] = {}
        self.pieces: dict[tuple, tuple[Piece, Template, Sums]] = {}
        self.actions: dict[tuple, tuple[int, Action]] = {}
        self.busy_ns = np.zeros(len(SOURCES), dtype=np.int64)
        self.link_bytes = [0] * len(folding.links)
        self.other_ends: dict[tuple[int, int], int] = {}
        self.present = cache(lambda kind, rank: folding.present(self.layout.group(kind, rank)))

    def run(self) -> Expanded:
        ranks = self.folding.program.ranks
        whole = WholeActions(ranks, self.around, self.pricers, self.layout, self.present)
        for own in ranks:
            self._place_rank(own, whole.broken_up(own) if self.contracted else None)
        multiplicity = {own.rank: len(own.members) for own in ranks}
        actions = tuple(action for _, action in self.actions.values())
        links = self._links()
        graph = self.tiling.build(multiplicity, tuple(action.words for action in actions), links)
        used = zip(links.names, links.capacity_bytes_per_s, self.link_bytes, strict=True)
        members = tuple(own.members for own in ranks)
        return Expanded(graph, self.busy_ns, members, actions, tuple(map(LinkUse._make, used)), *self.tiling.repeats())

    def _links(self) -> Links:
        """What messages reach on each link: no less than the fastest of them needs alone where it is in order."""
        names = tuple(link.name for link in self.folding.links)
        capacity = [0] * len(names)
        for (rank, slot), link in self.folding.link_of.items():
            capacity[link.number] = max(capacity[link.number], self.around[rank].capacity(slot))
        of_slot = {key: (link.number, link.alike) for key, link in self.folding.link_of.items()}
        return Links(names, tuple(capacity), of_slot)

    def _place_rank(self, own: RankProgram, broken_up: Container[str] | None) -> None:
        exits: dict[str, tuple[int, ...]] = {}
        tail: dict[str, tuple[int, ...]] = {}
        used: dict[int, list] = {}
        for launch in own.launches:
            action = launch.action
            name = action.name
            template, sums = self._template(own, launch, broken_up is not None and name not in broken_up)
            before = [exits[name] for name in action.after]
            if launch.stream in tail:
                before.append(tail[launch.stream])
            # without `after`, an action is told by its words: all fields but that one
            number, _ = self.actions.setdefault(action[:-1], (len(self.actions), action))
            if template.ops:
                lane = None if launch.stream == "compute" else launch.stream
                first, ends = self.tiling.place(template, own.rank, number, before, lane)
                self._meet(own, launch, template, first)
            else:
                ends = tuple(dict.fromkeys(op for group in before for op in group))
            exits[name] = tail[launch.stream] = ends
            used.setdefault(id(sums), [sums, 0])[1] += 1
        for sums, times in used.values():
            self.busy_ns += sums.busy_ns * (times * len(own.members))
            for slot, size in sums.link_bytes.items():
                link = self.around[own.rank].link(slot)
                self.link_bytes[link.number] += size * times * link.alike

    def _template(self, own: RankProgram, launch: Launch, whole: bool) -> tuple[Template, Sums]:
        action, around, pricer = launch.action, self.around[own.rank], self.pricers[own.rank]
        on_compute = launch.stream == "compute"
        # Whatever the steps depend on besides the action's own words: its rank's pieces, by stage and bucket.
        signature = self.steps.signature(own, action) if on_compute else self._message(own, launch)
        key = signature, around.signature, pricer, whole
        if key not in self.templates:
            if on_compute:
                found = [self._piece(piece, around, pricer) for piece in self.steps.steps(own, action)]
                pieces = [template for template, _ in found]
                sums = Sums.of_all([own_sums for _, own_sums in found])
                template = contract(pieces, action.verb, self.solve, around) if whole else in_turn(pieces)
            else:
                template = self._communication(own, launch)
                sums = Sums.of(template)
            self.templates[key] = (template, sums)
        return self.templates[key]

    def _piece(self, piece: Piece, around: Surroundings, pricer: Pricer) -> tuple[Template, Sums]:
        key = id(piece), around.signature, pricer
        if key not in self.pieces:
            template = lay_out(piece.steps, pricer, around, piece.name, launched=piece.launched)
            self.pieces[key] = piece, template, Sums.of(template)  # the piece is kept, so that its id stays its own
        return self.pieces[key][1:]

    def _message(self, own: RankProgram, launch: Launch) -> tuple:
        action = launch.action
        return (own.rank, launch.stream, action.verb, action.size_bytes, action.peer, action.method, action.phase)

    def _communication(self, own: RankProgram, launch: Launch) -> Template:
        action, around, pricer = launch.action, self.around[own.rank], self.pricers[own.rank]
        size = action.size_bytes
        if action.verb in ("send", "recv"):
            kind, op, group, peer = kinds.PIPELINE, action.verb, "pipeline", self._peer(own.rank, action)
            price = pricer.transfer(size, self.cluster.span(tuple(sorted((own.rank, peer)))))
            demand = around.transfer(price, peer, sends=op == "send")
        else:
            kind = KIND_OF_STREAM[launch.stream]
            op, group, size, algorithm = collective_of(launch, self.steps, lambda kind: around.span(kind).size)
            price = pricer.collective(op, size, around.span(group), algorithm)
            demand = around.collective(group, price)
        compute_rate, own_rate = pricer.rates(kind, size)
        return Template((Op(launch.stream, kind, price, op, group=group, compute_rate=compute_rate, own_rate=own_rate,
                            demand=demand),))  # fmt: skip

    def _peer(self, rank: int, action: Action) -> int:
        _, data_rank, context_rank, tensor_rank = self.layout.coordinates(rank)
        return self.layout.rank(action.peer, data_rank, context_rank, tensor_rank)

    def _meet(self, own: RankProgram, launch: Launch, template: Template, first: int) -> None:
        """Ops that other representatives take part in join a rendezvous; within one representative it is implied."""
        action = launch.action
        for local, op in enumerate(template.ops):
            if op.group is None:
                continue
            if op.group == "pipeline":
                step = {"F": 1, "B": -1}[action.of] if action.verb == "send" else 0
                ends = (own.rank, self._other_end(own.rank, action))
                pair = ends if action.verb == "send" else ends[::-1]
                self.tiling.meet(first + local, (*pair, action.stage + step, action.of, action.microbatch))
                continue
            present = self.present(op.group, own.rank)
            if len(present) > 1:
                self.tiling.meet(first + local, (op.group, present[0], action.name, local))

    def _other_end(self, rank: int, action: Action) -> int:
        key = rank, action.peer
        if key not in self.other_ends:
            self.other_ends[key] = self.folding.representative(self._peer(rank, action))
        return self.other_ends[key]

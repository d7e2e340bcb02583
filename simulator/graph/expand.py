"""expand: Program + prices -> EventGraph.

Each action becomes its steps (kernels and the collectives inside it), laid out and priced once as a template and placed
wherever the action occurs. An action that no interacting stream can overlap is placed contracted, as one op; the others
op by op, so that what overlaps is slowed for just as long as it overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCES
from simulator.graph.assemble import Tiling
from simulator.graph.event_graph import EventGraph
from simulator.graph.steps import StepSource
from simulator.graph.templates import Op, Solve, Template, contract, in_turn, lay_out, source_shares
from simulator.program.actions import Action
from simulator.program.program import Launch, Program, RankProgram
from simulator.units import FULL_RATE

_GROUP_OF_STREAM = {"data": "data", "tied": "tied", "embedding": "table"}
_KIND_OF_STREAM = {"data": kinds.DATA, "tied": kinds.DATA, "embedding": kinds.EMBEDDING}
_OP_OF_VERB = {
    "reduce": "all_reduce", "reduce_scatter": "reduce_scatter", "all_gather": "all_gather",
    "exchange ids": "all_to_all", "exchange vectors": "all_to_all", "exchange gradients": "all_to_all",
    "gather vectors": "all_gather",
}  # fmt: skip


@dataclass(frozen=True)
class Expanded:
    """graph; busy_ns: rank-weighted ns priced from each kind of source, in the order of `costs.price.SOURCES`;
    members: the real ranks behind each of graph.ranks; actions: what the texts of graph.actions stand for.

    repeat_error[n]: how each op's time scatters between repeats. draw[n]: the op whose draw it takes: its own, or the
    first of those that were measured together (the kernels of a piece, the members of a rendezvous).
    """

    graph: EventGraph
    busy_ns: np.ndarray
    members: tuple[Sequence[int], ...]
    actions: tuple[Action, ...]
    repeat_error: np.ndarray
    draw: np.ndarray

    @property
    def provenance(self) -> dict[str, float]:
        """Share of the priced time that each kind of source stands for."""
        total = int(self.busy_ns.sum())
        return {name: (int(ns) / total if total else 0.0) for name, ns in zip(SOURCES, self.busy_ns, strict=True)}


def expand(program: Program, steps: StepSource, pricer, scenario, solve: Solve, *, contracted: bool = True) -> Expanded:
    """The priced graph of a program.

    steps: what each compute action runs. pricer: `costs.pricer.Pricer`. scenario: for its cluster and its aggregation.
    solve: runs a small graph alone. contracted False keeps every op; times agree to the nanosecond (tested).
    """
    return _Expansion(program, steps, pricer, scenario, solve, contracted).run()


class _Expansion:
    def __init__(self, program: Program, steps: StepSource, pricer, scenario, solve: Solve, contracted: bool):
        self.program, self.steps, self.pricer = program, steps, pricer
        self.cluster, self.solve, self.contracted = scenario.cluster, solve, contracted
        self.algorithm = scenario.plan.aggregation.algorithm
        self.tiling = Tiling()
        self.templates: dict[tuple, Template] = {}
        self.actions: dict[tuple, tuple[int, Action]] = {}
        self.busy_ns = np.zeros(len(SOURCES), dtype=np.int64)
        self.peers: dict[tuple[int, int], int] = {}
        self.stands_for = {rank: own.rank for own in program.ranks for rank in own.members}

    def run(self) -> Expanded:
        for own in self.program.ranks:
            self._place_rank(own)
        multiplicity = {own.rank: len(own.members) for own in self.program.ranks}
        actions = tuple(action for _, action in self.actions.values())
        graph = self.tiling.build(multiplicity, tuple(action.words for action in actions))
        members = tuple(own.members for own in self.program.ranks)
        return Expanded(graph, self.busy_ns, members, actions, *self.tiling.repeats())

    def _place_rank(self, own: RankProgram) -> None:
        interacting = interacting_actions(own.launches, self._slows)
        exits: dict[str, tuple[int, ...]] = {}
        tail: dict[str, tuple[int, ...]] = {}
        used: dict[int, list] = {}
        for launch in own.launches:
            action = launch.action
            name = action.name
            whole = self.contracted and name not in interacting
            template, shares = self._template(own, launch, whole)
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
            used.setdefault(id(shares), [shares, 0])[1] += 1
        for shares, times in used.values():
            self.busy_ns += shares * (times * len(own.members))

    def _slows(self, stream: str) -> bool:
        kind = _KIND_OF_STREAM.get(stream)
        return kind is not None and self.pricer.rates(kind) != (FULL_RATE, FULL_RATE)

    def _template(self, own: RankProgram, launch: Launch, whole: bool) -> tuple[Template, np.ndarray]:
        action = launch.action
        on_compute = launch.stream == "compute"
        # Whatever the steps depend on besides the action's own words: its rank's pieces, by stage and bucket.
        key = self.steps.signature(own, action) if on_compute else self._message(own, launch)
        if (key, whole) not in self.templates:
            if on_compute:
                spans = self._spans(own)
                pieces = [lay_out(piece, self.pricer, spans) for piece in self.steps.steps(own, action)]
                template = in_turn(pieces)
                shares = source_shares(template)
                if whole:
                    template = contract(pieces, action.verb, self.solve)
            else:
                template = self._communication(own, launch)
                shares = source_shares(template)
            self.templates[key, whole] = (template, shares)
        return self.templates[key, whole]

    def _spans(self, own: RankProgram):
        return lambda group: self.cluster.crowded_span(self.program.layout.group(group, own.rank))

    def _message(self, own: RankProgram, launch: Launch) -> tuple:
        action = launch.action
        return (own.rank, launch.stream, action.verb, action.size_bytes, action.peer, action.method, action.phase)

    def _communication(self, own: RankProgram, launch: Launch) -> Template:
        action = launch.action
        if action.verb in ("send", "recv"):
            span = self.cluster.crowded_span(tuple(sorted((own.rank, self._peer(own.rank, action)))))
            price = self.pricer.transfer(action.size_bytes, span)
            compute_rate, own_rate = self.pricer.rates(kinds.PIPELINE)
            return Template((Op(launch.stream, kinds.PIPELINE, price, action.verb, group="pipeline",
                                compute_rate=compute_rate, own_rate=own_rate),))  # fmt: skip
        kind = _KIND_OF_STREAM[launch.stream]
        group = "tensor" if action.verb == "gather vectors" else _GROUP_OF_STREAM[launch.stream]
        span = self.cluster.crowded_span(self.program.layout.group(group, own.rank))
        op, size = _OP_OF_VERB[action.verb], action.size_bytes
        if action.method not in (None, "none"):
            op, size = self.steps.wire(action, span.size)
        algorithm = self.algorithm if group == "data" else "auto"
        price = self.pricer.collective(op, size, span, algorithm)
        compute_rate, own_rate = self.pricer.rates(kind)
        return Template((Op(launch.stream, kind, price, op, group=group,
                            compute_rate=compute_rate, own_rate=own_rate),))  # fmt: skip

    def _peer(self, rank: int, action: Action) -> int:
        key = rank, action.peer
        if key not in self.peers:
            layout = self.program.layout
            _, data_rank, context_rank, tensor_rank = layout.coordinates(rank)
            self.peers[key] = layout.rank(action.peer, data_rank, context_rank, tensor_rank)
        return self.peers[key]

    def _meet(self, own: RankProgram, launch: Launch, template: Template, first: int) -> None:
        """Ops that other representatives take part in join a rendezvous; within one representative it is implied."""
        layout, action = self.program.layout, launch.action
        for local, op in enumerate(template.ops):
            if op.group is None:
                continue
            if op.group == "pipeline":
                step = {"F": 1, "B": -1}[action.of] if action.verb == "send" else 0
                ends = (own.rank, self._peer(own.rank, action))
                pair = ends if action.verb == "send" else ends[::-1]
                self.tiling.meet(first + local, (*pair, action.stage + step, action.of, action.microbatch))
                continue
            members = layout.group(op.group, own.rank)
            if any(self.stands_for[rank] != own.rank for rank in (members[0], members[-1])):
                self.tiling.meet(first + local, (op.group, members[0], action.name, local))


def interacting_actions(launches: Sequence[Launch], slows) -> frozenset[str]:
    """Names of the compute actions during which a collective that slows compute may run.

    A collective may run from the end of the last compute action it is known to follow until something that the compute
    stream waits for proves that it is over. slows(stream): whether the collectives of a stream slow compute.
    """
    if not any(slows(stream) for stream in {launch.stream: None for launch in launches}):
        return frozenset()
    order = [launch.action.name for launch in launches if launch.stream == "compute"]
    place = {name: index for index, name in enumerate(order)}
    follows: dict[str, int] = {}  # action -> the last compute action (by place) known to end before it
    proves: dict[str, dict[str, int]] = {}  # action -> how many of each stream's collectives are over once it ends
    tail: dict[str, str] = {}
    counts: dict[str, int] = {}
    begins: dict[str, list[int]] = {}  # stream -> for each of its collectives, the first compute place it may overlap
    over: dict[str, list[tuple[int, int]]] = {}  # stream -> (compute place, collectives over when that place starts)
    for launch in launches:
        name, stream = launch.action.name, launch.stream
        before = [*launch.action.after, *([tail[stream]] if stream in tail else [])]
        known = max((place[other] if other in place else follows[other] for other in before), default=-1)
        proof: dict[str, int] = {}
        for other in before:
            for other_stream, count in proves[other].items():
                proof[other_stream] = max(proof.get(other_stream, 0), count)
        if stream == "compute":
            for other_stream, count in proof.items():
                over.setdefault(other_stream, []).append((place[name], count))
        elif slows(stream):
            counts[stream] = counts.get(stream, 0) + 1
            proof[stream] = counts[stream]
            begins.setdefault(stream, []).append(known + 1)
        follows[name], proves[name], tail[stream] = known, proof, name
    marked: dict[str, None] = {}
    for stream, starts in begins.items():
        proofs = over.get(stream, [])
        for number, start in enumerate(starts, 1):
            end = next((at for at, count in proofs if count >= number), len(order))
            marked.update(dict.fromkeys(order[start:end]))
    return frozenset(marked)

"""Templates: an action's steps, priced and laid out once, to be tiled over every place it occurs.

A template is a piece of an EventGraph with local ids. Its entries wait for whatever comes before, and whoever follows
waits for all of its exits: an action is a join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCE_CODE, Price
from simulator.graph.event_graph import COMPUTE_STREAM, HOST_STREAM, EventGraph, GraphBuilder
from simulator.graph.surroundings import NO_DEMAND, Demand, Surroundings
from simulator.model.work import Collective, Host, Kernel, Step, Wait
from simulator.network.loads import Slot
from simulator.units import FULL_RATE

Solve = Callable[[EventGraph], tuple[int, tuple[tuple[str, int], ...]]]
"""Runs a small graph alone; returns its makespan and how many ns of it each kind takes (they sum to the makespan)."""


BOTH_GROUPS = "tensor_context"
"""Inside actions only tensor and context groups meet."""

AWAITED = "awaited launch"
"""Name of an op of the host that others wait for."""


@dataclass(frozen=True, slots=True)
class Op:
    """One priced op of a template. after: local ids. group: the ranks it must meet, None for a kernel. drawn_with: the
    local id of the op whose repeat draw it shares (kernels that were measured together), None: it has its own.
    """

    stream: str
    kind: str
    price: Price
    name: str
    after: tuple[int, ...] = ()
    group: str | None = None
    compute_rate: int = FULL_RATE
    own_rate: int = FULL_RATE
    demand: Demand = NO_DEMAND
    parts: tuple[tuple[str, int], ...] = ()
    drawn_with: int | None = None

    @property
    def is_fluid(self) -> bool:
        """True when this op slows compute beside it, or is slowed by it."""
        return self.compute_rate != FULL_RATE or self.own_rate != FULL_RATE


@dataclass(frozen=True, slots=True)
class Template:
    """Ops in launch order; exits are the ops that nothing inside waits for."""

    ops: tuple[Op, ...]

    @property
    def exits(self) -> tuple[int, ...]:
        """Local ids of the ops that end the template."""
        waited = {other for op in self.ops for other in op.after}
        return tuple(index for index in range(len(self.ops)) if index not in waited)

    @property
    def entries(self) -> tuple[int, ...]:
        """Local ids of the ops that wait for nothing inside."""
        return tuple(index for index, op in enumerate(self.ops) if not op.after)

    @property
    def group(self) -> str | None:
        """The smallest group in which all its collectives meet."""
        return group_of(self.ops)

    @property
    def is_host_bound(self) -> bool:
        """True where launching takes longer than running, or something waits for a launch."""
        return any(op.stream == HOST_STREAM for op in self.ops)

    @property
    def waits_for_host(self) -> bool:
        """True where something waits for a launch."""
        return any(op.name == AWAITED for op in self.ops)

    def split_host(self) -> tuple[Template, tuple[Op, ...]]:
        """The ops on the device, and the host's op beside them (nothing waits for it inside)."""
        return (
            Template(tuple(op for op in self.ops if op.stream != HOST_STREAM)),
            tuple(op for op in self.ops if op.stream == HOST_STREAM),
        )


def lay_out(
    steps: tuple[Step, ...], pricer, around: Surroundings, name: str = "", *, launched: bool = True
) -> Template:  # fmt: skip
    """Steps in launch order as priced ops. name, launched: of the piece that they are (`graph/pieces.py`).

    Kernels go to stream `compute`, a collective to its group's stream. A collective without a handle blocks what
    follows; one with a handle blocks from its `Wait` on. Raises ValueError for a handle that nobody waits for.
    """
    ops: list[Op] = []
    last: dict[str, int] = {}
    handles: dict[str, int | None] = {}
    pending: list[int] = []
    together: int | None = None
    prices = iter(pricer.piece([step for step in steps if isinstance(step, Kernel)], name))

    def append(op: Op) -> int:
        if op.stream in last and last[op.stream] not in op.after:
            op = replace(op, after=(*op.after, last[op.stream]))
        ops.append(op)
        last[op.stream] = len(ops) - 1
        return last[op.stream]

    for step in steps:
        if isinstance(step, Wait):
            if (place := handles.pop(step.handle)) is not None:
                pending.append(place)
        elif isinstance(step, Host):
            price = Price(step.launches * pricer.awaited_launch_ns, "datasheet", "launch")
            pending.append(append(Op(HOST_STREAM, kinds.HOST, price, AWAITED)))
        elif isinstance(step, Kernel):
            price = next(prices)
            after = (*pending, last[COMPUTE_STREAM]) if COMPUTE_STREAM in last else tuple(pending)
            place = append(Op(COMPUTE_STREAM, step.kind, price, step.op, after=after, drawn_with=together))
            if together is None and price.is_of_piece:
                together = place
            pending = []
        elif isinstance(step, Collective):
            span = around.span(step.group)
            if span.size == 1:
                if step.handle:
                    handles[step.handle] = None
                continue
            compute_rate, own_rate = pricer.rates(step.kind, step.size_bytes)
            launched_after = ([last["compute"]] if "compute" in last else []) + pending
            price = pricer.collective(step.op, step.size_bytes, span)
            place = append(
                Op(step.group, step.kind, price, step.op, after=tuple(launched_after), group=step.group,
                   compute_rate=compute_rate, own_rate=own_rate, demand=around.collective(step.group, price))
            )  # fmt: skip
            if step.handle is None:
                pending = [place]
            else:
                handles[step.handle] = place
    if handles:
        raise ValueError(f"nobody waits for {', '.join(handles)}")
    return Template(tuple(ops) + (_host(ops, pricer.launch_ns) if launched else ()))


def in_turn(pieces: list[Template]) -> Template:
    """The pieces one after the other, each starting when the one before it has ended."""
    ops: list[Op] = []
    exits: tuple[int, ...] = ()
    for piece in pieces:
        shift = len(ops)
        for op in piece.ops:
            drawn_with = None if op.drawn_with is None else shift + op.drawn_with
            ops.append(replace(op, after=tuple(shift + local for local in op.after) or exits, drawn_with=drawn_with))
        if piece.ops:
            exits = tuple(shift + local for local in piece.exits)
    return Template(tuple(ops))


def contract(pieces: list[Template], name: str, solve: Solve, around: Surroundings) -> Template:
    """The pieces in turn as one op on `compute`, exact as long as no op of another stream interacts with them.

    Its kind is that of most of its kernels; its parts say how the time divides by kind: compute and tensor collectives
    outrank every other label, so the breakdown of a contracted op does not depend on what else runs. Where the host
    binds a piece that is not so: such pieces become an op each, with the host's op beside it, or stay as they are where
    something waits for the host.
    """
    if any(piece.waits_for_host for piece in pieces):
        stretches = [(waits, list(found)) for waits, found in groupby(pieces, lambda piece: piece.waits_for_host)]
        return in_turn([
            piece for waits, found in stretches
            for piece in (found if waits else [contract(found, name, solve, around)])
        ])  # fmt: skip
    if any(piece.is_host_bound for piece in pieces):
        contracted = []
        for piece in pieces:
            device, host = piece.split_host()
            contracted.append(Template(contract([device], name, solve, around).ops + host))
        return in_turn(contracted)
    pieces = [piece for piece in pieces if piece.ops]
    if sum(len(piece.ops) for piece in pieces) <= 1:
        return in_turn(pieces)
    alone = {id(piece): piece for piece in pieces}  # layers of a kind are one piece
    solved = {key: _solved(piece, solve, around) for key, piece in alone.items()}
    totals: dict[str, int] = {}
    for piece in pieces:
        for kind, ns in solved[id(piece)]:
            totals[kind] = totals.get(kind, 0) + ns
    heaviest = max((op for piece in alone.values() for op in piece.ops), key=lambda op: op.price.duration_ns).price
    makespan = sum(totals.values())
    price = Price(makespan, heaviest.source, heaviest.op_class, heaviest.fit_error, heaviest.repeat_error)
    kernels = [(ns, kind) for kind, ns in totals.items() if kind in kinds.COMPUTE_KINDS]
    kind = max(kernels, key=lambda part: part[0], default=(0, kinds.COMPUTE))[1]
    group = group_of(op for piece in alone.values() for op in piece.ops)
    return Template((Op(COMPUTE_STREAM, kind, price, name, group=group, parts=tuple(totals.items())),))


def _solved(piece: Template, solve: Solve, around: Surroundings) -> tuple[tuple[str, int], ...]:
    """How many ns of a piece each kind takes; they sum to its makespan, and those of pieces in turn to theirs."""
    if not _is_chain(piece) or any(around.is_held_back(op.demand) for op in piece.ops):
        return solve(_alone(piece, around))[1]
    totals: dict[str, int] = {}
    for op in piece.ops:
        totals[op.kind] = totals.get(op.kind, 0) + op.price.duration_ns
    return tuple(totals.items())


def group_of(ops: Iterable[Op]) -> str | None:
    """The smallest group in which all collectives of these ops meet."""
    met = dict.fromkeys(op.group for op in ops if op.group)
    return next(iter(met), None) if len(met) < 2 else BOTH_GROUPS


def source_shares(template: Template) -> np.ndarray:
    """ns of the template's ops priced from each kind of source, in the order of `costs.price.SOURCES`."""
    shares = np.zeros(len(SOURCE_CODE), dtype=np.int64)
    for op in template.split_host()[0].ops:
        shares[SOURCE_CODE[op.price.source]] += op.price.duration_ns
    return shares


def bytes_by_slot(template: Template) -> dict[Slot, int]:
    """Bytes that the template's messages put on each link of its rank."""
    found: dict[Slot, int] = {}
    for op in template.ops:
        for (slot, _), size in zip(op.demand.slots, op.demand.sizes, strict=True):
            found[slot] = found.get(slot, 0) + size
    return found


def _host(ops: list[Op], launch_ns: int) -> tuple[Op, ...]:
    """The CPU that launches these ops, where it needs longer than the device does: a step of small kernels is bound by
    it. Launching starts with the piece itself, so a host that ran ahead during earlier pieces is not credited.
    """
    launching_ns = launch_ns * len(ops)
    if launching_ns <= sum(op.price.duration_ns for op in ops if op.stream == COMPUTE_STREAM):
        return ()
    price = Price(launching_ns, ops[0].price.source, "launch")
    return (Op(HOST_STREAM, kinds.HOST, price, "launch"),)


def _is_chain(template: Template) -> bool:
    return all(index - 1 in op.after for index, op in enumerate(template.ops) if index)


def _alone(template: Template, around: Surroundings) -> EventGraph:
    """The template as a graph of one rank. Links that it loads are there with what they can give."""
    graph = GraphBuilder()
    numbers: dict[int, int] = {}
    link_of: dict[Slot, int] = {}
    for slot in dict.fromkeys(slot for op in template.ops for slot, _ in op.demand.slots):
        number = around.link(slot).number  # one link may serve messages of two kinds
        if number not in numbers:
            numbers[number] = graph.link(str(slot), around.capacity(slot))
        link_of[slot] = numbers[number]
    for op in template.ops:
        demand = op.demand
        demands = tuple((link_of[slot], rate) for slot, rate in demand.slots for _ in range(around.link(slot).together))
        graph.op(0, op.stream, op.price.duration_ns, after=op.after, kind=op.kind, compute_rate=op.compute_rate,
                 own_rate=op.own_rate, latency_ns=demand.latency_ns, flow_bytes_per_s=demand.flow_bytes_per_s,
                 demands=demands)  # fmt: skip
    return graph.build()

"""embedding_sharding `auto`: every way to shard each table of a scenario, what it costs a member, and the best plan.

Bytes are those that programs, kernels and memory are made of (`model/tables/`); seconds are bytes over what datasheets
say of devices and links, so that simulator and executor place tables alike, whatever profile there is or is not (of
software they know the stack that a scenario states). A member's cost is the sum of all it does in a step, one thing
after another; an owner of dealt rows counts as the one of its table that is asked for most. Tables may take what the
dense part leaves of a device (`memory/`). In a mixed cluster every member counts as the slowest and as the smallest
device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from simulator.cluster import GroupSpan
from simulator.costs.traffic import direct_traffic, ring_traffic
from simulator.model import tables
from simulator.model.blocks import sparse_tables
from simulator.model.bottom_mlp import MEMBER, reserves_member
from simulator.model.lookups import group_size
from simulator.model.placements import (
    TablePlacement,
    column_counts,
    column_pieces,
    equal_nodes,
    members_by_node,
    turned,
)
from simulator.model.spec import Table
from simulator.model.stacks import software_stack
from simulator.model.tables.distinct import found_of, repeated_of, summed_of
from simulator.model.tables.kernels import backward_of, forward_of, update_of
from simulator.model.tables.storage import held_by_all, held_by_owner
from simulator.policies.table_sharding import PS_PER_S, Choice, Cost, Problem, Sharding, shard_tables

EVERYONES = ("row_wise", "data_parallel")
"""Kinds under which all members own alike."""

OF_NODES = ("table_row_wise", "grid")


@dataclass(frozen=True, slots=True)
class Planned:
    """placements: one for each sparse table, in the model's order. sharding: how they were found."""

    placements: tuple[TablePlacement, ...]
    sharding: Sharding


@lru_cache(maxsize=128)
def planned(scenario) -> Planned:
    """The best plan found for tables that the plan leaves open; those whose kind is stated are only placed."""
    problem = problem_of(scenario)
    sharding = shard_tables(problem)
    placed = turned(
        _placement(problem, table, choice, places)
        for table, (choice, places) in zip(sparse_tables(scenario.model), sharding.chosen, strict=True)
    )
    return Planned(placed, sharding)


def problem_of(scenario) -> Problem:
    """The choices of every table, and the bytes that tables may take of each member."""
    nodes = members_by_node(scenario)
    is_even = len({len(members) for members in nodes}) == 1
    rates = _Rates.of(scenario)
    choices = tuple(
        tuple(_choice(scenario, rates, table, placed) for placed in _ways(scenario, table, is_even))
        for table in sparse_tables(scenario.model)
    )
    closed = MEMBER if reserves_member(scenario) else None
    return Problem(choices, _budgets(scenario), len(nodes[0]) if is_even else 1, closed)


def _ways(scenario, table: Table, is_even: bool) -> Iterator[TablePlacement]:
    """One placement of each kind and number of pieces, the plainest first; where it is does not matter yet."""
    stated, group, nodes = scenario.plan.sharding_of(table.name), group_size(scenario), members_by_node(scenario)

    def asked(kind: str, makes_sense: bool = True) -> bool:
        return stated == kind or (stated == "auto" and makes_sense)

    if asked("table_wise", group > 1):
        yield TablePlacement(table.name, "table_wise", (0,))
    if asked("row_wise"):
        yield TablePlacement(table.name, "row_wise", range(group))
    if asked("column_wise"):
        for pieces in _column_counts(scenario, table, group):
            yield TablePlacement(table.name, "column_wise", tuple(range(pieces)), pieces)
    differs = is_even and 1 < len(nodes[0]) < group
    if asked("table_row_wise", differs):
        yield TablePlacement(table.name, "table_row_wise", tuple(equal_nodes(scenario)[0]))
    if asked("grid", differs):
        width = len(equal_nodes(scenario)[0])
        for pieces in _column_counts(scenario, table, len(nodes)):
            yield TablePlacement(table.name, "grid", tuple(range(pieces * width)), pieces)
    if asked("data_parallel", group > 1 and table.placement == "device"):
        yield TablePlacement(table.name, "data_parallel", ())


def _column_counts(scenario, table: Table, most: int) -> tuple[int, ...]:
    """Pieces that columns may be cut into; of a stated kind those of `placements.column_pieces`."""
    if scenario.plan.sharding_of(table.name) != "auto":
        return (column_pieces(scenario, table, most),)
    return column_counts(scenario, table, most)[1:]


def _choice(scenario, rates: _Rates, table: Table, placed: TablePlacement) -> Choice:
    load = tables.part_of(scenario, table, placed)
    busiest, *_ = tables.by_row(scenario, load)
    sparse = _sparse_gradients(scenario)
    kernels = (*forward_of(busiest, scenario, sparse), *backward_of(busiest, scenario, sparse))
    owner_s = scenario.microbatches * (rates.messages_s(busiest) + sum(map(rates.kernel_s, kernels)))
    owner_s += rates.dense_s(load) + sum(map(rates.kernel_s, update_of(busiest, scenario, sparse)))
    asker_s = 0.0
    if tables.is_deduplicated(scenario.plan, table, placed):
        asker_s = scenario.microbatches * sum(
            rates.kernel_s(kernel_of(load)) for kernel_of in (found_of, repeated_of, summed_of)
        )
    asker = Cost(round(asker_s * PS_PER_S), held_by_all(scenario, load).total)
    owner = Cost(round(owner_s * PS_PER_S), held_by_owner(scenario, busiest, sparse).total)
    if placed.kind in EVERYONES:
        everyone = Cost(asker.time_ps + owner.time_ps, asker.size_bytes + owner.size_bytes)
        return Choice(placed.kind, everywhere=everyone)
    return Choice(placed.kind, len(placed.owners) // placed.rows_over, placed.kind in OF_NODES, asker, owner)


def _sparse_gradients(scenario) -> bool:
    """Whether the stack that the scenario states has torch's sparse gradients."""
    return software_stack(scenario.software, {}).sparse_gradients


def _placement(problem: Problem, table: Table, choice: Choice, places: tuple[int, ...]) -> TablePlacement:
    if choice.kind == "row_wise":
        return TablePlacement(table.name, choice.kind, range(problem.members))
    return TablePlacement(table.name, choice.kind, problem.owners(choice, places), max(1, len(places)))


@dataclass(frozen=True, slots=True)
class _Rates:
    """Seconds of a byte: in device memory, over the host link, of a message of each collective; a share of a message
    inside a node and between nodes moves at once, and the slower one counts."""

    memory: float
    host: float
    exchange: float
    reduction: float
    node_reduction: float
    across: float
    dense: float

    @classmethod
    def of(cls, scenario) -> _Rates:
        cluster, group = scenario.cluster, group_size(scenario)
        devices = [node.device for node, _ in cluster.groups]
        span, inside = cluster.span(range(group)), cluster.span(members_by_node(scenario)[0])
        own_share = span.node_bytes_per_s / span.per_node
        return cls(
            memory=1 / min(device.memory_bandwidth_bytes_per_s for device in devices),
            host=1 / min(device.host_link_bytes_per_s for device in devices),
            exchange=_pace("all_to_all", span),
            reduction=_pace("reduce_scatter", span),
            node_reduction=_pace("reduce_scatter", inside),
            across=(1 - 1 / span.nodes) / own_share if span.nodes > 1 else 0.0,
            dense=_pace("all_reduce", span),
        )

    def kernel_s(self, kernel) -> float:
        return kernel.bytes_moved * (self.host if kernel.op.endswith("_host") else self.memory)

    def messages_s(self, load: tables.Load) -> float:
        """Of one microbatch, of what an owner sends and receives: ids in, vectors out, gradients in. All members
        together send what they receive, so that nobody waits for his own sends alone."""
        if load.sharding == "data_parallel":
            return 0.0
        made = load.made * load.made_bytes
        way = tables.way_of(load.table, load.placed)
        if way == tables.ACROSS_NODES:
            back = made * self.node_reduction + made / load.placed.rows_over * self.across
        else:
            back = made * (self.reduction if way == tables.REDUCED else self.exchange)
        return load.read * tables.ID_BYTES * self.exchange + 2 * back

    def dense_s(self, load: tables.Load) -> float:
        """The all-reduce of a table that every member holds whole, once a step."""
        if load.sharding != "data_parallel":
            return 0.0
        return load.table.rows * load.table.dim * tables.GRADIENT_BYTES * self.dense


def _pace(op: str, span: GroupSpan) -> float:
    """Seconds of a byte of a collective's message, at the rates of datasheets."""
    if span.size == 1:
        return 0.0
    volume = direct_traffic(op, span) if op == "all_to_all" else ring_traffic(op, span)
    inside = volume.inside(span) / span.intra_bytes_per_s if span.per_node > 1 else 0.0
    return max(inside, volume.node / span.node_bytes_per_s if span.nodes > 1 else 0.0)


def _budgets(scenario) -> tuple[int, ...]:
    """Bytes that the dense part leaves of each member's device: what `memory/` counts without tables."""
    from simulator.memory import memory_limit
    from simulator.road import memory_of

    plan = scenario.plan.model_copy(update={"embedding_sharding": "row_wise"})
    other = replace(scenario, stated=scenario.stated.model_copy(update={"plan": plan}))
    group = group_size(scenario)
    lone = MEMBER if reserves_member(scenario) else None  # holds a bottom MLP, and no table
    dense = max(own.peak for own in memory_of(other).per_rank if own.rank < group and own.rank != lone)
    dense -= tables.held(other, sparse=_sparse_gradients(scenario)).total
    limit = min(memory_limit(node.device) for node, _ in scenario.cluster.groups)
    return (max(0, limit - dense),) * group

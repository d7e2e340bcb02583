"""Which members of the table group hold which part of each sparse table: one rule, read by everything else.

    data_parallel     every member holds the whole table: owners ()
    row_wise          rows are dealt over all members
    table_wise        one member holds the table
    column_wise       `pieces` members hold equal runs of its columns
    table_row_wise    rows are dealt over the members on one node
    grid              `pieces` runs of columns, the rows of each dealt over the members on one node

Member i of the table group is rank i: stage 0 comes first. Row r of a piece is with the (r + turn mod n)-th of its n
owners, so that frequent rows spread (TorchRec deals out blocks of consecutive rows, and hashes ids so that they do);
turns spread the tables' most frequent rows, each a hot spot that no dealing takes apart, over the owners.
Where every kind is stated, tables are placed greedily: the table with the largest traffic first, of equal ones the
largest, each of its parts on the members that have least so far, on ties the one that holds least, then the lowest.
Where a kind is left open (auto), kinds and places are searched together (`table_choices.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from simulator.errors import ScenarioError
from simulator.model.blocks.embedding import sparse_tables
from simulator.model.bottom_mlp import MEMBER, reserves_member
from simulator.model.lookups import group_size, own_ids
from simulator.model.spec import Table
from simulator.units import DTYPE_BYTES

COLUMN_STEP = 4
"""Columns of a piece are a multiple of so many: FBGEMM's kernels load vectors of four."""


@dataclass(frozen=True, slots=True)
class TablePlacement:
    """One table's place. owners: members of the table group, the owners of each of `pieces` column pieces after those
    of the one before it, equally many each; empty for data_parallel. turn: the owner of row 0, of those of a piece."""

    table: str
    kind: str
    owners: Sequence[int]
    pieces: int = 1
    turn: int = 0

    @property
    def rows_over(self) -> int:
        """Members that share the rows of one piece; 1 where every member has all rows."""
        return len(self.owners) // self.pieces or 1

    def owners_of(self, piece: int) -> Sequence[int]:
        """The members that hold one piece of the columns."""
        return self.owners[piece * self.rows_over : (piece + 1) * self.rows_over]

    def piece_of(self, member: int) -> int | None:
        """The column piece that a member holds rows of; None where it holds nothing."""
        if self.kind == "data_parallel":
            return 0
        return self.owners.index(member) // self.rows_over if member in self.owners else None

    def rows_of(self, member: int) -> slice | None:
        """The rows that a member holds: every n-th one."""
        if self.kind == "data_parallel":
            return slice(None)
        if member not in self.owners:
            return None
        return slice(self.first_row(member), None, self.rows_over)

    def first_row(self, member: int) -> int:
        """The first row that an owner holds."""
        return (self.owners.index(member) - self.turn) % self.rows_over

    def owners_of_row(self, row: int) -> tuple[int, ...]:
        """The members that hold a row, or the parts of its columns."""
        place = (row + self.turn) % self.rows_over
        return tuple(self.owners[piece * self.rows_over + place] for piece in range(self.pieces))


@lru_cache(maxsize=256)
def placements(scenario) -> tuple[TablePlacement, ...]:
    """The place of every sparse table, in the model's order. Raises ScenarioError for nodes that are not alike."""
    if any(scenario.plan.sharding_of(table.name) == "auto" for table in sparse_tables(scenario.model)):
        from simulator.table_choices import planned

        return planned(scenario).placements
    group = group_size(scenario)
    loads, found = [(0, 0)] * group, {}
    if reserves_member(scenario):
        loads[MEMBER] = (2**62, 0)  # a bottom MLP keeps it for itself
    sizes = {table: (_traffic(scenario, table), table.rows * table.dim) for table in sparse_tables(scenario.model)}
    for table in sorted(sizes, key=lambda table: (-sizes[table][0], -sizes[table][1], table.name)):
        kind = scenario.plan.sharding_of(table.name)
        placed = _place(scenario, table, kind, loads)
        for member in placed.owners if kind not in ("row_wise", "data_parallel") else ():
            loads[member] = tuple(
                had + size // len(placed.owners) for had, size in zip(loads[member], sizes[table], strict=True)
            )
        found[table.name] = placed
    return turned(found[table.name] for table in sparse_tables(scenario.model))


def turned(placed: Iterable[TablePlacement]) -> tuple[TablePlacement, ...]:
    """Tables whose rows are dealt out, each begun so many owners behind the one before that all begin evenly spread."""
    placed = tuple(placed)
    dealt = [place for place, one in enumerate(placed) if one.owners and one.rows_over > 1]
    turns = {place: number * placed[place].rows_over // len(dealt) for number, place in enumerate(dealt)}
    return tuple(replace(one, turn=turns[place]) if place in turns else one for place, one in enumerate(placed))


def members_by_node(scenario) -> tuple[range, ...]:
    """The members of the table group on each node, in order."""
    group, cluster = group_size(scenario), scenario.cluster
    if scenario.plan.order is None:
        return tuple(_by_node(cluster, group))
    runs = [list(run) for _, run in groupby(range(group), key=cluster.node_of)]
    return tuple(range(run[0], run[-1] + 1) for run in runs)


def column_counts(scenario, table: Table, most: int) -> tuple[int, ...]:
    """Numbers of equal pieces, 1 up to `most`, that leave each enough columns: embedding_columns of the plan."""
    return tuple(
        pieces for pieces in range(1, max(1, min(most, table.dim // COLUMN_STEP)) + 1)
        if pieces == 1
        or (table.dim % (pieces * COLUMN_STEP) == 0 and table.dim // pieces >= scenario.plan.embedding_columns)
    )  # fmt: skip


def column_pieces(scenario, table: Table, most: int) -> int:
    """Pieces that a table's columns are cut into: the most that are equal, not over `most`, and wide enough.

    A table that cannot be cut is one piece, as in TorchRec (shards' sizes: a width that does not divide is replaced by
    the whole), so that a kind may be stated for tables of all widths.
    """
    return column_counts(scenario, table, most)[-1]


def _place(scenario, table: Table, kind: str, loads: Sequence[tuple[int, ...]]) -> TablePlacement:
    group = len(loads)
    if kind == "data_parallel":
        return TablePlacement(table.name, kind, ())
    if kind == "row_wise":
        return TablePlacement(table.name, kind, range(group))
    if kind in ("table_wise", "column_wise"):
        pieces = 1 if kind == "table_wise" else column_pieces(scenario, table, group)
        least = sorted(range(group), key=lambda member: (loads[member], member))
        return TablePlacement(table.name, kind, tuple(sorted(least[:pieces])), pieces)
    nodes = equal_nodes(scenario)
    pieces = 1 if kind == "table_row_wise" else column_pieces(scenario, table, len(nodes))
    least = sorted(range(len(nodes)), key=lambda node: (max(loads[member] for member in nodes[node]), node))
    owners = tuple(member for node in sorted(least[:pieces]) for member in nodes[node])
    return TablePlacement(table.name, kind, owners, pieces)


def equal_nodes(scenario) -> tuple[range, ...]:
    """`members_by_node`, which must be equally many. Raises ScenarioError where they are not (TorchRec: "currently
    group granularity must be node")."""
    nodes = members_by_node(scenario)
    if len({len(members) for members in nodes}) > 1:
        counts = ", ".join(str(len(members)) for members in nodes[:8])
        raise ScenarioError(
            f"table_row_wise and grid deal rows over the members on one node, and the nodes hold {counts} of them; "
            "use row_wise, or degrees that fill nodes evenly",
            key="plan.embedding_sharding",
        )
    return nodes


def _by_node(cluster, group: int) -> Iterator[range]:
    node, first = 0, 0
    while first < group:
        kind, start = cluster.node_at(node)
        yield range(first, min(start + kind.gpus, group))
        node, first = node + 1, start + kind.gpus


def _traffic(scenario, table: Table) -> int:
    """Bytes of the vectors that one rank asks for."""
    return own_ids(scenario, table) * table.dim * DTYPE_BYTES[table.dtype]

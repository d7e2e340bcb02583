"""Load: one table's work on a rank that owns a part of it, and which rank has most of it.

Owners of dealt rows are asked for about as much each, but for the few that hold the most frequent rows of a Zipf
distribution: these are told apart (`hottest`), all others are alike. Distinct rows need not be: of rows dealt out in
order of their frequency no owner has more than one above another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import TypeVar

from simulator.model import ids as id_model
from simulator.model.blocks.embedding import sparse_tables
from simulator.model.lengths import Samples
from simulator.model.lookups import (
    group_size,
    ids_by_rank,
    ids_per_sample,
    mean_ids,
    own_vectors,
    samples_rows,
)
from simulator.model.placements import TablePlacement, placements
from simulator.model.spec import ModelSpec, Table, UniformIds
from simulator.units import DTYPE_BYTES

T = TypeVar("T")

ID_BYTES = 8
GRADIENT_BYTES = 4
"""Sparse gradients accumulate in fp32."""

STATE_BYTES: dict[str, tuple[int, int]] = {
    "sgd": (0, 0),
    "rowwise_adagrad": (0, 4),
    "adagrad": (4, 0),
    "adam": (8, 0),
}
"""Optimizer state in bytes for each (element, row): row-wise Adagrad keeps one fp32 number a row, and one for each
piece of its columns where these are cut (TorchRec's `get_optimizer_rowwise_shard_metadata_and_global_metadata`)."""


@dataclass(frozen=True, slots=True)
class Load:
    """One table's work on one of its owners, in one microbatch.

    own_by: ids of the slice that each rank asks for which shares a data rank's samples; of equal ones not all are told.
    own_vectors: that come back for them at most. sent_by: ids that leave for the owners: all, or the distinct ones
    (expected). read: rows that the owner looks up, for itself and others. made: vectors that it makes of them: as many,
    or one (sum) for each sample where the table pools. rows: rows that it holds. draws: ids, over all ranks it serves,
    that fall on those of its piece's owners. mean_read: rows that a mean owner looks up. vectors: the dtype in which
    they leave, where it is not the table's. even: the share of its lookups that are drawn evenly.
    """

    table: Table
    placed: TablePlacement
    own_by: tuple[int, ...]
    own_vectors: int
    sent_by: tuple[int, ...]
    read: int
    made: int
    rows: int
    draws: int
    mean_read: int
    vectors: str | None = None
    even: float = 0.0

    @property
    def own_ids(self) -> int:
        """The most that a rank asks for."""
        return max(self.own_by)

    @property
    def sent(self) -> int:
        """The most that leave a rank."""
        return max(self.sent_by)

    @property
    def sharding(self) -> str:
        return self.placed.kind

    @property
    def columns(self) -> int:
        """Columns of the piece that an owner holds."""
        return self.table.dim // self.placed.pieces

    @property
    def vector_bytes(self) -> int:
        """A whole vector, as it comes back."""
        return self.table.dim * DTYPE_BYTES[self.vectors or self.table.dtype]

    @property
    def made_bytes(self) -> int:
        """The part of a vector that an owner makes, as it leaves."""
        return self.columns * DTYPE_BYTES[self.vectors or self.table.dtype]

    @property
    def row_bytes(self) -> int:
        """A row's part that an owner holds."""
        return self.columns * DTYPE_BYTES[self.table.dtype]

    @property
    def update_bytes(self) -> int:
        """Traffic of one row's update: weights and states are read and written."""
        element, row = STATE_BYTES[self.table.optimizer]
        return 2 * (self.row_bytes + element * self.columns + row)

    @property
    def stored_bytes(self) -> int:
        """One row at rest: weights and states."""
        return self.update_bytes // 2

    @property
    def cached(self) -> float:
        """Share of the rows that is in device memory."""
        return (self.table.cache_fraction or 0.0) if self.table.placement == "host" else 1.0

    @property
    def kept(self) -> int:
        """Rows in an owner's device memory: of frequent ones it has as many as of all."""
        return -(-id_model.kept_rows(self.table) // self.placed.rows_over) if self.rows else 0

    @property
    def hit_rate(self) -> float:
        """Share of the lookups that find their row in device memory; distinct ids are less often frequent ones (a
        sampled head's negatives are then counted as if they were drawn like the others)."""
        ids, rows = self.table.ids, self.table.rows
        if self.cached >= 1:
            return 1.0
        if self.sent == self.own_ids:
            drawn, evenly = (id_model.hit_rate(one, rows, self.cached) for one in (ids, UniformIds()))
            return self.even * evenly + (1 - self.even) * drawn
        missed = id_model.unique_outside(ids, rows, self.own_ids, self.cached)
        return 1.0 - missed / id_model.expected_unique(ids, rows, self.own_ids)

    @property
    def hits(self) -> int:
        """Lookups that find their row in device memory: all owners miss as often, for what is asked for more often is
        there."""
        return max(0, self.read - (self.mean_read - round(self.mean_read * self.hit_rate)))

    @property
    def came(self) -> int:
        """The most vectors that come back to a rank."""
        return self.sent if self.table.pooling == "none" else self.own_vectors

    def sent_of(self, rank: int) -> int:
        """Ids that leave one of the ranks that share a data rank's samples."""
        return self.sent_by[rank % len(self.sent_by)]

    def came_to(self, rank: int) -> int:
        """Vectors that come back to it."""
        return self.sent_of(rank) if self.table.pooling == "none" else self.own_vectors

    def own_of(self, rank: int) -> int:
        """Vectors that it has then: one for each id, or for each sample."""
        return self.own_by[rank % len(self.own_by)] if self.table.pooling == "none" else self.own_vectors

    @property
    def idle(self) -> Load:
        """The same table on a rank that holds nothing of it."""
        return replace(self, read=0, made=0, rows=0, draws=0)

    def unique(self, microbatches: int) -> int:
        """Expected distinct rows that an owner updates after so many microbatches."""
        found = id_model.expected_unique(self.table.ids, self.table.rows, microbatches * self.draws)
        return max(1, round(found / self.placed.rows_over)) if self.read else 0

    def unique_on_host(self, microbatches: int) -> int:
        """Those of them that are not in device memory."""
        draws = microbatches * self.draws
        found = id_model.unique_outside(self.table.ids, self.table.rows, draws, self.cached)
        return round(found / self.placed.rows_over) if self.read else 0


@lru_cache(maxsize=64)
def parts(scenario, samples: Samples | None = None) -> tuple[Load, ...]:
    """What each sparse table asks of one of its owners, in the model's order. samples: of a microbatch, where lengths
    differ: a rank asks for its own, and owners serve the mean rank's as often as there are ranks."""
    model = scenario.model
    return tuple(
        part_of(scenario, table, placed, samples)
        for table, placed in zip(sparse_tables(model), placements(scenario), strict=True)
    )


def part_of(scenario, table: Table, placed: TablePlacement, samples: Samples | None = None) -> Load:
    """What a table asks of one of its owners where it is placed like this."""
    vectors = own_vectors(scenario, table, samples)
    met, group = mean_ids(scenario, table, samples), group_size(scenario)
    served, over = (1, 1) if placed.kind == "data_parallel" else (group, placed.rows_over)
    sent = own = ids_by_rank(scenario, table, samples)
    served_each = met
    if is_deduplicated(scenario.plan, table, placed) and group > 1:
        sent = tuple(_distinct(table, count) for count in sent)
        # of ranks that ask for more or less than others, fewer are distinct than of equal ones
        served_each = -(-sum(sent) // len(sent)) if samples is None else _distinct(table, met)
    read = max(own) if served == 1 else -(-served * served_each // over)
    made = read if table.pooling == "none" else served * vectors
    rows, dtype = -(-table.rows // over), scenario.precision.vectors
    return Load(table, placed, own, vectors, sent, read, made, rows, served * met, read, dtype,
                _even_share(scenario.model, table))  # fmt: skip


@lru_cache(maxsize=64)
def hottest(scenario, samples: Samples | None = None) -> tuple[tuple[Load, ...], ...]:
    """Of each table, what its owners of the rows 0, 1, ... are asked for; last, what all others are. Only the latter
    where all have the same."""
    return tuple(by_row(scenario, load) for load in parts(scenario, samples))


def by_row(scenario, load: Load) -> tuple[Load, ...]:
    """The same of one table. load: of its mean owner."""
    table, over = load.table, load.placed.rows_over
    draws = load.draws // group_size(scenario) if is_deduplicated(scenario.plan, table, load.placed) else 0
    shares = id_model.dealt_shares(table.ids, table.rows, over, draws)
    if not shares:
        return (load,)
    shares = [load.even / over + (1 - load.even) * share for share in shares]
    others = max(0.0, 1 - sum(shares)) / (over - len(shares)) if over > len(shares) else 0.0

    def asked(share: float) -> Load:
        read = ceil(load.mean_read * over * share)
        return replace(load, read=read, made=read if table.pooling == "none" else load.made)

    return tuple(map(asked, (*shares, others)))


def _even_share(model: ModelSpec, table: Table) -> float:
    """The share of a table's lookups that are drawn evenly from its rows, as a sampled head's negatives are."""
    if not (samples_rows(model) and model.head.table == table.name):
        return 0.0
    return model.head.negatives * model.trunk.seq / ids_per_sample(model, table)


def _distinct(table: Table, ids: int) -> int:
    return max(1, round(id_model.expected_unique(table.ids, table.rows, ids))) if ids else 0


def is_deduplicated(plan, table: Table, placed: TablePlacement) -> bool:
    """Whether a rank makes its ids distinct before it sends them: of tables that do not pool, as in TorchRec, where
    EmbeddingCollection can and EmbeddingBagCollection cannot (torchrec/distributed/embedding.py, use_index_dedup)."""
    return plan.embedding_dedup and table.pooling == "none" and placed.kind != "data_parallel"


@lru_cache(maxsize=64)
def loads(scenario, samples: Samples | None = None) -> tuple[Load, ...]:
    """What each sparse table asks of the busiest rank of stage 0: the one that reads most bytes of rows."""
    return loads_of(scenario, busiest(scenario, samples), samples)


def loads_of(scenario, member: int, samples: Samples | None = None) -> tuple[Load, ...]:
    """What each sparse table asks of one member."""
    return tuple(
        of_owner(owners, owners[-1].placed, member) if holds(owners[-1].placed, member) else owners[-1].idle
        for owners in hottest(scenario, samples)
    )


def of_owner(owners: Sequence[T], placed: TablePlacement, member: int) -> T:
    """Of what is told apart by the first row that an owner holds, as `hottest` does, a member's."""
    row = placed.first_row(member) if placed.owners else len(owners)
    return owners[min(row, len(owners) - 1)]


def busiest(scenario, samples: Samples | None = None) -> int:
    """The member of the table group that reads most bytes of rows, the lowest on ties."""
    return most_asked(scenario, lambda load: load.read * load.row_bytes, samples)[0]


def fullest(scenario, cost: Callable[[Load], int], samples: Samples | None = None) -> tuple[int, int]:
    """(member, total) with the largest sum of a mean owner's costs, the lowest member on ties."""
    return _most([(load,) for load in parts(scenario, samples)], cost)


def most_asked(scenario, cost: Callable[[Load], int], samples: Samples | None = None) -> tuple[int, int]:
    """The same of each owner's own costs."""
    return _most(hottest(scenario, samples), cost)


def _most(tables: Iterable[tuple[Load, ...]], cost: Callable[[Load], int]) -> tuple[int, int]:
    everyone, by_member = 0, {}
    for *first, load in tables:
        each = cost(load)
        if load.sharding in ("data_parallel", "row_wise"):
            everyone += each
        else:
            for member in load.placed.owners:
                by_member[member] = by_member.get(member, 0) + each
        for row, own in enumerate(first):
            for member in load.placed.owners_of_row(row):
                by_member[member] = by_member.get(member, 0) + cost(own) - each
    member = max(by_member, key=lambda member: (by_member[member], -member), default=0)
    return member, everyone + by_member.get(member, 0)


def holds(placed: TablePlacement, member: int) -> bool:
    """Whether a member has rows of a table."""
    return placed.kind in ("data_parallel", "row_wise") or member in placed.owners

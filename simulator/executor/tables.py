"""Sparse tables on a rank: who owns a row, the exchanges of ids, vectors and gradients, and the sparse update.

row_wise: row r is on member r mod G of the table group, so that frequent rows spread. table_wise: whole tables are
dealt out as the simulator deals them (`model/tables.py`). data_parallel: every rank has all rows and accumulates a
dense gradient. A rank looks up its own slice of a microbatch: of its context slice, 1/tensor of the ids. How many ids
go to whom is exchanged ahead of them, a message that the program does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from simulator.executor import weights as starts
from simulator.executor.groups import Group
from simulator.executor.sparse_optimizers import SPARSE_UPDATES, new_state
from simulator.model import tables as priced
from simulator.model.blocks import sparse_tables
from simulator.model.placements import TablePlacement, placements
from simulator.model.spec import Table
from simulator.units import DTYPE_BYTES

STORED = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Shard:
    """This rank's rows of one table. owner: the member that holds a table_wise table. rows: None where it has none.

    pending: (rows, summed gradients) of each microbatch. dense: the accumulated gradient of a data_parallel table.
    """

    table: Table
    sharding: str
    owner: int
    rows: torch.Tensor | None
    state: dict
    pending: list[tuple[torch.Tensor, torch.Tensor]]
    dense: torch.Tensor | None = None


@dataclass
class Lookup:
    """One microbatch's ids of one table on their way. Sorted by owner: `order` puts own ids in that order."""

    order: torch.Tensor
    sent: list[int]
    received: list[int]
    rows: torch.Tensor
    vectors: torch.Tensor | None = None


class SparseTables:
    """All sparse tables of a rank of stage 0. group: the table group. tensor: of the embedding stream.

    keep: what is handed from stream to stream goes through it (`cuda_streams.py`); None: nothing to do.
    """

    def __init__(self, scenario, group: Group, tensor: Group, device: torch.device, double: bool, keep=None):
        self.group, self.tensor, self.device = group, tensor, device
        self.keep = keep if keep is not None else (lambda tensor: tensor)
        self.gathers = tensor.size > 1 and not scenario.plan.sequence_parallel
        self.accumulate = torch.float64 if double else torch.float32
        self.learning_rate = SPARSE_LEARNING_RATE
        placed = zip(sparse_tables(scenario.model), placements(scenario), strict=True)
        self.shards = {table.name: self._shard(scenario, table, place, double) for table, place in placed}
        self.lookups: dict[int, dict[str, Lookup]] = {}
        self.own_ids: dict[int, dict[str, torch.Tensor]] = {}
        self.counts: dict[int, dict[str, int]] = {}

    @property
    def moving(self) -> list[Shard]:
        """Tables whose ids and vectors travel."""
        return [s for s in self.shards.values() if s.sharding != "data_parallel" and self.group.size > 1]

    def present(self, microbatch: int, ids: dict[str, torch.Tensor]) -> None:
        """The ids of this rank's context slice, flat; this rank takes its slice, padded with row 0."""
        own, counts = {}, {}
        for name, whole in ids.items():
            share = -(-len(whole) // self.tensor.size)
            padded = torch.cat([whole, whole.new_zeros(share * self.tensor.size - len(whole))])
            own[name] = padded[self.tensor.index * share : (self.tensor.index + 1) * share]
            counts[name] = len(whole)
        self.own_ids[microbatch], self.counts[microbatch] = own, counts
        self.lookups[microbatch] = {}

    def exchange_ids(self, microbatch: int) -> tuple[int, int]:
        """Sends ids to their owners; returns the bytes sent and received."""
        sent_bytes = received_bytes = 0
        for shard in self.moving:
            ids = self.own_ids[microbatch][shard.table.name]
            owner = ids % self.group.size if shard.sharding == "row_wise" else torch.full_like(ids, shard.owner)
            order = torch.argsort(owner, stable=True)
            counts = torch.bincount(owner, minlength=self.group.size)
            others = self.group.all_to_all(counts, [1] * self.group.size, [1] * self.group.size)
            sent, received = counts.tolist(), others.tolist()
            local = ids // self.group.size if shard.sharding == "row_wise" else ids
            rows = self.keep(self.group.all_to_all(local[order], sent, received))
            self.lookups[microbatch][shard.table.name] = Lookup(order, sent, received, rows)
            sent_bytes += priced.ID_BYTES * len(ids)
            received_bytes += priced.ID_BYTES * len(rows)
        return sent_bytes, received_bytes

    def lookup(self, microbatch: int) -> None:
        """Reads the rows that were asked for."""
        for name, shard in self.shards.items():
            found = self.lookups[microbatch].get(name)
            if found is None:  # nothing travels: this rank reads its own slice
                ids = self.own_ids[microbatch][name]
                found = self.lookups[microbatch][name] = Lookup(torch.arange(0), [], [], ids)
            found.vectors = self.keep(
                shard.rows[found.rows] if shard.rows is not None
                else torch.empty((0, shard.table.dim), dtype=self._dtype(shard), device=self.device)
            )  # fmt: skip

    def exchange_vectors(self, microbatch: int) -> tuple[int, int]:
        """Vectors go back to who asked, in the order in which he asked."""
        sent_bytes = received_bytes = 0
        for shard in self.moving:
            found = self.lookups[microbatch][shard.table.name]
            size = shard.table.dim * DTYPE_BYTES[shard.table.dtype]
            sent_bytes += size * len(found.vectors)
            arrived = self.group.all_to_all(found.vectors, found.received, found.sent)
            found.vectors = self.keep(torch.empty_like(arrived))
            found.vectors[found.order] = arrived
            received_bytes += size * len(arrived)
        return sent_bytes, received_bytes

    def gather_vectors(self, microbatch: int) -> int:
        """Every tensor rank gets the vectors of all positions; returns the bytes of the gathered message."""
        total = 0
        for name, shard in self.shards.items():
            found = self.lookups[microbatch][name]
            found.vectors = self.keep(self.tensor.all_gather(found.vectors, DTYPE_BYTES[shard.table.dtype]))
            total += found.vectors.numel() * DTYPE_BYTES[shard.table.dtype]
        return total

    def vectors(self, microbatch: int) -> dict[str, torch.Tensor]:
        """What the trunk and the head read, flat as the ids were presented (own slice under sequence parallelism)."""
        whole = self.tensor.size == 1 or self.gathers
        return {
            name: found.vectors[: self.counts[microbatch][name]] if whole else found.vectors
            for name, found in self.lookups[microbatch].items()
        }

    def accept_gradients(self, microbatch: int, gradients: dict[str, torch.Tensor]) -> None:
        """Gradients of what `vectors` gave. Without sequence parallelism every tensor rank has all of them."""
        for name, gradient in gradients.items():
            found = self.lookups[microbatch][name]
            if self.gathers:
                share = len(self.own_ids[microbatch][name])
                padded = gradient.new_zeros((share * self.tensor.size, gradient.shape[1]))
                padded[: len(gradient)] = gradient
                gradient = padded[self.tensor.index * share : (self.tensor.index + 1) * share]
            found.vectors = self.keep(gradient)

    def exchange_gradients(self, microbatch: int) -> tuple[int, int]:
        """Gradients go to the rows' owners."""
        sent_bytes = received_bytes = 0
        for shard in self.moving:
            found = self.lookups[microbatch][shard.table.name]
            size = shard.table.dim * DTYPE_BYTES[shard.table.dtype]
            sent_bytes += size * len(found.vectors)
            found.vectors = self.keep(self.group.all_to_all(found.vectors[found.order], found.sent, found.received))
            received_bytes += size * len(found.vectors)
        return sent_bytes, received_bytes

    def accumulate_gradients(self, microbatch: int) -> None:
        """Sums the microbatch's gradients by row."""
        for name, shard in self.shards.items():
            found = self.lookups[microbatch][name]
            if shard.rows is None:
                continue
            gradients = found.vectors.to(self.accumulate)
            if shard.dense is not None:
                shard.dense.index_add_(0, found.rows, gradients)
            elif len(found.rows):
                shard.pending.append(_sum_by_row(found.rows, gradients))
        del self.lookups[microbatch], self.own_ids[microbatch], self.counts[microbatch]

    def reduce_dense(self) -> int:
        """All-reduces the gradients of tables that every rank holds; returns the bytes of the message."""
        total = 0
        for shard in self.shards.values():
            if shard.dense is not None:
                self.group.all_reduce(shard.dense, priced.GRADIENT_BYTES)
                total += shard.dense.numel() * priced.GRADIENT_BYTES
        return total

    def update(self) -> None:
        """The sparse optimizer, once a step, on the rows that were touched."""
        for shard in self.shards.values():
            if shard.dense is not None:
                rows = (shard.dense != 0).any(1).nonzero()[:, 0]
                gradients = shard.dense[rows]
                shard.dense.zero_()
            elif shard.pending:
                rows, gradients = _sum_by_row(
                    torch.cat([rows for rows, _ in shard.pending]), torch.cat([sums for _, sums in shard.pending])
                )
                shard.pending.clear()
            else:
                continue
            if len(rows):
                SPARSE_UPDATES[shard.table.optimizer](shard.rows, shard.state, rows, gradients, self.learning_rate)

    def _dtype(self, shard: Shard) -> torch.dtype:
        return torch.float64 if self.accumulate is torch.float64 else STORED[shard.table.dtype]

    def _shard(self, scenario, table: Table, place: TablePlacement, double: bool) -> Shard:
        sharding, owner = place.kind, place.owners[0] if place.owners else 0
        shape = (table.rows, table.dim)
        whole = starts.initial(scenario.seed, f"table.{table.name}", shape)
        whole = whole.to(torch.float64 if double else STORED[table.dtype]).to(self.device)
        rows: torch.Tensor | None = whole
        if sharding == "row_wise":
            rows = whole[self.group.index :: self.group.size].clone()
        elif sharding == "table_wise" and owner != self.group.index:
            rows = None
        state = new_state(table.optimizer, rows, self.accumulate) if rows is not None else {}
        dense = torch.zeros(shape, dtype=self.accumulate, device=self.device) if sharding == "data_parallel" else None
        return Shard(table, sharding, owner, rows, state, [], dense)


SPARSE_LEARNING_RATE = 1e-2


def _sum_by_row(rows: torch.Tensor, gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distinct, place = torch.unique(rows, return_inverse=True)
    return distinct, gradients.new_zeros((len(distinct), gradients.shape[1])).index_add_(0, place, gradients)

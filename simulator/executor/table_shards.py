"""Shard: this rank's rows (or columns of rows) of one table, how their gradients gather, and their update."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from simulator.executor import weights as starts
from simulator.executor.row_store import RowStore
from simulator.model.ids import kept_rows
from simulator.model.placements import TablePlacement
from simulator.model.spec import Table
from simulator.units import DTYPE_BYTES

STORED = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SPARSE_LEARNING_RATE = 1e-2


@dataclass
class Shard:
    """A table, who holds what of it, and this rank's rows; store None where it has none.

    leaves, vector_bytes: of the vectors that are made of them; an element's bytes as the program counts them.
    pending: (rows, summed gradients) of each microbatch. dense: the accumulated gradient of a data_parallel table.
    fused: rows are updated as soon as their gradients are there.
    """

    table: Table
    placed: TablePlacement
    store: RowStore | None
    leaves: torch.dtype
    vector_bytes: int
    accumulates: torch.dtype
    pending: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    dense: torch.Tensor | None = None
    fused: bool = False

    @property
    def columns(self) -> int:
        """Columns of a piece."""
        return self.table.dim // self.placed.pieces

    @property
    def pools(self) -> bool:
        return self.table.pooling != "none"

    @property
    def scale(self) -> float:
        """What each looked-up row of a bag is multiplied by."""
        return 1.0 / self.table.lookups_per_sample if self.table.pooling == "mean" else 1.0

    def accumulate(self, rows: torch.Tensor, gradients: torch.Tensor) -> None:
        """Sums a microbatch's gradients, one for each of `rows`, by row."""
        gradients = gradients.to(self.accumulates)
        if self.dense is not None:
            self.dense.index_add_(0, rows, gradients)
            return
        if len(rows):
            self.pending.append(_sum_by_row(rows, gradients))
        if self.fused:
            self._apply()

    def update(self) -> None:
        """The sparse optimizer on the rows that were touched in the step, unless they have been updated already."""
        if self.store is not None and not self.fused:
            self._apply()

    def _apply(self) -> None:
        if self.dense is not None:
            rows = (self.dense != 0).any(1).nonzero()[:, 0]
            gradients = self.dense[rows]
            self.dense.zero_()
        elif self.pending:
            rows, gradients = _sum_by_row(*(torch.cat(parts) for parts in zip(*self.pending, strict=True)))
            self.pending.clear()
        else:
            self.store.pass_over()
            return
        self.store.update(rows, gradients, SPARSE_LEARNING_RATE)


def make_shard(
    seed: int,
    table: Table,
    placed: TablePlacement,
    member: int,
    device: torch.device,
    *,
    double: bool,
    fused: bool,
    vectors: str | None = None,
) -> Shard:
    """What this member of the table group holds, at its start: the same table whatever the plan.

    Optimizer states are the piece's own: row-wise Adagrad keeps a number for each piece of a row, as TorchRec's
    column-wise shards do, so that there alone a cut changes what is learnt. vectors: the dtype in which looked-up
    vectors leave, where it is not the table's.
    """
    dtype = torch.float64 if double else STORED[table.dtype]
    accumulates = torch.float64 if double else torch.float32
    stated = vectors or table.dtype
    leaves, size = dtype if double else STORED[stated], DTYPE_BYTES[stated]
    held, piece = placed.rows_of(member), placed.piece_of(member)
    if held is None:
        return Shard(table, placed, None, leaves, size, accumulates)
    whole = starts.initial(seed, f"table.{table.name}", (table.rows, table.dim))
    columns = table.dim // placed.pieces
    rows = whole[held, piece * columns : (piece + 1) * columns].to(dtype)
    kept = len(range(kept_rows(table))[held])
    made = Shard(table, placed, RowStore(rows, kept, table.optimizer, accumulates, device), leaves, size, accumulates)
    if placed.kind == "data_parallel":
        made.dense = torch.zeros(rows.shape, dtype=accumulates, device=device)
    made.fused = fused and made.dense is None
    return made


def _sum_by_row(rows: torch.Tensor, gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distinct, place = torch.unique(rows, return_inverse=True)
    return distinct, gradients.new_zeros((len(distinct), gradients.shape[1])).index_add_(0, place, gradients)

"""Sparse embedding tables on a rank: lookups, exchanges, accumulation, update and storage (the contract's "Tables").

    placements(scenario)    who holds which part of which table (`model/placements.py`)
    loads(scenario)         what each table asks of the busiest rank
    traffic(scenario)       bytes of the exchanges of one microbatch
    lookup_forward, lookup_backward, optimizer      kernels of an owner
    find_distinct, repeat_vectors, sum_gradients    of who asks for each id only once
    held(scenario)          memory of the fullest member

All numbers are those of the busiest rank: the one that has most tables, or of dealt rows the most frequent ones.
Vectors travel in the table's dtype (TorchRec without quantized communication). Each table's kernels are priced apart,
though FBGEMM batches tables: as many bytes in fewer launches. Permutations after the exchanges are not modelled.
"""

from __future__ import annotations

from simulator.model.blocks import sparse_tables
from simulator.model.lookups import ids_per_sample
from simulator.model.placements import placements
from simulator.model.spec import ModelSpec
from simulator.model.tables.distinct import find_distinct, repeat_vectors, sum_gradients
from simulator.model.tables.kernels import (
    is_fused,
    lookup_backward,
    lookup_forward,
    optimizer,
    updates_last,
    updates_rows_last,
)
from simulator.model.tables.loads import (
    GRADIENT_BYTES,
    ID_BYTES,
    STATE_BYTES,
    Load,
    busiest,
    by_row,
    holds,
    hottest,
    is_deduplicated,
    loads,
    loads_of,
    of_owner,
    part_of,
    parts,
)
from simulator.model.tables.storage import Held, held, num_owners, on_host
from simulator.model.tables.traffic import ACROSS_NODES, DIRECT, REDUCED, Traffic, traffic, way_of

__all__ = ["ACROSS_NODES", "DIRECT", "GRADIENT_BYTES", "ID_BYTES", "REDUCED", "STATE_BYTES", "Held", "Load",
           "Traffic", "busiest", "by_row", "find_distinct", "held", "holds", "hottest", "ids_per_sample",
           "is_deduplicated", "is_fused", "loads", "loads_of", "lookup_backward", "lookup_forward", "num_owners",
           "num_parameters", "of_owner", "on_host", "optimizer", "part_of", "parts", "placements", "repeat_vectors",
           "sum_gradients", "traffic", "updates_last", "updates_rows_last", "way_of"]  # fmt: skip


def num_parameters(model: ModelSpec) -> int:
    """Entries of all sparse tables."""
    return sum(table.rows * table.dim for table in sparse_tables(model))

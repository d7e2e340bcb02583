"""De-duplication of ids: what it costs the rank that asks.

Ids are sorted, the distinct ones kept with the place of each; vectors that come back are repeated by place, and
gradients of equal ids summed before they leave (FBGEMM's jagged_unique_indices, which TorchRec's use_index_dedup runs).
"""

from __future__ import annotations

from simulator.model.lengths import Samples
from simulator.model.tables.loads import ID_BYTES, Load, is_deduplicated, parts
from simulator.model.work import Kernel, Step

DIGIT_BITS = 8
"""Bits of a key that one pass of a radix sort looks at (CUB's DeviceRadixSort)."""


def find_distinct(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """Of all tables, on the rank that asks."""
    return tuple(found_of(load) for load in _deduplicated(scenario, samples))


def repeat_vectors(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """Of all tables, on the rank that asks."""
    return tuple(repeated_of(load) for load in _deduplicated(scenario, samples))


def sum_gradients(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """Of all tables, on the rank that asks."""
    return tuple(summed_of(load) for load in _deduplicated(scenario, samples))


def found_of(load: Load) -> Kernel:
    """Each pass of the sort reads and writes ids and their places; distinct ids and a place for each are written."""
    passes = -(-max(1, (load.table.rows - 1).bit_length()) // DIGIT_BITS)
    moved = ID_BYTES * (load.own_ids * (4 * passes + 2) + load.sent)
    return Kernel("copy", (load.own_ids,), "fp32", 0, moved)


def repeated_of(load: Load) -> Kernel:
    """Reads a place and a vector for each id, writes the vector."""
    moved = load.own_ids * (ID_BYTES + 2 * load.vector_bytes)
    return Kernel("embedding_lookup", (load.own_ids * load.table.dim,), "fp32", 0, moved)


def summed_of(load: Load) -> Kernel:
    """Reads a place and a gradient for each id, writes a sum for each distinct one."""
    moved = load.own_ids * (ID_BYTES + load.vector_bytes) + load.sent * load.vector_bytes
    return Kernel("embedding_update", (load.own_ids * load.table.dim,), "fp32", 0, moved)


def _deduplicated(scenario, samples: Samples | None) -> list[Load]:
    return [load for load in parts(scenario, samples) if is_deduplicated(scenario.plan, load.table, load.placed)]

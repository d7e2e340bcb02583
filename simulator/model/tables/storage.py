"""Bytes of tables in device memory, on the rank that holds most."""

from __future__ import annotations

from simulator.model.lengths import Samples
from simulator.model.lookups import group_size
from simulator.model.tables.kernels import is_fused
from simulator.model.tables.loads import GRADIENT_BYTES, Load, fullest, parts
from simulator.model.tables.traffic import traffic


def storage_bytes(scenario) -> int:
    """Weights and optimizer states."""
    return fullest(scenario, lambda load: int(load.rows * load.cached) * load.stored_bytes)[1]


def gradient_bytes(scenario, samples: Samples | None = None) -> int:
    """Row gradients that wait for the end of the step (a dense gradient where every rank holds the table)."""

    def waiting(load: Load) -> int:
        if is_fused(scenario, load):
            return 0
        rows = load.table.rows if load.sharding == "data_parallel" else scenario.microbatches * load.unique(1)
        return load.columns * GRADIENT_BYTES * rows

    return fullest(scenario, waiting, samples)[1]


def buffer_bytes(scenario, samples: Samples | None = None) -> int:
    """Ids and vectors of one microbatch: sent, received and gathered; of a reduction, what goes in and comes out."""
    found = traffic(scenario, samples)
    if found is None:
        return 0
    reduced = found.reduced + found.reduced // group_size(scenario)
    if found.node_members is not None:
        reduced += found.node_reduced + found.node_reduced // found.node_members + 2 * found.across
    if found.deduplicates:  # vectors of distinct ids, repeated
        reduced += sum(
            load.own_vectors * load.vector_bytes for load in parts(scenario, samples) if load.sent < load.own_ids
        )
    return 2 * (found.ids + found.vectors) + found.gather + reduced

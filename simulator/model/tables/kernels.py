"""What lookups run: rows are read (and summed, where a table pools), gradients summed by row, rows updated."""

from __future__ import annotations

from simulator import kinds
from simulator.model.lengths import Samples
from simulator.model.lookups import group_size
from simulator.model.tables.loads import GRADIENT_BYTES, ID_BYTES, Load, loads, parts
from simulator.model.work import Kernel, Step


def lookup_forward(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """Rows of one microbatch: reads ids and rows, writes vectors. Misses of the cache come over the host link."""
    steps: list[Step] = []
    for load in loads(scenario, samples):
        hits = round(load.read * load.hit_rate)
        if load.read:
            moved = load.read * ID_BYTES + (hits + load.made) * load.row_bytes
            steps.append(_lookup(load, moved))
        if load.read > hits:
            elements = (load.read - hits) * load.columns
            steps.append(_kernel("embedding_lookup_host", elements, (load.read - hits) * load.row_bytes))
    return tuple(steps)


def lookup_backward(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """Gradients of one microbatch are summed by row: reads ids and a gradient for each, writes one for each distinct
    row. A sample's gradient is read once for each of its ids, as FBGEMM's backward reads it. Fused, rows and states are
    read and written instead.
    """
    steps: list[Step] = []
    for load in loads(scenario, samples):
        if not load.read:
            continue
        moved, on_host = load.read * (ID_BYTES + load.row_bytes), 0
        if is_fused(scenario, load):
            on_host = load.unique_on_host(1)
            moved += (load.unique(1) - on_host) * load.update_bytes
        else:
            moved += load.unique(1) * load.columns * GRADIENT_BYTES
        steps.append(_kernel("embedding_update", load.read * load.columns, moved))
        if on_host:
            steps.append(_kernel("embedding_update_host", on_host * load.columns, on_host * load.update_bytes))
    return tuple(steps)


def is_fused(scenario, load: Load) -> bool:
    """Whether rows are updated as soon as their gradients are there. TorchRec's data_parallel tables never are."""
    return scenario.plan.embedding_fused_optimizer and load.sharding != "data_parallel"


def updates_last(scenario) -> bool:
    """Whether some table is updated at the end of the step."""
    return not all(is_fused(scenario, load) for load in parts(scenario))


def optimizer(scenario, samples: Samples | None = None) -> tuple[Step, ...]:
    """The sparse update, once a step: reads every microbatch's row gradients, reads and writes the rows they touch.

    data_parallel reads the reduced dense gradient instead, and updates the rows that any rank touched.
    """
    microbatches, group = scenario.microbatches, group_size(scenario)
    steps: list[Step] = []
    for load in loads(scenario, samples):
        if not load.read or is_fused(scenario, load):
            continue
        # a replicated table is updated with the ids of all ranks, whether or not they were exchanged
        times = microbatches * (group if load.sharding == "data_parallel" else 1)
        gradients = microbatches * load.unique(1)
        if load.sharding == "data_parallel" and group > 1:
            gradients = load.table.rows
        touched, on_host = load.unique(times), load.unique_on_host(times)
        moved = gradients * load.columns * GRADIENT_BYTES + (touched - on_host) * load.update_bytes
        steps.append(_kernel("embedding_update", touched * load.columns, moved, kinds.OPTIMIZER))
        if on_host:
            elements = on_host * load.columns
            steps.append(_kernel("embedding_update_host", elements, on_host * load.update_bytes, kinds.OPTIMIZER))
    return tuple(steps)


def _lookup(load: Load, moved: int) -> Kernel:
    if load.table.pooling == "none":
        return _kernel("embedding_lookup", load.read * load.columns, moved)
    return Kernel("embedding_bag", (load.read, load.columns, load.made), "fp32", 0, moved)


def _kernel(op: str, elements: int, moved: int, kind: str = kinds.COMPUTE) -> Kernel:
    return Kernel(op, (elements,), "fp32", 0, moved, kind)

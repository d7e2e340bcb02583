"""Sparse embedding tables on a rank: lookups, exchanges, accumulation, update and storage (the contract's "Tables").

The table group is all G ranks of stage 0. A rank looks up the ids of its own slice: its data rank's samples, its
context slice, 1/tensor of the positions. How a table is sharded decides who reads the rows:

    row_wise        every rank holds 1/G of the rows: ids go to their owners, vectors come back
    table_wise      one rank holds the table (largest first, to the least loaded rank) and serves all others
    data_parallel   every rank holds all rows: no exchange, a dense all-reduce of gradients once a step

All numbers are those of the busiest rank (table_wise) and of the mean owner (row_wise: that hot rows load some owners
more is not modelled). Vectors travel in the table's dtype (TorchRec without quantized communication). Lengths,
permutations after the exchanges and de-duplication of ids before them are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator import kinds
from simulator.errors import NotSupportedYet
from simulator.model import ids as id_model
from simulator.model.blocks import sparse_tables
from simulator.model.lookups import group_size, own_ids, samples_rows
from simulator.model.placements import placements
from simulator.model.spec import ModelSpec, Table
from simulator.model.work import Kernel, Step
from simulator.units import DTYPE_BYTES

ID_BYTES = 8
GRADIENT_BYTES = 4
"""Sparse gradients accumulate in fp32."""

STATE_BYTES: dict[str, tuple[int, int]] = {
    "sgd": (0, 0),
    "rowwise_adagrad": (0, 4),
    "adagrad": (4, 0),
    "adam": (8, 0),
}
"""Optimizer state in bytes for each (element, row): row-wise Adagrad keeps one fp32 number a row."""

SHARDINGS = ("row_wise", "table_wise", "data_parallel")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes one rank hands to each exchange of one microbatch, all tables together; 0 where there is none.

    ids, vectors: to the owners and back; gradients go the way of vectors. gather: the vectors of all positions,
    gathered over the tensor group. dense_gradients: all-reduced once a step by tables that every rank holds whole.
    """

    ids: int
    vectors: int
    gather: int
    dense_gradients: int


@dataclass(frozen=True, slots=True)
class Load:
    """One table's work on the busiest rank.

    own_ids: ids of the rank's slice of a microbatch. read: rows it looks up for
    itself and others. rows: rows it holds. draws: ids, over all ranks it serves, that fall on those of `owners` ranks.
    """

    table: Table
    sharding: str
    own_ids: int
    read: int
    rows: int
    draws: int
    owners: int

    @property
    def vector_bytes(self) -> int:
        return self.table.dim * DTYPE_BYTES[self.table.dtype]

    @property
    def update_bytes(self) -> int:
        """Traffic of one row's update: weights and states are read and written."""
        element, row = STATE_BYTES[self.table.optimizer]
        return 2 * (self.vector_bytes + element * self.table.dim + row)

    @property
    def stored_bytes(self) -> int:
        """One row at rest: weights and states."""
        return self.update_bytes // 2

    @property
    def cached(self) -> float:
        """Share of the rows that is in device memory."""
        return (self.table.cache_fraction or 0.0) if self.table.placement == "host" else 1.0

    def unique(self, microbatches: int) -> int:
        """Expected distinct rows that this rank updates after so many microbatches."""
        found = id_model.expected_unique(self.table.ids, self.table.rows, microbatches * self.draws)
        return max(1, round(found / self.owners)) if self.read else 0

    def unique_on_host(self, microbatches: int) -> int:
        """Those of them that are not in device memory."""
        draws = microbatches * self.draws
        found = id_model.unique_outside(self.table.ids, self.table.rows, draws, self.cached)
        return round(found / self.owners) if self.read else 0


def loads(scenario) -> tuple[Load, ...]:
    """What each sparse table asks of the busiest rank of stage 0."""
    model, layout = scenario.model, scenario.layout
    if layout.pipeline > 1 and samples_rows(model):
        raise NotSupportedYet(
            f"a {model.head.kind} head that samples rows of a table is not supported yet behind a pipeline (its rows "
            "are on the first stage); use pipeline 1 or head.kind full_softmax",
            key="plan.pipeline",
        )
    group, busiest = group_size(scenario), _busiest_owner(scenario)
    found = []
    for table, placed in zip(sparse_tables(model), placements(scenario), strict=True):
        sharding, count = placed.kind, own_ids(scenario, table)
        if sharding == "row_wise":
            found.append(Load(table, sharding, count, count, -(-table.rows // group), group * count, group))
        elif sharding == "data_parallel":
            found.append(Load(table, sharding, count, count, table.rows, count, 1))
        elif sharding != "table_wise":
            raise NotSupportedYet(
                f"{sharding} is not supported yet; use one of {', '.join(SHARDINGS)}", key="plan.embedding_sharding"
            )
        elif busiest in placed.owners:
            found.append(Load(table, sharding, count, group * count, table.rows, group * count, 1))
        else:
            found.append(Load(table, sharding, count, 0, 0, 0, 1))
    return tuple(found)


def traffic(scenario) -> Traffic | None:
    """The exchanges of one microbatch, or None where no table is trained sparsely.

    An exchange lasts as long as its busiest rank sends or receives: a table_wise owner receives G slices of ids.
    """
    shares = loads(scenario)
    if not shares:
        return None
    layout = scenario.layout
    group = layout.data * layout.context * layout.tensor
    moving = [load for load in shares if load.sharding != "data_parallel"] if group > 1 else []
    gathers = layout.tensor > 1 and not scenario.plan.sequence_parallel
    dense = [load for load in shares if load.sharding == "data_parallel"] if group > 1 else []
    return Traffic(
        ids=ID_BYTES * max(sum(load.own_ids for load in moving), sum(load.read for load in moving)),
        vectors=max(
            sum(load.own_ids * load.vector_bytes for load in moving),
            sum(load.read * load.vector_bytes for load in moving),
        ),
        gather=layout.tensor * sum(load.own_ids * load.vector_bytes for load in shares) if gathers else 0,
        dense_gradients=sum(load.table.rows * load.table.dim * GRADIENT_BYTES for load in dense),
    )


def lookup_forward(scenario) -> tuple[Step, ...]:
    """Rows of one microbatch: reads ids and rows, writes vectors. Misses of the cache come over the host link."""
    steps: list[Step] = []
    for load in loads(scenario):
        hits = round(load.read * _hit_rate(load))
        if load.read:
            moved = load.read * (ID_BYTES + load.vector_bytes) + hits * load.vector_bytes
            steps.append(_kernel("embedding_lookup", load.read * load.table.dim, moved))
        if load.read > hits:
            elements = (load.read - hits) * load.table.dim
            steps.append(_kernel("embedding_lookup_host", elements, (load.read - hits) * load.vector_bytes))
    return tuple(steps)


def lookup_backward(scenario) -> tuple[Step, ...]:
    """Gradients of one microbatch are summed by row: reads ids and gradients, writes one for each distinct row."""
    return tuple(
        _kernel(
            "embedding_update",
            load.read * load.table.dim,
            load.read * (ID_BYTES + load.vector_bytes) + load.unique(1) * load.table.dim * GRADIENT_BYTES,
        )
        for load in loads(scenario)
        if load.read
    )


def optimizer(scenario) -> tuple[Step, ...]:
    """The sparse update, once a step: reads every microbatch's row gradients, reads and writes the rows they touch.

    data_parallel reads the reduced dense gradient instead, and updates the rows that any rank touched.
    """
    layout, microbatches = scenario.layout, scenario.microbatches
    group = layout.data * layout.context * layout.tensor
    steps: list[Step] = []
    for load in loads(scenario):
        if not load.read:
            continue
        dim = load.table.dim
        # a replicated table is updated with the ids of all ranks, whether or not they were exchanged
        times = microbatches * (group if load.sharding == "data_parallel" else 1)
        gradients = microbatches * load.unique(1)
        if load.sharding == "data_parallel" and group > 1:
            gradients = load.table.rows
        touched, on_host = load.unique(times), load.unique_on_host(times)
        moved = gradients * dim * GRADIENT_BYTES + (touched - on_host) * load.update_bytes
        steps.append(_kernel("embedding_update", touched * dim, moved, kinds.OPTIMIZER))
        if on_host:
            steps.append(_kernel("embedding_update_host", on_host * dim, on_host * load.update_bytes, kinds.OPTIMIZER))
    return tuple(steps)


def storage_bytes(scenario) -> int:
    """Weights and optimizer states in device memory, on the rank that holds most."""
    return sum(int(load.rows * load.cached) * load.stored_bytes for load in loads(scenario))


def gradient_bytes(scenario) -> int:
    """Row gradients that wait for the end of the step (a dense gradient where every rank holds the table)."""
    total = 0
    for load in loads(scenario):
        rows = scenario.microbatches * load.unique(1)
        total += load.table.dim * GRADIENT_BYTES * (load.table.rows if load.sharding == "data_parallel" else rows)
    return total


def buffer_bytes(scenario) -> int:
    """Ids and vectors of one microbatch: sent, received and gathered."""
    found = traffic(scenario)
    return 2 * (found.ids + found.vectors) + found.gather if found else 0


def num_parameters(model: ModelSpec) -> int:
    """Entries of all sparse tables."""
    return sum(table.rows * table.dim for table in sparse_tables(model))


def _busiest_owner(scenario) -> int:
    """The member with most traffic of whole tables, the lowest on ties."""
    load: dict[int, int] = {}
    for table, placed in zip(sparse_tables(scenario.model), placements(scenario), strict=True):
        if placed.kind == "table_wise":
            size = own_ids(scenario, table) * table.dim * DTYPE_BYTES[table.dtype]
            load[placed.owners[0]] = load.get(placed.owners[0], 0) + size
    return max(load, key=lambda member: (load[member], -member), default=0)


def _hit_rate(load: Load) -> float:
    return 1.0 if load.cached >= 1 else id_model.hit_rate(load.table.ids, load.table.rows, load.cached)


def _kernel(op: str, elements: int, moved: int, kind: str = kinds.COMPUTE) -> Kernel:
    return Kernel(op, (elements,), "fp32", 0, moved, kind)

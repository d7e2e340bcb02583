"""Bytes of tables in device memory: what a member holds of each, and the member that holds most of all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simulator.model import bottom_mlp
from simulator.model.lengths import Samples, over_the_step
from simulator.model.lookups import group_size
from simulator.model.tables.kernels import is_fused
from simulator.model.tables.loads import GRADIENT_BYTES, ID_BYTES, Load, holds, loads_of, most_asked
from simulator.model.tables.traffic import ACROSS_NODES, way_of


class Held(NamedTuple):
    """Bytes on one member. stored: weights and optimizer states. waiting: row gradients until the end of the step (a
    dense gradient where every member holds the table). buffers: ids and vectors of one microbatch, sent and received.
    """

    stored: int = 0
    waiting: int = 0
    buffers: int = 0

    @property
    def total(self) -> int:
        return sum(self)


def held(scenario, samples: Sequence[Samples] = (), *, sparse: bool = False) -> Held:
    """What the member holds that holds most, the lowest on ties. samples: of every microbatch, where lengths differ;
    buffers are those of the largest. sparse: gradients are torch's sparse tensors."""
    step = over_the_step(samples)
    member, _ = most_asked(scenario, lambda load: held_by_owner(scenario, load, sparse).total, step)
    exchanged = [_on(scenario, member, one, sparse) for one in samples or (None,)]
    return _on(scenario, member, step, sparse)._replace(buffers=max(one.buffers for one in exchanged))


def held_by_owner(scenario, load: Load, sparse: bool = False) -> Held:
    """An owner's part of a table: rows, their gradients unless fused, the ids that it receives and what it makes of
    them; of a sum inside a node what goes in and what comes out. sparse: a gradient for each id, not for each row."""
    rows = load.table.rows
    if load.sharding != "data_parallel":
        rows = scenario.microbatches * (load.read if sparse else load.unique(1))
    rows, buffers = 0 if is_fused(scenario, load) else rows, 0
    if _travels(scenario, load):
        made = load.made * load.made_bytes
        buffers = load.read * ID_BYTES + made
        buffers += made // load.placed.rows_over if way_of(load.table, load.placed) == ACROSS_NODES else 0
    return Held(load.kept * load.stored_bytes, load.columns * GRADIENT_BYTES * rows, buffers)


def on_host(load: Load) -> int:
    """Bytes of an owner's rows and states that are in host memory."""
    return (load.rows - load.kept) * load.stored_bytes


def num_owners(scenario, load: Load) -> int:
    """Members that hold a part of a table."""
    return group_size(scenario) if load.sharding == "data_parallel" else len(load.placed.owners)


def held_by_all(scenario, load: Load) -> Held:
    """What a table takes on every member besides: the ids that it sends, the vectors that it gets (of distinct ids,
    and repeated), and what it gathers."""
    plan, vectors, pools = scenario.plan, load.own_vectors * load.vector_bytes, load.table.pooling != "none"
    buffers = plan.tensor * vectors if plan.tensor > 1 and (pools or not plan.sequence_parallel) else 0
    buffers += plan.context * plan.tensor * vectors if plan.context > 1 and pools else 0
    if _travels(scenario, load):
        buffers += load.sent * load.placed.pieces * ID_BYTES + load.came * load.vector_bytes
        buffers += vectors if load.sent < load.own_ids else 0
    return Held(buffers=buffers)


def _on(scenario, member: int, samples: Samples | None, sparse: bool) -> Held:
    """All tables on one member; beside them the vectors of a bottom MLP that is on one rank, sent and received."""
    found = [Held(buffers=(group_size(scenario) + 1) * bottom_mlp.vector_bytes(scenario))]
    for load in loads_of(scenario, member, samples):
        found.append(held_by_all(scenario, load))
        if holds(load.placed, member):
            found.append(held_by_owner(scenario, load, sparse))
    return Held(*map(sum, zip(*found, strict=True)))


def _travels(scenario, load: Load) -> bool:
    return load.sharding != "data_parallel" and group_size(scenario) > 1

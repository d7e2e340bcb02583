"""Traffic: bytes of the exchanges that lookups need, and which collective each of them is.

Ids go to the owners of their rows in one all-to-all of the table group, as many times as the columns are cut. What
comes back depends on the table:

    direct          vectors, one for each id, or one for each sample where owners hold whole rows: an all-to-all
    reduced         row_wise, pooled: every owner has a partial sum for every sample of the group; a reduce-scatter adds
                    them (TorchRec torchrec/distributed/sharding/rw_sharding.py, RwPooledEmbeddingDist)
    across_nodes    table_row_wise and grid, pooled: a reduce-scatter adds them inside the node that holds the rows, to
                    the member with the same place in the node as who asked; an all-to-all of members with the same
                    place brings them there (twrw_sharding.py, TwRwPooledEmbeddingDist; grid_sharding.py alike)

Vectors of bags that context and tensor ranks of one data rank have shared out (`model/lookups.py`) are gathered over
these. Gradients take the same way back: a reduce-scatter becomes an all-gather (torchrec/distributed/comm_ops.py). An
exchange lasts as long as its busiest rank sends or receives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulator.model import bottom_mlp
from simulator.model.lengths import Samples
from simulator.model.lookups import group_size
from simulator.model.placements import TablePlacement, equal_nodes
from simulator.model.spec import Table
from simulator.model.tables.loads import (
    GRADIENT_BYTES,
    ID_BYTES,
    Load,
    fullest,
    is_deduplicated,
    loads_of,
    most_asked,
    parts,
)

DIRECT, REDUCED, ACROSS_NODES = "direct", "reduced", "across_nodes"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Messages of one microbatch as `work.Collective` counts them, all tables together; 0 where there is none.

    ids: to the owners. vectors: back to who asked, what goes direct. reduced: partial sums over the table group.
    node_reduced: over the members on one node; across: from there to the same places on other nodes. gather: vectors
    over the tensor group, of all positions, and of the bags that its ranks share out. gather_context: of bags over the
    context group; their gradients come back summed in as many bytes. scatter: their gradients over a tensor group whose
    ranks have positions of their own. dense_gradients: all-reduced once a step by tables that every rank holds whole.
    node_members: members of the table group on each node, where some message stays inside one. deduplicates: whether
    ids are made distinct before they are sent.
    """

    ids: int
    vectors: int
    gather: int
    dense_gradients: int
    gather_context: int = 0
    scatter: int = 0
    reduced: int = 0
    node_reduced: int = 0
    across: int = 0
    node_members: int | None = None
    deduplicates: bool = False


def way_of(table: Table, placed: TablePlacement) -> str:
    """How vectors of a table come back."""
    if table.pooling == "none" or placed.kind not in ("row_wise", "table_row_wise", "grid"):
        return DIRECT
    return REDUCED if placed.kind == "row_wise" else ACROSS_NODES


def traffic(scenario, samples: Samples | None = None) -> Traffic | None:
    """The exchanges of one microbatch, or None where no table is trained sparsely."""
    shares, plan, group = parts(scenario, samples), scenario.plan, group_size(scenario)
    if not shares:
        return None
    dense = [load for load in shares if load.sharding == "data_parallel"]
    if group == 1:
        return Traffic(0, 0, 0, 0)
    moving = [load for load in shares if load.sharding != "data_parallel"]
    bottom = bottom_mlp.vector_bytes(scenario)
    direct, across = _going(scenario, DIRECT, samples), _going(scenario, ACROSS_NODES, samples)
    node = _through_nodes(scenario, samples) if any(map(across, shares)) else {}
    return Traffic(
        ids=max(
            _most_asked_for(moving, lambda load, rank: ID_BYTES * load.sent_of(rank) * load.placed.pieces),
            most_asked(scenario, lambda load: ID_BYTES * load.read if load.placed.owners else 0, samples)[1],
        ),
        vectors=max(
            bottom
            + _most_asked_for(
                [load for load in shares if direct(load)], lambda load, rank: load.came_to(rank) * load.vector_bytes
            ),
            most_asked(scenario, direct, samples)[1],
            group * bottom + sum(map(direct, loads_of(scenario, bottom_mlp.MEMBER, samples))) if bottom else 0,
        ),
        **_shared_out(plan, shares),
        dense_gradients=sum(load.table.rows * load.table.dim * GRADIENT_BYTES for load in dense),
        reduced=sum(map(_going(scenario, REDUCED, samples), shares)),
        deduplicates=any(is_deduplicated(plan, load.table, load.placed) for load in shares),
        **node,
    )


def _most_asked_for(loads: Sequence[Load], size: Callable[[Load, int], int]) -> int:
    """Bytes of the rank that asks for most, of those that share a data rank's samples. size: of a table and a rank."""
    ranks = max((len(load.sent_by) for load in loads), default=0)
    return max((sum(size(load, rank) for load in loads) for rank in range(ranks)), default=0)


def _shared_out(plan, shares: tuple[Load, ...]) -> dict[str, int]:
    """Messages among the ranks that share the samples of a data rank."""
    pooled = [load for load in shares if load.table.pooling != "none"]
    bags, gathered = (
        plan.tensor * _most_asked_for(some, lambda load, rank: load.own_of(rank) * load.vector_bytes)
        for some in (pooled, pooled if plan.sequence_parallel else shares)
    )
    return {
        "gather": gathered if plan.tensor > 1 else 0,
        "gather_context": plan.context * bags if plan.context > 1 else 0,
        "scatter": bags if plan.tensor > 1 and plan.sequence_parallel else 0,
    }


def _going(scenario, way: str, samples: Samples | None) -> Callable[[Load], int]:
    """Bytes that an owner of a table makes and sends back this way; 0 where its vectors do not go it."""
    own = {
        load.table.name for load in parts(scenario, samples)
        if load.sharding != "data_parallel" and way_of(load.table, load.placed) == way
    }  # fmt: skip
    return lambda load: load.made * load.made_bytes if load.table.name in own else 0


def _through_nodes(scenario, samples: Samples | None) -> dict[str, int]:
    """Messages of pooled tables whose rows stay on one node. Members of a node hold the same of them."""
    nodes, made = equal_nodes(scenario), _going(scenario, ACROSS_NODES, samples)
    inside = fullest(scenario, made, samples)[1]
    asked = sum(load.own_vectors * load.vector_bytes for load in parts(scenario, samples) if made(load))
    return {
        "node_reduced": inside if len(nodes[0]) > 1 else 0,
        # after the sum a member has, of its place's share of the group's samples, what its own node holds
        "across": max(inside // len(nodes[0]), asked) if len(nodes) > 1 else 0,
        "node_members": len(nodes[0]),
    }

"""What lookups run: rows are read (and summed, where a table pools), gradients summed by row, rows updated."""

from __future__ import annotations

from collections.abc import Iterator

from simulator import kinds
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.lengths import Samples
from simulator.model.lookups import group_size
from simulator.model.memory_rules import scales_loss
from simulator.model.tables.loads import GRADIENT_BYTES, ID_BYTES, Load, loads, parts
from simulator.model.work import Kernel, Step

ZIPF = "_zipf"
"""Of the op of a lookup whose ids fall on a few rows most of the time: caches hold these."""


def lookup_forward(scenario, samples: Samples | None = None, sparse: bool = False) -> tuple[Step, ...]:
    """Rows of one microbatch on the busiest rank, table by table. samples: of it, where lengths differ. sparse: tables
    are torch's, with sparse gradients."""
    return tuple(step for load in loads(scenario, samples) for step in forward_of(load, scenario, sparse))


def lookup_backward(scenario, samples: Samples | None = None, sparse: bool = False) -> tuple[Step, ...]:
    """Gradients of one microbatch on the busiest rank, table by table. sparse: as torch's sparse tensors."""
    return tuple(step for load in loads(scenario, samples) for step in backward_of(load, scenario, sparse))


def is_fused(scenario, load: Load) -> bool:
    """Whether rows are updated as soon as their gradients are there. TorchRec's data_parallel tables never are."""
    return scenario.plan.embedding_fused_optimizer and load.sharding != "data_parallel"


def gathers_rows(scenario, load: Load, sparse: bool) -> bool:
    """Whether a lookup is a plain gather: of one id a sample, in the table's dtype, as its gradient is.

    NVIDIA's DLRM on several GPUs (dlrm/scripts/main.py, validate_flags: joint_sparse; dlrm/cuda_src/sparse_gather): the
    kernel reads and writes floats, so that fp16 vectors are cast by a kernel of their own (dlrm/nn/parts.py:
    `x.half()`) and their gradients back by that cast's backward; at::embedding_sparse_backward copies nothing, the
    vectors' gradient is the sparse tensor's values. On one GPU a fused kernel casts and writes values (joint_fused).
    """
    return sparse and group_size(scenario) > 1 and load.sharding != "data_parallel" and load.made == load.read


def updates_last(scenario) -> bool:
    """Whether some table is updated at the end of the step, or a bottom MLP that is on one rank among them."""
    return on_one_rank(scenario) or updates_rows_last(scenario)


def updates_rows_last(scenario) -> bool:
    """Whether some table is."""
    return not all(is_fused(scenario, load) for load in parts(scenario))


def optimizer(scenario, samples: Samples | None = None, sparse: bool = False) -> tuple[Step, ...]:
    """The sparse update of the busiest rank, once a step, table by table. samples: of a microbatch."""
    return tuple(step for load in loads(scenario, samples) for step in update_of(load, scenario, sparse))


def forward_of(load: Load, scenario, sparse: bool = False) -> Iterator[Kernel]:
    """One table's lookup: reads ids and rows, writes vectors. Misses of the cache come over the host link.

    sparse: with torch's sparse gradients. A plain gather writes vectors as rows are stored, to be cast after, and reads
    and writes ids once more before, to point into one matrix of all tables (dlrm/cuda_ext/sparse_embedding.py,
    JointSparseEmbedding).
    """
    gathers = gathers_rows(scenario, load, sparse)
    hits = load.hits
    written = load.row_bytes if gathers else load.made_bytes
    if load.read:
        passes = 3 if gathers else 1
        yield _lookup(load, passes * load.read * ID_BYTES + hits * load.row_bytes + load.made * written)
    if load.read > hits:
        elements = (load.read - hits) * load.columns
        yield _kernel("embedding_lookup_host", elements, (load.read - hits) * load.row_bytes)
    if load.made and written != load.made_bytes:
        yield _kernel("cast", load.made * load.columns, load.made * (written + load.made_bytes))


def backward_of(load: Load, scenario, sparse: bool = False) -> Iterator[Kernel]:
    """One table's gradients are summed by row: reads ids and a gradient for each, writes one for each distinct row.

    A sample's gradient is read once for each of its ids, as FBGEMM's backward reads it. Fused, rows and states are read
    and written instead. sparse: a gradient for each id is written, and the id; behind a plain gather they are there
    already, and gradients only cast where they come in another dtype.
    """
    if not load.read:
        return
    if gathers_rows(scenario, load, sparse) and not is_fused(scenario, load):
        written = load.columns * GRADIENT_BYTES
        if written != load.made_bytes:
            yield _kernel("cast", load.read * load.columns, load.read * (load.made_bytes + written))
        return
    moved, on_host = load.read * (ID_BYTES + load.made_bytes), 0
    if is_fused(scenario, load):
        on_host = load.unique_on_host(1)
        moved += (load.unique(1) - on_host) * load.update_bytes
    else:
        moved += (load.read if sparse else load.unique(1)) * load.columns * GRADIENT_BYTES
        moved += load.read * ID_BYTES if sparse else 0
    yield _kernel("embedding_update", load.read * load.columns, moved)
    if on_host:
        yield _kernel("embedding_update_host", on_host * load.columns, on_host * load.update_bytes)


def update_of(load: Load, scenario, sparse: bool = False) -> Iterator[Kernel]:
    """One table's sparse update: reads every microbatch's row gradients, reads and writes the rows they touch.

    data_parallel reads the reduced dense gradient instead, and updates the rows that any rank touched.
    """
    if not load.read or is_fused(scenario, load):
        return
    microbatches, group = scenario.microbatches, group_size(scenario)
    # a replicated table is updated with the ids of all ranks, whether or not they were exchanged
    times = microbatches * (group if load.sharding == "data_parallel" else 1)
    gradients = microbatches * load.unique(1)
    if load.sharding == "data_parallel" and group > 1:
        gradients = load.table.rows
    if sparse and load.sharding != "data_parallel":
        # torch.optim.SGD: values times the rate (read, write), index_add_ (read); a GradScaler unscales before
        passes = 3 + (2 if scales_loss(scenario) else 0)
        gradients = passes * microbatches * load.read
    touched, on_host = load.unique(times), load.unique_on_host(times)
    moved = gradients * load.columns * GRADIENT_BYTES + (touched - on_host) * load.update_bytes
    yield _kernel(f"row_update_{load.table.optimizer}", touched * load.columns, moved, kinds.OPTIMIZER)
    if on_host:
        yield _kernel("embedding_update_host", on_host * load.columns, on_host * load.update_bytes, kinds.OPTIMIZER)


def _lookup(load: Load, moved: int) -> Kernel:
    ids = ZIPF if load.table.ids.kind == "zipf" else ""
    if load.table.pooling == "none":
        return _kernel(f"embedding_lookup{ids}", load.read * load.columns, moved)
    return Kernel(f"embedding_bag{ids}", (load.read, load.columns, load.made), "fp32", 0, moved)


def _kernel(op: str, elements: int, moved: int, kind: str = kinds.COMPUTE) -> Kernel:
    return Kernel(op, (elements,), "fp32", 0, moved, kind)

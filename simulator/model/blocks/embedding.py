"""The first unit: token embedding, positions and dropout, or the way from looked-up item vectors into the trunk.

A token embedding is sharded by vocabulary rows over the tensor group: each rank looks up the ids it owns, zeros the
others, and the group adds (Megatron-LM's VocabParallelEmbedding). An item table tied to a full_softmax head gets
a gradient in every row at every step, so it is trained as a token embedding; other tables are `model/tables.py`'s.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.attention import DROPOUT_MASK_BYTES
from simulator.model.blocks.cut import Cut, Parameter
from simulator.model.blocks.head import is_tied
from simulator.model.blocks.kernels import accumulate, gemm, memory_bound, tensor_collective, weight_gradient
from simulator.model.slices import ids_by_slice
from simulator.model.spec import ModelSpec, Table, Trunk
from simulator.model.work import Step
from simulator.units import DTYPE_BYTES

LEARNED_POSITIONS = ("gpt", "bert", "sasrec")
DROPOUT = ("gpt", "bert", "sasrec")
TOKEN_TYPES = 2
"""Rows of BERT's segment embedding (arXiv 1810.04805)."""

ID_BYTES = 8


def token_table(model: ModelSpec) -> tuple[int, int] | None:
    """(rows, width) of the embedding that is trained densely: the vocabulary's or the tied item table's."""
    if model.trunk.vocab:
        return model.trunk.vocab, model.trunk.hidden
    head = model.head
    if head.kind == "full_softmax" and head.tied:
        table = model.table(head.table)
        return table.rows, table.dim
    return None


def drops(trunk: Trunk, cut: Cut) -> bool:
    """Whether dropout follows the embedding."""
    return trunk.block in DROPOUT and cut.dropout


def sparse_tables(model: ModelSpec) -> tuple[Table, ...]:
    """The tables whose rows are looked up and updated one by one."""
    head = model.head
    dense = head.table if head.kind == "full_softmax" and head.tied and not model.trunk.vocab else None
    return tuple(table for table in model.tables if table.name != dense)


def parameters(model: ModelSpec) -> tuple[Parameter, ...]:
    trunk, found = model.trunk, []
    if token := token_table(model):
        found.append(Parameter("embedding.tokens.weight", token, "vocab"))
    for table in _projected(model):
        found += [Parameter(f"embedding.{table.name}.weight", (trunk.hidden, table.dim)),
                  Parameter(f"embedding.{table.name}.bias", (trunk.hidden,))]  # fmt: skip
    if trunk.block in LEARNED_POSITIONS:
        found.append(Parameter("embedding.positions.weight", (trunk.seq, trunk.hidden)))
    if trunk.block == "bert":
        found += [Parameter("embedding.types.weight", (TOKEN_TYPES, trunk.hidden)),
                  Parameter("embedding.norm.weight", (trunk.hidden,)),
                  Parameter("embedding.norm.bias", (trunk.hidden,))]  # fmt: skip
    return tuple(found)


def forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    trunk, size, steps = model.trunk, cut.bytes, []
    elements = cut.shard_tokens * trunk.hidden
    if token := token_table(model):
        width = cut.tokens * token[1]
        # reads the row and the id, writes the vector
        steps.append(memory_bound("embedding_lookup", width, 2 * size + ID_BYTES / token[1], cut))
        if cut.tensor > 1:  # zeros the vectors of ids that other ranks own
            steps.append(memory_bound("elementwise", width, size, cut))
        op = "reduce_scatter" if _scattered(model, cut) else "all_reduce"
        steps += tensor_collective(op, width * size, cut)
    for table in sparse_tables(model):
        steps += cast(model, table, cut)
    for table in _projected(model):
        steps.append(gemm(vectors(model, table, cut), trunk.hidden, table.dim, cut))
    for _ in _pooled(model):  # a sample's vector is added at each of its positions: reads the sum, writes it
        steps.append(memory_bound("elementwise", elements, 2 * size, cut))
    if trunk.block in LEARNED_POSITIONS:  # reads both summands, writes the sum
        steps.append(memory_bound("elementwise", elements, 3 * size, cut))
    if trunk.block == "bert":
        steps.append(memory_bound("layernorm", elements, 2 * size, cut))
    if drops(trunk, cut):  # reads, writes, and writes the mask
        steps.append(memory_bound("elementwise", elements, 2 * size + DROPOUT_MASK_BYTES, cut))
    return tuple(steps)


def backward(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
    """Of frozen weights: the gradients of looked-up vectors, where tables are trained."""
    trunk, size, steps = model.trunk, cut.bytes, []
    if not trained.passes:
        return ()
    elements = cut.shard_tokens * trunk.hidden
    if drops(trunk, cut):  # reads the gradient and the mask, writes
        steps.append(memory_bound("elementwise", elements, 2 * size + DROPOUT_MASK_BYTES, cut))
    if trunk.block == "bert":  # reads dY and X, writes dX; reads both again for the weights' gradient
        steps.append(memory_bound("layernorm", elements, (3 if trained.frozen else 5) * size, cut))
    if trunk.block in LEARNED_POSITIONS and not trained.frozen:
        # the positions' gradient is a sum over samples: reads the gradient
        steps.append(memory_bound("elementwise", elements, size, cut))
    for _ in _pooled(model):  # summed over the positions of each sample: reads the gradient
        steps.append(memory_bound("elementwise", elements, size, cut))
    token = None if trained.frozen else token_table(model)
    if cut.sequence_parallel and token:  # the embedding's shards hold rows, not positions
        steps += tensor_collective("all_gather", cut.tokens * token[1] * size, cut)
    for table in sparse_tables(model):
        steps += cast(model, table, cut)
    for table in _projected(model):
        rows = vectors(model, table, cut)
        steps.append(gemm(rows, table.dim, trunk.hidden, cut))
        if not trained.frozen:
            steps += weight_gradient(trunk.hidden, table.dim, rows, cut)
    if token:
        width, rows = cut.tokens * token[1], cut.share(token[0])
        # torch makes a dense gradient: zeroed, each position added to its row (reads the gradient, reads and writes the
        # row), and the whole added to the accumulated gradient: no fused accumulation for embeddings
        steps += [memory_bound("elementwise", rows * token[1], size, cut),
                  memory_bound("embedding_update", width, 3 * size, cut),
                  *accumulate(rows * token[1], cut)]  # fmt: skip
        if cut.fresh_gradients and is_tied(model):  # autograd adds it to the head's: reads both, writes the sum
            steps.append(memory_bound("elementwise", rows * token[1], 3 * size, cut))
    return tuple(steps)


def kept_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """Dropout's mask, the ids, and the item vectors that a projection reads; the output is the next unit's to keep."""
    if not trained.passes:
        return 0
    kept = cut.shard_tokens * model.trunk.hidden * DROPOUT_MASK_BYTES if drops(model.trunk, cut) else 0
    if model.trunk.block == "bert":
        kept += cut.shard_tokens * model.trunk.hidden * cut.bytes  # the norm's input
    if trained.frozen:
        return kept
    if token_table(model):
        kept += cut.tokens * ID_BYTES
    return kept + sum(vectors(model, table, cut) * table.dim * cut.bytes for table in _projected(model))


def weight_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """The vectors that projections read, and the gradient of their sum. Rows and positions are done with in I."""
    if trained.frozen:
        return 0
    held = sum(vectors(model, table, cut) * table.dim for table in _projected(model))
    return cut.bytes * (
        held + max((vectors(model, table, cut) for table in _projected(model)), default=0) * model.trunk.hidden
    )


def _projected(model: ModelSpec) -> tuple[Table, ...]:
    """Tables whose vectors are not as wide as the trunk: a linear layer brings them there."""
    return tuple(table for table in model.tables if table.dim != model.trunk.hidden)


def _pooled(model: ModelSpec) -> tuple[Table, ...]:
    """Tables with one vector for each sample."""
    return tuple(table for table in sparse_tables(model) if table.pooling != "none")


def vectors(model: ModelSpec, table: Table, cut: Cut) -> int:
    """Vectors of one microbatch that enter the trunk from this table, on the rank that has most; of its tensor group
    under sequence parallelism too. Of a table that pools, every rank has those of all samples."""
    if table.pooling != "none":
        return cut.batch
    if table.lookups_per_sample is None:
        return cut.shard_tokens
    if cut.context == 1 and not (cut.sequence_parallel and cut.tensor > 1):
        return cut.batch * table.lookups_per_sample
    alike = 1 if cut.lengths else cut.batch  # samples, of which one is looked at
    one = cut if cut.lengths else replace(cut, batch=1)
    lengths = cut.lengths or (cut.seq,)
    return alike * max(ids_by_slice(one, lengths, table.lookups_per_sample, causal=bool(model.trunk.causal)))


def cast(model: ModelSpec, table: Table, cut: Cut) -> tuple[Step, ...]:
    """Looked-up vectors become activations, or their gradients back: reads one dtype, writes the other."""
    arrives = DTYPE_BYTES[cut.vectors or table.dtype]
    if arrives == cut.bytes:
        return ()
    each = arrives + cut.bytes
    return (memory_bound("cast", vectors(model, table, cut) * table.dim, each, cut),)


def _scattered(model: ModelSpec, cut: Cut) -> bool:
    """Megatron-LM reduces straight into position shards unless learned positions must be added to whole sequences."""
    return cut.sequence_parallel and model.trunk.block not in LEARNED_POSITIONS

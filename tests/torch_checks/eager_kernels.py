"""What the executor keeps beyond the modelled stack, and what it does not run: the terms that make like meet like.

The simulator's torch stack (`model/stacks.py`) has dropout, a fused RMSNorm and HSTU's fused attention kernel; the
executor runs a CPU's kernels, without dropout. Each term below is a tensor that autograd saves for one of those
kernels, derived from its formula; none is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from simulator.model import blocks, lookups
from simulator.model.blocks import Cut, Unit
from simulator.model.blocks.attention import scores
from simulator.model.blocks.embedding import DROPOUT
from simulator.model.spec import ModelSpec

MASK_BYTES, WIDE = 1, 4
VECTOR_BYTES = 4


def eager_bytes(model: ModelSpec, unit: Unit, cut: Cut, core: bool = True) -> int:
    """Bytes kept by the executor's unit less those of the modelled one. core: attention's s^2 matrices are kept."""
    trunk, size, outside = model.trunk, cut.bytes, cut.shard_tokens * model.trunk.hidden
    total, trained = 0, blocks.training(model, unit)
    if unit.kind in ("attention", "mlp", "embedding") and trunk.block in DROPOUT and trained.runs:
        total -= MASK_BYTES * outside
    if trunk.block == "llama" and unit.kind != "embedding" and trained.passes:
        # CPUs have no fused RMSNorm: x * rstd is kept for the weight's gradient; 16-bit inputs are made fp32 before
        if trained.frozen:  # in place of x, which what selective_op makes again keeps besides
            total += outside * (WIDE - size) if core or not trained.keeps_input else outside * WIDE * (size != WIDE)
        else:
            total += outside * WIDE * (1 if size == WIDE else 2)
    if unit.kind == "attention" and trained.inner:
        if trunk.block in DROPOUT and cut.attention == "unfused" and core:
            total -= (size + MASK_BYTES) * scores(trunk, cut)  # dropout's output and mask
        if trunk.block == "llama" and trained.keeps_inner:
            # Q is [b, a, s, d] when it has been turned, and so is the output: it is copied
            total += size * cut.tokens * cut.share(trunk.query_width)
    if unit.kind == "hstu" and trained.inner:
        # silu's input and the normalised scores; Q, K and V copied for the batched products; the output norm's result.
        # A ring makes its scores again and multiplies what it keeps; what comes by heads is copied and kept already
        kept, copies = (0 if cut.is_ring else 2 * scores(trunk, cut)), (4 if cut.context == 1 else 1)
        total += size * (kept + copies * cut.tokens * cut.share(trunk.query_width))
    return total


def table_bytes(model: ModelSpec, cut: Cut) -> int:
    """The interpreter hands the trunk a copy of the looked-up fp32 vectors, a leaf, and keeps both until its gradient
    goes back; where activations are 16-bit the model counts only their cast."""
    copies = 1 if cut.bytes == VECTOR_BYTES else 2
    ids = (
        (table, cut.batch * lookups.ids_per_sample(model, table) // cut.context
         if table.pooling != "none" or lookups.is_positional(table) else blocks.embedding.vectors(model, table, cut))
        for table in blocks.sparse_tables(model)
    )  # fmt: skip
    return sum(copies * VECTOR_BYTES * count * table.dim for table, count in ids)


@contextmanager
def as_executed() -> Iterator[None]:
    """Inside, the simulator counts the executor's kernels."""
    modelled = blocks.kept_bytes

    def kept_bytes(model: ModelSpec, unit: Unit, cut: Cut, mode: str = "none") -> int:
        kept = modelled(model, unit, cut, mode)
        if unit.kind == "embedding":
            kept += table_bytes(model, cut)
        return kept if mode == "full" and unit.layer >= 0 else kept + eager_bytes(model, unit, cut, mode == "none")

    blocks.kept_bytes = kept_bytes
    try:
        yield
    finally:
        blocks.kept_bytes = modelled

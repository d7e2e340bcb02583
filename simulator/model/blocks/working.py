"""Gradients of activations: what the backward pass of a unit holds for a moment, beside all that was kept for it.

Each rule follows the unit's `backward` step by step and counts the gradients that are alive together where they are
most: those a kernel reads and those it writes. What autograd adds to the accumulated gradients is not a tensor of its
own where the weight gradient's GEMM adds (`kernels.weight_gradient`), save for an embedding's, which is dense.
"""

from __future__ import annotations

from simulator.model.blocks import context, dlrm_bottom, dlrm_interaction, embedding, head, mlp, profiled
from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.attention import scores
from simulator.model.blocks.cut import Cut, Unit
from simulator.model.blocks.hstu import PARTS
from simulator.model.spec import ModelSpec, Trunk


def working_bytes(model: ModelSpec, unit: Unit, cut: Cut, gated: bool, trained: Training = WHOLE) -> int:
    """Most bytes of gradients alive at once in the unit's backward. gated: of the unit's MLP."""
    if unit.kind == "head":
        return _head(model, cut)
    if unit.kind in ("bottom", "interaction"):
        return {"bottom": dlrm_bottom, "interaction": dlrm_interaction}[unit.kind].working_bytes(model, cut)
    if model.trunk.block == profiled.OP:  # the gradient of its output
        return profiled.STYLE.kept_bytes(model.trunk, unit, cut)
    path = cut.shard_tokens * model.trunk.hidden  # the residual path's gradient waits for the branch's
    if not trained.inner:  # nothing inside the branch is asked for
        return cut.bytes * path
    if unit.kind == "embedding":
        token = None if trained.frozen else embedding.token_table(model)
        return cut.bytes * (path + (cut.share(token[0]) * token[1] if token else 0))
    inside = {"attention": _attention, "hstu": _hstu}.get(unit.kind)
    if inside is not None:
        return cut.bytes * (path + inside(model.trunk, cut))
    # mlp: of the activation's output and of its input; gate and up: of both, beside the output's, or (unfused) beside
    # the tensor that joins them
    widths = (4 if cut.separate_kernels and not cut.compiled else 3) if gated else 2
    return cut.bytes * (path + widths * cut.tokens * cut.share(model.trunk.ffn))


def _attention(trunk: Trunk, cut: Cut) -> int:
    """dQ, dK, dV and the tensor that they are joined in; unfused, the s^2 gradients of the softmax's output and input
    beside dO and dV."""
    query, key = (cut.tokens * cut.share(width) for width in (trunk.query_width, trunk.kv_width))
    joined = 2 * (query + 2 * key)
    if cut.context > 1:
        joined = max(joined, context.working_elements(trunk, cut))
    return joined if cut.attention == "flash" else max(joined, 2 * scores(trunk, cut) + query + key)


def _hstu(trunk: Trunk, cut: Cut) -> int:
    """dU, dV, dQ, dK, and the gradient of the GEMM's output that SiLU's backward writes."""
    width = cut.tokens * cut.share(trunk.query_width)
    if cut.context > 1:  # the gradient of U waits beside the core's
        return max(2 * PARTS * width, width + context.working_elements(trunk, cut))
    return 2 * PARTS * width


def _head(model: ModelSpec, cut: Cut) -> int:
    """The gradient of the trunk's output, and of the logits or the scored rows.

    A fused loss has left the logits' gradient in their place, Megatron-LM's keeps fp32 probabilities, which become the
    gradient in place and are cast down. torch's cross_entropy makes two fp32 gradients, before and behind log_softmax.
    """
    trunk, tokens = model.trunk, cut.shard_tokens
    out = tokens * trunk.hidden
    if rows := head.output_rows(model):
        casts = head.has_eager_loss(model, cut) and cut.bytes < head.LOSS_BYTES
        each = 2 * head.LOSS_BYTES if cut.separate_kernels else cut.bytes if casts else 0
        return cut.bytes * out + each * cut.tokens * cut.share(rows[0])
    if model.head.table is not None:
        scored, width = 1 + model.head.negatives, model.table(model.head.table).dim
        return cut.bytes * (out + tokens * (scored + 1) * width)
    return mlp.working_bytes(head.mlp_widths(model), tokens, cut) if model.is_dlrm else cut.bytes * out

"""The last unit: final norm, logits and loss.

lm and full_softmax: a vocabulary-sharded GEMM and a cross-entropy over shards with three small all-reduces
(Megatron-LM's vocab_parallel_cross_entropy). sampled_softmax and binary are not sharded: every tensor rank scores all
of its positions. The rows they sample come from the tables' exchange (`model/tables.py`).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from simulator.model.blocks import dlrm_interaction, mlp
from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.cut import Cut, Parameter
from simulator.model.blocks.kernels import (
    batched_gemm,
    gemm,
    memory_bound,
    norm_backward,
    norm_forward,
    tensor_collective,
)
from simulator.model.blocks.linear import column_backward, column_forward, column_weight_bytes
from simulator.model.spec import ModelSpec
from simulator.model.work import Kernel, Step

FINAL_NORM = {"gpt": 2, "llama": 1, "sasrec": 2}
"""Weights of the norm in front of the head: LayerNorm has two vectors, RMSNorm one."""

NORM_BACKWARD = {"llama": 3, "sasrec": 5}
STACK_NORM = ("gpt",)
"""Blocks whose norm is the software stack's kernel."""
LOSS_BYTES = 4
"""The loss is computed in fp32."""

EAGER_LOSS = ("gpt", "bert")
"""Blocks whose stack runs the loss as separate kernels (Megatron-LM 2021); the others' is fused."""


def output_rows(model: ModelSpec) -> tuple[int, int] | None:
    """(rows, width) of the logits' matrix, or None where the head does not score every row."""
    if model.head.kind == "lm":
        return model.trunk.vocab, model.trunk.hidden
    if model.head.kind == "full_softmax":
        table = model.table(model.head.table)
        return table.rows, table.dim
    return None


def has_eager_loss(model: ModelSpec, cut: Cut) -> bool:
    """Whether the loss is a row of separate kernels."""
    return model.trunk.block in EAGER_LOSS and not cut.fused_loss


def is_tied(model: ModelSpec) -> bool:
    """Whether the logits' matrix is the first unit's embedding."""
    return (
        model.trunk.tied_embeddings
        if model.head.kind == "lm"
        else model.head.kind == "full_softmax" and model.head.tied
    )


def tied_parameter(model: ModelSpec) -> Parameter | None:
    """The embedding that first and last stage share; each holds a copy and their gradients are added."""
    rows = output_rows(model)
    if not rows or not is_tied(model):
        return None
    return Parameter("embedding.tokens.weight", rows, "vocab", frozen=model.adapter is not None)


def parameters(model: ModelSpec) -> tuple[Parameter, ...]:
    """Weights of the head's own; a tied matrix belongs to the first unit."""
    trunk, rows, found = model.trunk, output_rows(model), []
    for part in ("weight", "bias")[: FINAL_NORM.get(trunk.block, 0)]:
        found.append(Parameter(f"head.norm.{part}", (trunk.hidden,)))
    if trunk.block == "bert" and rows:  # the masked-item head: dense, GELU, norm
        found += [Parameter("head.transform.weight", (trunk.hidden, trunk.hidden)),
                  Parameter("head.transform.bias", (trunk.hidden,)),
                  Parameter("head.transform.norm.weight", (trunk.hidden,)),
                  Parameter("head.transform.norm.bias", (trunk.hidden,))]  # fmt: skip
    if _out_width(model) != trunk.hidden:
        found.append(Parameter("head.projection.weight", (_out_width(model), trunk.hidden)))
    if rows and not is_tied(model):
        found.append(Parameter("head.logits.weight", rows, "vocab"))
    if rows and trunk.block == "bert":
        found.append(Parameter("head.logits.bias", rows[:1], "vocab"))
    return (*found, *mlp.parameters("head.mlp", mlp_widths(model)))


def forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    trunk, steps = model.trunk, []
    tokens, elements = cut.shard_tokens, cut.shard_tokens * trunk.hidden
    if trunk.block in STACK_NORM:
        steps.append(norm_forward(elements, trunk.hidden, cut))
    elif trunk.block in FINAL_NORM:
        steps.append(memory_bound("layernorm", elements, 2 * cut.bytes, cut))
    if trunk.block == "bert" and output_rows(model):
        steps += [gemm(tokens, trunk.hidden, trunk.hidden, cut),
                  memory_bound("elementwise", elements, 2 * cut.bytes, cut),
                  memory_bound("layernorm", elements, 2 * cut.bytes, cut)]  # fmt: skip
    if _out_width(model) != trunk.hidden:
        steps.append(gemm(tokens, _out_width(model), trunk.hidden, cut))
    if rows := output_rows(model):
        # the logits' layer is Megatron-LM's own, whose gather is not split
        steps += column_forward(rows[1], rows[0], replace(cut, overlap_tensor=False))
        steps += _cross_entropy_forward(model, cut, cut.tokens, cut.share(rows[0]))
    elif model.head.table is not None:
        scored, width = 1 + model.head.negatives, model.table(model.head.table).dim
        steps.append(batched_gemm(tokens, 1, scored, width, cut))
        steps.append(_loss(cut, tokens * scored))
    else:  # the last layer's activation is the loss
        steps += mlp.forward(mlp_widths(model), tokens, cut, fused=_fused(model, cut))
        if _fused(model, cut):
            steps += _binary_loss(model, cut, 0)
    return tuple(steps)


def backward(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
    """Of frozen weights: input gradients alone."""
    trunk, steps, whole = model.trunk, [], not trained.frozen
    tokens, elements = cut.shard_tokens, cut.shard_tokens * trunk.hidden
    if rows := output_rows(model):
        # eager: scales the fp32 probabilities in place (read, write), casts them down. fused: the forward pass has
        # left the gradient in place of the logits; it is scaled once (read, write)
        each = 3 * LOSS_BYTES + cut.bytes if has_eager_loss(model, cut) else 2 * cut.bytes
        steps.append(memory_bound(_loss_op(model, cut), cut.tokens * cut.share(rows[0]), each, cut))
        steps += column_backward(rows[1], rows[0], cut, bias=trunk.block == "bert", trained=whole)
    elif model.head.table is not None:
        scored, width = 1 + model.head.negatives, model.table(model.head.table).dim
        steps += [_loss(cut, tokens * scored),
                  batched_gemm(tokens, 1, width, scored, cut),  # gradient of the trunk's output
                  batched_gemm(tokens, scored, width, 1, cut)]  # gradient of the rows  # fmt: skip
    else:
        if _fused(model, cut):
            steps += _binary_loss(model, cut, 1)
        steps += mlp.backward(mlp_widths(model), tokens, cut, fused=_fused(model, cut), trained=whole)
    if _out_width(model) != trunk.hidden:
        steps += _replicated_backward(tokens, _out_width(model), trunk.hidden, cut, trained=whole)
    if trunk.block == "bert" and output_rows(model):
        steps += [memory_bound("layernorm", elements, (5 if whole else 3) * cut.bytes, cut),
                  memory_bound("elementwise", elements, 3 * cut.bytes, cut),
                  *_replicated_backward(tokens, trunk.hidden, trunk.hidden, cut, trained=whole)]  # fmt: skip
    if trunk.block in STACK_NORM:
        steps.append(norm_backward(elements, trunk.hidden, cut, trained=whole))
    elif trunk.block in FINAL_NORM:
        passes = NORM_BACKWARD[trunk.block] if whole else 3
        steps.append(memory_bound("layernorm", elements, passes * cut.bytes, cut))
    return tuple(steps)


def kept_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """The norm's input, the GEMM's input and the fp32 probabilities: 4 sbh (1 + v/h) / t (arXiv 2205.05198).

    A frozen GEMM's input is not kept for it; the rows of a table are trained, and so the vectors that score them kept.
    """
    trunk, tokens, whole = model.trunk, cut.shard_tokens, not trained.frozen
    projected = _out_width(model) != trunk.hidden
    scores = model.head.table is not None and not output_rows(model)
    read = whole or (scores and not projected)  # the trunk's output, behind its norm
    kept = cut.bytes * tokens * in_width(model) * ((trunk.block in FINAL_NORM) + read)
    if trunk.block == "bert" and output_rows(model):
        # of the transform: GELU's input, the norm's, the GEMM's
        kept += (3 if whole else 2) * cut.bytes * tokens * trunk.hidden
    if projected and (whole or scores):
        kept += cut.bytes * tokens * _out_width(model)
    if rows := output_rows(model):
        each = LOSS_BYTES if has_eager_loss(model, cut) or cut.separate_kernels else cut.bytes
        return kept + each * cut.tokens * cut.share(rows[0])
    if model.head.table is not None:
        scored = 1 + model.head.negatives
        return kept + tokens * scored * (cut.bytes * model.table(model.head.table).dim + LOSS_BYTES)
    return kept + mlp.kept_bytes(mlp_widths(model), tokens, cut)  # the last output is the logits


def weight_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """Input and output gradient of every linear layer of the head, whole ones on this rank's share of positions."""
    if trained.frozen:
        return 0
    trunk, tokens, held = model.trunk, cut.shard_tokens, 0
    if rows := output_rows(model):
        held += column_weight_bytes(rows[1], rows[0], cut)
    pairs = list(pairwise(mlp_widths(model)))
    if _out_width(model) != trunk.hidden:
        pairs.append((trunk.hidden, _out_width(model)))
    if trunk.block == "bert" and rows:
        pairs.append((trunk.hidden, trunk.hidden))
    return held + sum(cut.bytes * tokens * (before + width) for before, width in pairs)


def scored_width(model: ModelSpec) -> int:
    """Elements of the rows that are scored at each position, where the head samples them."""
    return (1 + model.head.negatives) * model.table(model.head.table).dim


def in_width(model: ModelSpec) -> int:
    """Width of what the head reads: the trunk's output, or the interaction's."""
    return dlrm_interaction.out_width(model) if model.is_dlrm else model.trunk.hidden


def _out_width(model: ModelSpec) -> int:
    """Width in which the trunk's output meets the rows of a table."""
    return model.trunk.hidden if model.head.table is None else model.table(model.head.table).dim


def mlp_widths(model: ModelSpec) -> mlp.Widths:
    """Of a binary head's input and layers; one logit where `dense` names none. Empty for other heads."""
    if output_rows(model) or model.head.table is not None:
        return ()
    return (in_width(model), *(model.dense.top if model.dense and model.dense.top else (1,)))


def _fused(model: ModelSpec, cut: Cut) -> bool:
    return model.is_dlrm and cut.fused_mlp


def _replicated_backward(tokens: int, width: int, before: int, cut: Cut, *, trained: bool) -> tuple[Step, ...]:
    """Bias gradient, input gradient and weight gradient of a linear layer that every tensor rank holds whole."""
    whole = replace(cut, tensor=1, sequence_parallel=False, context=1, batch=1, seq=tokens, lengths=())
    return column_backward(before, width, whole, trained=trained)


def _cross_entropy_forward(model: ModelSpec, cut: Cut, tokens: int, columns: int) -> tuple[Step, ...]:
    """Three all-reduces of one fp32 number a position: the maximum, the target's logit, the sum of exponentials."""
    reduce = tensor_collective("all_reduce", LOSS_BYTES * tokens, cut)
    elements = tokens * columns
    if not has_eager_loss(model, cut):
        # fused: reads the logits for maximum and sum, then reads them again and writes the gradient in their place
        return (memory_bound("cross_entropy", elements, cut.bytes, cut), *reduce, *reduce, *reduce,
                memory_bound("cross_entropy", elements, 2 * cut.bytes, cut))  # fmt: skip
    op = _loss_op(model, cut)
    return (
        # cast to fp32 (read, write 4), maximum (read 4)
        memory_bound(op, elements, cut.bytes + 2 * LOSS_BYTES, cut),
        *reduce,
        # subtract the maximum in place (read, write), exponential (read, write), sum (read)
        memory_bound(op, elements, 5 * LOSS_BYTES, cut),
        *reduce,
        *reduce,
        # divide in place (read, write)
        memory_bound(op, elements, 2 * LOSS_BYTES, cut),
    )


def _loss_op(model: ModelSpec, cut: Cut) -> str:
    """Megatron's vocab_parallel_cross_entropy is a row of plain elementwise kernels and reductions."""
    return "elementwise" if cut.elementwise_loss and has_eager_loss(model, cut) else "cross_entropy"


def _binary_loss(model: ModelSpec, cut: Cut, of: int) -> tuple[Kernel, ...]:
    """The loss of a fused MLP's scores, forward (of 0) or backward (1). Under autocast scores are cast to fp32, or
    their gradients back, and the loss is scaled, as its gradient is."""
    scores = cut.shard_tokens * mlp_widths(model)[-1]
    loss = (_loss(cut, scores),) * cut.loss_kernels[of]
    if not cut.autocast:
        return loss
    return (memory_bound("cast", scores, cut.bytes + LOSS_BYTES, cut), *loss, _loss(cut, 1))


def _loss(cut: Cut, scores: int) -> Kernel:
    """Loss over the sampled scores, in fp32: reads, writes."""
    return memory_bound("cross_entropy", scores, 2 * LOSS_BYTES, cut)

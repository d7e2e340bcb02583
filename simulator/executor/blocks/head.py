"""The last unit: final norm, logits and loss. Losses are summed with the weights of `Inputs`, in fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from simulator.executor.blocks.env import Env, Inputs
from simulator.executor.blocks.transformer import norm
from simulator.executor.numerics import LOSS_BYTES
from simulator.executor.tensor_parallel import Tensor, column_linear, whole_linear
from simulator.model.blocks.head import FINAL_NORM, is_tied, output_rows


def forward(env: Env, unit, weights, x, inputs: Inputs) -> torch.Tensor:
    """The microbatch's share of the step's loss. Whole on every tensor rank, unless positions are sharded and the
    head is not: then each rank has its positions' part (`is_partial`)."""
    model, tensor = env.model, env.tensor
    x = before_rows(env, weights, x)
    if rows := output_rows(model):
        return _cross_entropy(env, logits(env, weights, x), rows[0], inputs)
    labels, weight = tensor.own_rows(inputs.labels), tensor.own_rows(inputs.weights)
    if inputs.scored is not None:
        scores = torch.einsum("pd,pnd->pn", x, inputs.scored.to(x.dtype)).to(env.numerics.loss)
        if model.head.kind == "sampled_softmax":  # the positive row stands first
            return (F.cross_entropy(scores, torch.zeros_like(labels), reduction="none") * weight).sum()
        target = torch.zeros_like(scores)
        target[:, 0] = 1.0
    else:
        last = sum(name.startswith("head.mlp") and name.endswith("weight") for name in weights) - 1
        for place in range(last + 1):
            x = whole_linear(x, weights[f"head.mlp{place}.weight"], weights[f"head.mlp{place}.bias"], tensor)
            x = F.relu(x) if place < last else x
        scores = x.to(env.numerics.loss)
        target = labels[:, None].to(scores.dtype).expand_as(scores)
    losses = F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(1)
    return (losses * weight).sum()


def before_rows(env: Env, weights, x: torch.Tensor) -> torch.Tensor:
    """The trunk's output as it meets the rows that are scored."""
    model, tensor = env.model, env.tensor
    if model.trunk.block in FINAL_NORM:
        x = norm(x, weights, "head.norm")
    if "head.transform.weight" in weights:
        x = whole_linear(x, weights["head.transform.weight"], weights["head.transform.bias"], tensor)
        x = norm(F.gelu(x), weights, "head.transform.norm")
    if "head.projection.weight" in weights:
        x = whole_linear(x, weights["head.projection.weight"], None, tensor)
    return x


def logits(env: Env, weights, x: torch.Tensor) -> torch.Tensor:
    """Scores of this rank's rows, for a head that scores every row. x: from `before_rows`."""
    name = "embedding.tokens.weight" if is_tied(env.model) else "head.logits.weight"
    return column_linear(x, weights[name], weights.get("head.logits.bias"), env.tensor, splits=False)


def is_partial(env: Env) -> bool:
    """Whether each tensor rank's loss covers only its own positions."""
    return env.tensor.shards_sequence and output_rows(env.model) is None


def _cross_entropy(env: Env, logits: torch.Tensor, rows: int, inputs: Inputs) -> torch.Tensor:
    logits = logits.to(env.numerics.loss)
    if env.tensor.size == 1:
        losses = F.cross_entropy(logits, inputs.labels, reduction="none")
    else:
        losses = ShardedCrossEntropy.apply(logits, inputs.labels, rows, env.tensor)
    return (losses * inputs.weights).sum()


class ShardedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of logits whose columns are sharded: all-reduces of the maximum, the target's logit and the sum of
    exponentials (Megatron-LM's vocab_parallel_cross_entropy). rows: of the whole table; padding takes no part."""

    @staticmethod
    def forward(ctx, logits, labels, rows: int, tensor: Tensor):
        group, columns = tensor.group, logits.shape[1]
        first = group.index * columns
        if (own := max(0, min(columns, rows - first))) < columns:
            logits = logits.clone()
            logits[:, own:] = -torch.inf
        largest = group.all_reduce(logits.max(1).values, LOSS_BYTES, largest=True)
        shifted = logits - largest[:, None]
        local = labels - first
        elsewhere = (local < 0) | (local >= columns)
        local = local.masked_fill(elsewhere, 0)
        target = shifted.gather(1, local[:, None])[:, 0].masked_fill(elsewhere, 0.0)
        target = group.all_reduce(target, LOSS_BYTES)
        shifted = shifted.exp_()
        total = group.all_reduce(shifted.sum(1), LOSS_BYTES)
        ctx.save_for_backward(shifted.div_(total[:, None]), local, elsewhere)
        return total.log() - target

    @staticmethod
    def backward(ctx, grad):
        probabilities, local, elsewhere = ctx.saved_tensors
        rows = torch.arange(len(local), device=local.device)
        result = probabilities.clone()
        result[rows, local] -= (~elsewhere).to(result.dtype)
        return result * grad[:, None], None, None, None

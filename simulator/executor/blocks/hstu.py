"""HSTU's layer (arXiv 2402.17152): pointwise attention silu(QK^T / sqrt(d)) V / n, gated by U; no softmax, no MLP.

The scale is that of NVIDIA/recsys-examples; the relative attention bias has no parameter in the model and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import sqrt

import torch
import torch.nn.functional as F

from simulator.executor.blocks.adapter import column_product, row_product
from simulator.executor.blocks.attention import _later
from simulator.executor.blocks.env import Env
from simulator.executor.blocks.samples import by_sample, pieces_of, seen_keys
from simulator.executor.blocks.transformer import EPSILON, norm
from simulator.executor.context_parallel import over_context
from simulator.executor.tensor_parallel import Tensor

STATISTIC_BYTES = 4


def forward(env: Env, unit, weights, x, inputs) -> torch.Tensor:
    """x + proj(norm(attention(Q, K, V)) * U), with U, V, Q, K = silu(uvqk(norm(x)))."""
    trunk, name = env.model.trunk, unit.name
    normed = env.cheap.again(lambda x: norm(x, weights, f"{name}.norm", env.fused), x)
    uvqk = column_product(env, unit, weights, normed, "uvqk")
    uvqk = env.cheap.again(env.fused(F.silu), uvqk)
    gate, *rest = uvqk.chunk(4, dim=1)
    value, query, key = (
        part.view(env.seq, env.batch, -1, trunk.head_dim).permute(1, 2, 0, 3) for part in rest
    )  # fmt: skip
    attend = partial(
        hstu_attention, causal=trunk.causal, length=trunk.seq, seen=seen_keys(env, x.device)
    )  # fmt: skip
    out = over_context(
        env.context, PointwiseBlock(trunk.seq), by_sample(env, attend), query, key, value, pieces_of(env)
    )  # fmt: skip
    out = out.permute(2, 0, 1, 3).reshape(env.seq * env.batch, -1)
    out = head_norm(env, out, weights[f"{name}.output_norm.weight"], weights[f"{name}.output_norm.bias"])
    gated = env.cheap.again(torch.mul, out, gate)
    return x + row_product(env, unit, weights, gated, "proj")


def hstu_attention(query, key, value, causal: bool, length: int, seen: torch.Tensor | None = None) -> torch.Tensor:
    """silu(Q K^T / sqrt(d)) V / length on [batch, heads, positions, d]. length: the longest sample's."""
    scores = F.silu(query @ key.transpose(-1, -2) / sqrt(query.shape[-1]))
    if causal:
        scores = scores.masked_fill(_later(query.shape[2], scores.device), 0.0)
    if seen is not None:
        scores = scores.masked_fill(~seen, 0.0)
    return (scores / length) @ value


@dataclass(frozen=True)
class PointwiseBlock:
    """A step of a ring without softmax; backward runs it again. length: positions of the longest sample."""

    length: int

    def forward(self, query, key, value, causal: bool) -> tuple[torch.Tensor, None]:
        return hstu_attention(query, key, value, causal, self.length), None

    def backward(self, grad, query, key, value, out, sums, causal: bool) -> tuple[torch.Tensor, ...]:
        with torch.enable_grad():
            inputs = [part.detach().requires_grad_() for part in (query, key, value)]
            return torch.autograd.grad(hstu_attention(*inputs, causal, self.length), inputs, grad)


def head_norm(env: Env, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """LayerNorm over all heads, of which this rank holds some."""
    if env.tensor.size == 1:
        return F.layer_norm(x, x.shape[-1:], weight.to(x.dtype), bias.to(x.dtype), EPSILON)
    return ShardedNorm.apply(x, weight, bias, env.tensor, env.numerics.loss)


class ShardedNorm(torch.autograd.Function):
    """LayerNorm of rows whose columns are sharded: an all-reduce of two sums a row, forward and backward."""

    @staticmethod
    def forward(ctx, x, weight, bias, tensor: Tensor, wide: torch.dtype):
        width = x.shape[1] * tensor.size
        full = x.to(wide)
        mean, square = _reduced(tensor, full.sum(1), (full * full).sum(1), width)
        scale = torch.rsqrt(square - mean * mean + EPSILON)
        normed = (full - mean[:, None]) * scale[:, None]
        ctx.save_for_backward(normed, scale, weight)
        ctx.tensor, ctx.width, ctx.dtype = tensor, width, x.dtype
        return (normed * weight.to(wide) + bias.to(wide)).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        normed, scale, weight = ctx.saved_tensors
        full = grad.to(normed.dtype)
        inner = full * weight.to(normed.dtype)
        first, second = _reduced(ctx.tensor, inner.sum(1), (inner * normed).sum(1), ctx.width)
        x_grad = scale[:, None] * (inner - first[:, None] - normed * second[:, None])
        if not ctx.needs_input_grad[1]:
            return x_grad.to(ctx.dtype), None, None, None, None
        weight_grad, bias_grad = (full * normed).sum(0), full.sum(0)
        return x_grad.to(ctx.dtype), weight_grad.to(weight.dtype), bias_grad.to(weight.dtype), None, None


def _reduced(tensor: Tensor, one: torch.Tensor, other: torch.Tensor, width: int) -> torch.Tensor:
    return tensor.group.all_reduce(torch.stack([one, other]), STATISTIC_BYTES) / width

"""The attention core on [batch, heads, seq, head_dim], and rotary positions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import sqrt

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from simulator.executor.blocks.env import Env
from simulator.executor.blocks.samples import by_sample, pieces_of, seen_keys
from simulator.executor.context_parallel import Spans, over_context

ROTARY_BASE = 10_000.0
"""RoFormer's and LLaMA's (arXiv 2104.09864, 2302.13971); the base changes no cost."""


def core(env: Env, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) V at this rank's positions; key and value heads serve groups of query heads.

    In a context group each rank has a slice of the positions (`context_parallel.py`).
    """
    whole = by_sample(env, partial(_whole, env))
    return over_context(env.context, SoftmaxBlock(), whole, query, key, value, pieces_of(env))


def _whole(env: Env, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Of whole samples.

    flash: torch's fused kernel, which keeps nothing of size s^2. unfused: the 2021 stack's separate kernels, run again
    in backward under selective recomputation.
    """
    causal, seen = env.model.trunk.causal, seen_keys(env, query.device)
    if env.attention == "flash":
        grouped = key.shape[1] != query.shape[1]
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, is_causal=causal, enable_gqa=grouped
        )  # fmt: skip
    if env.recompute_core:
        return checkpoint(_unfused, query, key, value, causal, seen, use_reentrant=False)
    return _unfused(query, key, value, causal, seen)


def _unfused(query, key, value, causal: bool, seen: torch.Tensor | None) -> torch.Tensor:
    scores = _scores(query, _repeated(key, query), causal)
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.softmax(scores, dim=-1) @ _repeated(value, query)


def _scores(query, key, causal: bool) -> torch.Tensor:
    scores = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
    return scores.masked_fill(_later(scores.shape[-1], scores.device), -torch.inf) if causal else scores


def _repeated(part: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Heads of keys or values, once for each query head that they serve."""
    repeat = query.shape[1] // part.shape[1]
    return part.repeat_interleave(repeat, dim=1) if repeat > 1 else part


class SoftmaxBlock:
    """A step of a softmax ring: torch's fused kernel on a CPU, plain products elsewhere."""

    def forward(self, query, key, value, causal: bool) -> tuple[torch.Tensor, torch.Tensor]:
        if query.device.type == "cpu":
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal)
        scores = _scores(query, _repeated(key, query), causal).float()
        sums = torch.logsumexp(scores, dim=-1)
        return torch.exp(scores - sums[..., None]).to(value.dtype) @ _repeated(value, query), sums

    def backward(self, grad, query, key, value, out, sums, causal: bool) -> tuple[torch.Tensor, ...]:
        if query.device.type == "cpu":
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                grad, query, key, value, out, sums, 0.0, causal
            )
        keys, values, groups = _repeated(key, query), _repeated(value, query), (-1, query.shape[1] // key.shape[1])
        shares = torch.exp(_scores(query, keys, causal).float() - sums[..., None])
        inner = (grad.float() * out.float()).sum(-1, keepdim=True)
        scores = (shares * ((grad @ values.transpose(-1, -2)).float() - inner)).to(query.dtype) / sqrt(query.shape[-1])
        key_grad, value_grad = scores.transpose(-1, -2) @ query, shares.to(query.dtype).transpose(-1, -2) @ grad
        return scores @ keys, key_grad.unflatten(1, groups).sum(2), value_grad.unflatten(1, groups).sum(2)


def rotate(x: torch.Tensor, spans: Spans, fused: Callable = lambda function: function) -> torch.Tensor:
    """Turns the halves of each head by angles that grow with the position. spans: where x's positions are. fused: what
    makes a function the one that runs (`Env.fused`)."""
    return fused(_turned)(x, *_angles(spans, x.shape[3], x.dtype, x.device))


def _turned(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


@lru_cache(maxsize=16)
def _angles(spans: Spans, width: int, dtype: torch.dtype, device: torch.device):
    rate = ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    places = [torch.arange(first, first + count, dtype=torch.float64, device=device) for first, count in spans]
    angle = torch.cat(places)[:, None] * rate
    return angle.cos().to(dtype), angle.sin().to(dtype)


@lru_cache(maxsize=16)
def _later(seq: int, device: torch.device) -> torch.Tensor:
    return torch.ones(seq, seq, dtype=torch.bool, device=device).triu(1)

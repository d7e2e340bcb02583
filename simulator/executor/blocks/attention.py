"""The attention core on [batch, heads, seq, head_dim], and rotary positions."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from simulator.executor.blocks.env import Env

ROTARY_BASE = 10_000.0
"""RoFormer's and LLaMA's (arXiv 2104.09864, 2302.13971); the base changes no cost."""


def core(env: Env, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) V; key and value heads serve groups of query heads.

    flash: torch's fused kernel, which keeps nothing of size s^2. unfused: the 2021 stack's separate kernels, run again
    in backward under selective recomputation.
    """
    causal = env.model.trunk.causal
    if env.attention == "flash":
        grouped = key.shape[1] != query.shape[1]
        return F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=grouped)
    if env.recompute_core:
        return checkpoint(_unfused, query, key, value, causal, use_reentrant=False)
    return _unfused(query, key, value, causal)


def _unfused(query, key, value, causal: bool) -> torch.Tensor:
    repeat = query.shape[1] // key.shape[1]
    if repeat > 1:
        key, value = (part.repeat_interleave(repeat, dim=1) for part in (key, value))
    scores = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
    if causal:
        scores = scores.masked_fill(_later(scores.shape[-1], scores.device), -torch.inf)
    return torch.softmax(scores, dim=-1) @ value


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Turns the halves of each head by angles that grow with the position."""
    cosine, sine = _angles(x.shape[2], x.shape[3], x.dtype, x.device)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


@lru_cache(maxsize=16)
def _angles(seq: int, width: int, dtype: torch.dtype, device: torch.device):
    rate = ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    angle = torch.arange(seq, dtype=torch.float64, device=device)[:, None] * rate
    return angle.cos().to(dtype), angle.sin().to(dtype)


@lru_cache(maxsize=16)
def _later(seq: int, device: torch.device) -> torch.Tensor:
    return torch.ones(seq, seq, dtype=torch.bool, device=device).triu(1)

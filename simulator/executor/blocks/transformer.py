"""Attention and mlp units of gpt, llama, bert and sasrec, by the `Style` that prices them.

gpt, llama and sasrec norm in front of the unit, bert behind its residual. SASRec's keys and values are made of the
normed input too, by one GEMM, as it is priced (`model/blocks/sasrec.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from simulator.executor.blocks.adapter import column_product, row_product
from simulator.executor.blocks.attention import core, rotate
from simulator.executor.blocks.env import Env
from simulator.model.blocks import STYLES

EPSILON = 1e-5


def norm(x: torch.Tensor, weights, prefix: str, fused: Callable = lambda function: function) -> torch.Tensor:
    """LayerNorm, or RMSNorm where there is no bias. fused: what makes a function the one that runs (`Env.fused`)."""
    return fused(_normed)(x, weights[f"{prefix}.weight"], weights.get(f"{prefix}.bias"))


def _normed(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    weight = weight.to(x.dtype)
    if bias is None:
        return F.rms_norm(x, x.shape[-1:], weight, EPSILON)
    return F.layer_norm(x, x.shape[-1:], weight, bias.to(x.dtype), EPSILON)


def _gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return F.silu(gate) * up


def attention(env: Env, unit, weights, x, inputs) -> torch.Tensor:
    """x + proj(core(qkv(norm(x))))."""
    return _residual(env, unit, weights, x, _attention_branch)


def mlp(env: Env, unit, weights, x, inputs) -> torch.Tensor:
    """x + fc2(activation(fc1(norm(x))))."""
    return _residual(env, unit, weights, x, _mlp_branch)


def _residual(env: Env, unit, weights, x, branch) -> torch.Tensor:
    name, behind = f"{unit.name}.norm", env.model.trunk.block == "bert"
    if behind:
        return norm(x + branch(env, unit, weights, x), weights, name, env.fused)
    return x + branch(env, unit, weights, env.cheap.again(lambda x: norm(x, weights, name, env.fused), x))


def _attention_branch(env: Env, unit, weights, x) -> torch.Tensor:
    trunk, share = env.model.trunk, env.tensor.size
    style = STYLES[trunk.block]
    qkv = column_product(env, unit, weights, x, "qkv")
    widths = [trunk.query_width // share] + [trunk.kv_width // share] * 2
    # [s b, heads d] -> [b, heads, s, d]
    query, key, value = (
        part.view(env.seq, env.batch, -1, trunk.head_dim).permute(1, 2, 0, 3) for part in qkv.split(widths, dim=1)
    )
    if style.rotary:
        turned = partial(rotate, spans=env.spans, fused=env.fused)
        if env.context.size == 1:
            query, key = env.cheap.again(turned, query), env.cheap.again(turned, key)
        else:  # they go to other ranks: kept as they are sent
            query, key = turned(query), turned(key)
    out = core(env, query, key, value)
    out = out.permute(2, 0, 1, 3).reshape(env.seq * env.batch, -1)
    return _biased(row_product(env, unit, weights, out, "proj"), weights, f"{unit.name}.proj")


def _mlp_branch(env: Env, unit, weights, x) -> torch.Tensor:
    trunk = env.model.trunk
    inner = column_product(env, unit, weights, x, "fc1")
    if STYLES[trunk.block].gated:
        gate, up = inner.chunk(2, dim=1)
        if env.compiles:
            inner = env.cheap.again(env.fused(_gated), gate, up)
        else:
            inner = env.cheap.again(lambda gate, up: env.cheap.again(F.silu, gate) * up, gate, up)
    else:
        inner = F.relu(inner) if trunk.block == "sasrec" else env.cheap.again(env.fused(F.gelu), inner)
    return _biased(row_product(env, unit, weights, inner, "fc2"), weights, f"{unit.name}.fc2")


def _biased(x: torch.Tensor, weights, prefix: str) -> torch.Tensor:
    bias = weights.get(f"{prefix}.bias")
    return x if bias is None else x + bias.to(x.dtype)

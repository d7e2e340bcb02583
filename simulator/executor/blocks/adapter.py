"""Products with an adapter beside them, as they are priced (`model/blocks/adapter.py`): PEFT's LoraParallelLinear."""

from __future__ import annotations

from dataclasses import replace

import torch

from simulator.executor.blocks.env import Env
from simulator.executor.tensor_parallel import column_linear, row_linear, whole_linear
from simulator.model import blocks
from simulator.model.blocks.adapter import ROW_TARGETS, name

SCALE = 2.0
"""alpha / rank as TALLRec has it (16 / 8); it changes no cost."""


def column_product(env: Env, unit, weights, x: torch.Tensor, base: str) -> torch.Tensor:
    """The unit's column-parallel product; its bias included. base: the matrix's name in the unit."""
    model, tensor = env.model, env.tensor
    out = column_linear(x, weights[f"{unit.name}.{base}.weight"], weights.get(f"{unit.name}.{base}.bias"), tensor)
    adapted, first = blocks.training(model, unit).column, 0
    for part in blocks.STYLES[model.trunk.block].parts(model.trunk, unit.kind) if adapted else ():
        if part in adapted:
            inner = whole_linear(x, weights[name(unit, part[0], "A")], None, tensor)
            added = column_linear(inner, weights[name(unit, part[0], "B")], None, tensor, splits=False)
            out = Joined.apply(out, added, first)
        first += part[1] // tensor.size
    return out


def row_product(env: Env, unit, weights, x: torch.Tensor, base: str) -> torch.Tensor:
    """The unit's row-parallel product, without its bias. base: the matrix's name in the unit."""
    out = row_linear(x, weights[f"{unit.name}.{base}.weight"], env.tensor)
    if not blocks.training(env.model, unit).row:
        return out
    target = ROW_TARGETS[unit.kind]
    inner = row_linear(x, weights[name(unit, target, "A")], replace(env.tensor, overlaps=False))
    return Joined.apply(out, whole_linear(inner, weights[name(unit, target, "B")], None, env.tensor), 0)


class Joined(torch.autograd.Function):
    """An adapter's output, scaled, is added to the columns of a product from `first` on, in place."""

    @staticmethod
    def forward(ctx, product, added, first: int):
        ctx.columns = slice(first, first + added.shape[1])
        product[:, ctx.columns].add_(added * SCALE)
        ctx.mark_dirty(product)
        return product

    @staticmethod
    def backward(ctx, grad):
        return grad if ctx.needs_input_grad[0] else None, grad[:, ctx.columns] * SCALE, None

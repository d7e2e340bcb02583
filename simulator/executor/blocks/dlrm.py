"""A DLRM's own units: the bottom MLP, and the interaction of its vector with those of the tables.

Eager kernels, those that `model/blocks` prices where the software fuses nothing (`Cut.fused_mlp`).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F

from simulator.executor.blocks.env import Env, Inputs
from simulator.executor.tensor_parallel import whole_linear

BOTTOM = "bottom mlp"
"""What a bottom MLP's vectors are called among those of the tables, where it is on one rank (`lone_bottom.py`)."""


def bottom(env: Env, unit, weights, x, inputs: Inputs) -> torch.Tensor:
    """The rows' numbers through the bottom MLP, a ReLU behind every layer."""
    x = inputs.numbers.to(env.numerics.activations)
    for place in range(len(env.model.dense.bottom)):
        name = f"bottom.mlp{place}"
        x = F.relu(whole_linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"], env.tensor))
    return x


def interaction(env: Env, unit, weights, x, inputs: Inputs) -> torch.Tensor:
    """What the top MLP reads. x: the bottom MLP's vector, None without one here: it comes with the tables' from another
    rank, or there is none."""
    dense, dtype = env.model.dense, env.numerics.activations
    if x is None and dense.bottom:
        x = inputs.vectors[BOTTOM].to(dtype)
    vectors = [] if x is None else [x]
    vectors += [inputs.vectors[table.name].to(dtype) for table in env.model.tables]
    joined = torch.cat(vectors, dim=1)
    if dense.interaction == "dot":
        return _dot(joined.view(len(joined), len(vectors), -1), x)
    if dense.interaction == "dcn_v2":
        return _crossed(env, weights, joined)
    return joined


def _dot(vectors: torch.Tensor, x: torch.Tensor | None) -> torch.Tensor:
    """[rows, n, width] -> the products of all pairs, behind x."""
    products = torch.bmm(vectors, vectors.transpose(1, 2))
    pairs = products[:, *_below_diagonal(vectors.shape[1], vectors.device)]
    return pairs if x is None else torch.cat([x, pairs], dim=1)


def _crossed(env: Env, weights, x0: torch.Tensor) -> torch.Tensor:
    x = x0
    for layer in range(env.model.dense.cross_layers):
        name = f"interaction.cross{layer}"
        low = whole_linear(x, weights[f"{name}.v.weight"], None, env.tensor)
        x = x0 * whole_linear(low, weights[f"{name}.w.weight"], weights[f"{name}.w.bias"], env.tensor) + x
    return x


@lru_cache(maxsize=16)
def _below_diagonal(count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = torch.tril_indices(count, count, -1, device=device)
    return rows, columns

"""The first unit: tokens, looked-up item vectors and positions become the trunk's input."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from simulator.executor.blocks.env import Env, Inputs
from simulator.executor.blocks.samples import sample_of_rows
from simulator.executor.blocks.transformer import norm
from simulator.executor.tensor_parallel import OwnRows, ReduceRows, whole_linear
from simulator.model.blocks.embedding import LEARNED_POSITIONS, token_table
from simulator.model.lookups import is_positional


def forward(env: Env, unit, weights, x, inputs: Inputs) -> torch.Tensor:
    """The sum of the token's vector and every table's, brought to the trunk's width, and the position's."""
    model, dtype = env.model, env.numerics.activations
    total = None
    if token_table(model):
        total = _projected(env, weights, _token_name(model), _tokens(env, weights, inputs))
    for name, vectors in inputs.vectors.items():
        vector = _projected(env, weights, name, vectors.to(dtype))
        table = model.table(name)
        if table.pooling != "none":  # a sample's vector, at each of its positions
            vector = _at_positions(env, vector)
        elif not is_positional(table):
            vector = _at_their_rows(env, vector, inputs.rows[name])
        total = vector if total is None else total + vector
    if model.trunk.block in LEARNED_POSITIONS:
        positions = _positions(env, weights["embedding.positions.weight"].to(dtype))
        # row p * batch + b is this rank's position p
        total = total + env.tensor.own_rows(positions.repeat_interleave(env.batch, dim=0))
    if model.trunk.block == "bert":  # one segment: every position is of type 0
        total = norm(total + weights["embedding.types.weight"][0].to(dtype), weights, "embedding.norm")
    return total


def _positions(env: Env, weight: torch.Tensor) -> torch.Tensor:
    """[positions of this rank, width]; beyond the last one, where samples are filled up, zeros."""
    found = [(weight[at : at + count], count) for at, count in env.spans]
    return torch.cat([F.pad(own, (0, 0, 0, count - len(own))) if len(own) < count else own for own, count in found])


def _at_positions(env: Env, vectors: torch.Tensor) -> torch.Tensor:
    """[samples, width] -> [own rows, width]."""
    if env.pack:
        return vectors[env.tensor.own_rows(sample_of_rows(env, vectors.device))]
    shares = env.tensor.size if env.tensor.shards_sequence else 1
    return vectors.repeat(env.seq // shares, 1)


def _at_their_rows(env: Env, vectors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """[ids, width] -> [own rows, width]: those of a sample at its first positions, as NVIDIA/recsys-examples puts
    contextual features in front of a history; what stands at one position adds up."""
    count = env.batch * env.seq // (env.tensor.size if env.tensor.shards_sequence else 1)
    return vectors.new_zeros((count, vectors.shape[1])).index_put((rows,), vectors, accumulate=True)


def _tokens(env: Env, weights, inputs: Inputs) -> torch.Tensor:
    """Vectors of this rank's positions from a table whose rows are sharded over the tensor group."""
    tensor = env.tensor
    weight = weights["embedding.tokens.weight"].to(env.numerics.activations)
    if tensor.size == 1:
        return F.embedding(inputs.ids, weight)
    local = inputs.ids - tensor.group.index * weight.shape[0]
    elsewhere = (local < 0) | (local >= weight.shape[0])
    found = F.embedding(local.masked_fill(elsewhere, 0), weight).masked_fill(elsewhere[:, None], 0.0)
    if not tensor.shards_sequence:
        return ReduceRows.apply(found, tensor, False)
    if env.model.trunk.block in LEARNED_POSITIONS:  # Megatron-LM reduces whole sequences where positions are added
        return OwnRows.apply(ReduceRows.apply(found, tensor, False), tensor)
    return ReduceRows.apply(found, tensor, True)


def _projected(env: Env, weights, name: str | None, vectors: torch.Tensor) -> torch.Tensor:
    weight = weights.get(f"embedding.{name}.weight") if name else None
    return vectors if weight is None else whole_linear(vectors, weight, weights[f"embedding.{name}.bias"], env.tensor)


def _token_name(model) -> str | None:
    """The item table's name where it is trained as the token embedding."""
    return None if model.trunk.vocab else model.head.table

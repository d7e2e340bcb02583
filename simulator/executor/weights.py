"""Weights: where a parameter starts, and which part of it a tensor rank holds.

The start is a function of (seed, name, whole shape), so that every plan starts from the same model. A column-parallel
matrix that is several matrices in one (Q, K and V; gate and up; U, V, Q and K) is cut part by part.
"""

from __future__ import annotations

import hashlib

import torch

from simulator.model import blocks
from simulator.model.blocks import Parameter, Unit
from simulator.model.blocks.transformer import Style
from simulator.model.spec import ModelSpec

INITIAL_STD = 0.02
"""Normal, as GPT-2 and Megatron-LM start (`init_method_std`)."""


def initial(seed: int, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The whole parameter in float64: norms 1, biases 0, everything else normal."""
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.float64)
    if "norm." in name:
        return torch.ones(shape, dtype=torch.float64)
    key = hashlib.sha256(f"{seed} {name} {shape}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return INITIAL_STD * torch.randn(shape, generator=generator, dtype=torch.float32).double()


def parts(model: ModelSpec, unit: Unit, parameter: Parameter) -> tuple[int, ...]:
    """Widths of the matrices that stand one below another in a column-parallel parameter."""
    trunk = model.trunk
    if ".qkv." in parameter.name:
        return trunk.query_width, trunk.kv_width, trunk.kv_width
    if ".uvqk." in parameter.name:
        return (trunk.query_width,) * 4
    style = blocks.STYLES.get(trunk.block)
    if ".fc1." in parameter.name and isinstance(style, Style) and style.gated:
        return trunk.ffn, trunk.ffn
    return (parameter.shape[0],)


def shard(whole: torch.Tensor, parameter: Parameter, widths: tuple[int, ...], tensor: int, index: int) -> torch.Tensor:
    """The part of tensor rank `index`; rows of a vocabulary that are not there are zero."""
    if tensor == 1 or parameter.axis == "none":
        return whole
    if parameter.axis == "row":
        return whole.chunk(tensor, dim=1)[index]
    if parameter.axis == "column":
        return torch.cat([part.chunk(tensor)[index] for part in whole.split(widths)])
    rows = -(-whole.shape[0] // tensor)
    own = whole[index * rows : (index + 1) * rows]
    return torch.cat([own, own.new_zeros((rows - own.shape[0], *own.shape[1:]))])


def unshard(shards: list[torch.Tensor], parameter: Parameter, widths: tuple[int, ...]) -> torch.Tensor:
    """The whole parameter from the parts of all tensor ranks, in order: the inverse of `shard`."""
    tensor = len(shards)
    if tensor == 1 or parameter.axis == "none":
        return shards[0]
    if parameter.axis == "row":
        return torch.cat(shards, dim=1)
    if parameter.axis == "column":
        cut = [own.split([width // tensor for width in widths]) for own in shards]
        return torch.cat([torch.cat([own[place] for own in cut]) for place in range(len(widths))])
    return torch.cat(shards)[: parameter.shape[0]]

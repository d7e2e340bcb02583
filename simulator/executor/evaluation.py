"""What a trained model scores: the executor's own modules, whole, on one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from simulator.errors import NotSupportedYet
from simulator.executor.blocks import Env, Inputs, forward, head
from simulator.executor.groups import Group
from simulator.executor.job import RankRecord
from simulator.executor.numerics import Numerics
from simulator.executor.tensor_parallel import Tensor
from simulator.executor.weights import initial, parts, unshard
from simulator.model import blocks
from simulator.model.blocks.head import output_rows

AT_ONCE = 64
"""Sequences in a forward pass."""

Weights = Mapping[str, np.ndarray]


def initial_weights(scenario) -> dict[str, np.ndarray]:
    """The whole model before its first step, by parameter."""
    return {
        parameter.name: initial(scenario.seed, parameter.name, parameter.shape).numpy()
        for unit in blocks.units(scenario.model)
        for parameter in blocks.parameters(scenario.model, unit)
    }


def whole_weights(scenario, records: Sequence[RankRecord]) -> dict[str, np.ndarray]:
    """The whole model out of the shards that ranks hand back (`execute(..., keep_weights=True)`)."""
    layout, model, found = scenario.layout, scenario.model, {}
    for unit in blocks.units(model):
        for parameter in blocks.parameters(model, unit):
            stage = next(
                rank for rank in range(layout.pipeline)
                if parameter.name in records[layout.rank(rank, 0, 0, 0)].weights
            )  # fmt: skip
            ranks = [layout.rank(stage, 0, 0, tensor) for tensor in range(layout.tensor)]
            shards = [torch.from_numpy(records[rank].weights[parameter.name]) for rank in ranks]
            found[parameter.name] = unshard(shards, parameter, parts(model, unit, parameter)).numpy()
    return found


def last_scores(scenario, weights: Weights, ids: np.ndarray, last: np.ndarray) -> np.ndarray:
    """float32[sequences, rows]: the scores of every row behind position `last` of each sequence of ids.

    ids: int64[sequences, seq] of the token table. Raises NotSupportedYet for a head that does not score every row.
    """
    model = scenario.model
    if output_rows(model) is None or blocks.sparse_tables(model):
        raise NotSupportedYet(
            "only a model that scores every row of its token table can be evaluated; use head.kind full_softmax",
            key="model.head.kind",
        )
    numerics = Numerics.of(scenario, False)
    tensor = Tensor(Group("tensor", (0,), 0, None), False, numerics.activation_bytes)
    attention = scenario.software.attention or "flash"
    env = Env(model, AT_ONCE, ids.shape[1], tensor, numerics, attention)
    held = {name: torch.from_numpy(array).to(numerics.parameters) for name, array in weights.items()}
    found = []
    with torch.no_grad():
        for first in range(0, len(ids), AT_ONCE):
            part = torch.from_numpy(ids[first : first + AT_ONCE])
            own = replace(env, batch=len(part))
            flat = part.t().reshape(-1)
            inputs = Inputs(flat, flat, torch.zeros(len(flat)))
            x = None
            for unit in blocks.units(model)[:-1]:
                x = forward(own, unit, held, x, inputs)
            places = torch.from_numpy(last[first : first + AT_ONCE]) * len(part) + torch.arange(len(part))
            found.append(head.logits(own, held, head.before_rows(own, held, x[places])).float())
    return torch.cat(found).numpy()

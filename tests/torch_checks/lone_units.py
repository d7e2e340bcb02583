"""One unit after another of a model on one rank, by the executor's modules, without a program."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch

from simulator.executor.blocks import Env, Inputs, forward
from simulator.executor.forgetting import Forgetting
from simulator.executor.groups import Group
from simulator.executor.numerics import Numerics
from simulator.executor.tensor_parallel import Tensor
from simulator.executor.weights import initial
from simulator.model import blocks
from simulator.model.blocks import Unit
from simulator.model.lookups import is_positional
from simulator.model.spec import ModelSpec


@dataclass
class Alone:
    """A model's weights and one microbatch of `batch` samples."""

    env: Env
    weights: dict[str, torch.Tensor]
    inputs: Inputs

    @classmethod
    def of(cls, model: ModelSpec, dtype: str, batch: int, attention: str, mode: str = "none") -> Alone:
        stated = SimpleNamespace(parameters=dtype, gradients="fp32", reduce="fp32")
        numerics = Numerics.of(SimpleNamespace(dtype=dtype, precision=stated))
        tensor = Tensor(Group("tensor", (0,), 0, None), False, numerics.activation_bytes)
        weights, positions, head = {}, batch * model.trunk.seq, model.head
        for unit in blocks.units(model):
            for parameter in blocks.parameters(model, unit):
                weight = initial(0, parameter.name, parameter.shape).to(numerics.parameters)
                if not parameter.frozen:
                    weight.requires_grad_().main_grad = torch.zeros(parameter.shape, dtype=numerics.gradients)
                weights[parameter.name] = weight
        ids = torch.zeros(positions, dtype=torch.int64)
        inputs = Inputs(ids, ids, torch.ones(positions))
        for table in blocks.sparse_tables(model):
            rows = positions if is_positional(table) else batch * (table.lookups_per_sample or 1)
            rows = batch if table.pooling != "none" else rows  # one vector for each sample
            inputs.rows[table.name] = torch.arange(rows)
            inputs.vectors[table.name] = torch.zeros(rows, table.dim).requires_grad_()
        if head.kind in ("sampled_softmax", "binary") and head.table is not None:
            width = model.table(head.table).dim
            inputs.scored = torch.zeros(positions, 1 + head.negatives, width).requires_grad_()
        again = mode in ("selective", "selective_op"), Forgetting(mode == "selective_op")
        return cls(Env(model, batch, model.trunk.seq, tensor, numerics, attention, *again), weights, inputs)

    def input_of(self, unit: Unit) -> torch.Tensor | None:
        """A fresh input, a leaf."""
        if unit.kind == "embedding":
            return None
        shape = (self.env.batch * self.env.seq, self.env.model.trunk.hidden)
        passes = blocks.training(self.env.model, unit).passes
        return torch.zeros(shape, dtype=self.env.numerics.activations).requires_grad_(passes)

    def run(self, unit: Unit, x: torch.Tensor | None) -> torch.Tensor:
        return forward(self.env, unit, self.weights, x, self.inputs)

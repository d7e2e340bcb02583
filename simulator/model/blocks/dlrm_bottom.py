"""The bottom MLP of a DLRM: a row's numbers become a vector of the tables' width (arXiv 1906.00091).

It needs no table, so that it runs while vectors travel, and its backward pass while their gradients do.
"""

from __future__ import annotations

from simulator.model.blocks import mlp
from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.cut import Cut, Parameter
from simulator.model.spec import ModelSpec
from simulator.model.work import Step


def parameters(model: ModelSpec) -> tuple[Parameter, ...]:
    return mlp.parameters("bottom.mlp", widths(model))


def forward(model: ModelSpec, cut: Cut) -> tuple[Step, ...]:
    return mlp.forward(widths(model), cut.tokens, cut, fused=cut.fused_mlp)


def backward(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
    return mlp.backward(widths(model), cut.tokens, cut, fused=cut.fused_mlp, to_input=False)


def kept_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    """The row's numbers and every layer's output."""
    return cut.bytes * cut.tokens * model.dense.features + mlp.kept_bytes(widths(model), cut.tokens, cut)


def weight_bytes(model: ModelSpec, cut: Cut, trained: Training = WHOLE) -> int:
    return mlp.weight_bytes(widths(model), cut.tokens, cut)


def working_bytes(model: ModelSpec, cut: Cut) -> int:
    return mlp.working_bytes(widths(model), cut.tokens, cut)


def widths(model: ModelSpec) -> mlp.Widths:
    """Of the input and of every layer."""
    return (model.dense.features, *model.dense.bottom)

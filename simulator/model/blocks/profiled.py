"""Layers that are known only by their measured times, for models that no other block describes.

A layer's forward and its backward are one kernel each, of just that long on one microbatch, wherever it runs. Its
parameters are one flat tensor. Its output, `activation_bytes`, is kept for its backward and is what a pipeline hands
on. FLOPs are not known, so none are counted.
"""

from __future__ import annotations

from simulator.model.blocks.adapter import WHOLE, Training
from simulator.model.blocks.cut import Cut, Parameter, Unit
from simulator.model.spec import ProfiledLayer, Trunk
from simulator.model.work import Kernel, Step
from simulator.units import seconds_to_ns

OP = "profiled"
"""The op whose shape is its time in ns (`costs/kernels.py`)."""


class Profiled:
    """The family's rules; stateless, with the methods of `transformer.Style`. Nothing of it is run again."""

    def parameters(self, trunk: Trunk, unit: Unit) -> tuple[Parameter, ...]:
        count = _layer(trunk, unit).parameters
        return (Parameter(f"layers.{unit.layer}.weights", (count,)),) if count else ()

    def forward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        return _kernel(_layer(trunk, unit).forward_s, cut)

    def backward(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> tuple[Step, ...]:
        return _kernel(_layer(trunk, unit).backward_s, cut)

    def kept_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, mode: str = "none", trained: Training = WHOLE) -> int:
        return _layer(trunk, unit).activation_bytes

    def weight_bytes(self, trunk: Trunk, unit: Unit, cut: Cut, trained: Training = WHOLE) -> int:
        """Its backward has no halves."""
        return 0


def units(trunk: Trunk) -> tuple[Unit, ...]:
    """No two layers are alike."""
    return tuple(Unit(f"{OP}{layer}", layer) for layer in range(trunk.num_layers))


def _layer(trunk: Trunk, unit: Unit) -> ProfiledLayer:
    return trunk.layers[unit.layer]


def _kernel(seconds: float, cut: Cut) -> tuple[Step, ...]:
    return (Kernel(OP, (seconds_to_ns(seconds),), cut.dtype),)


STYLE = Profiled()

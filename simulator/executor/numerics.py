"""Numerics: the torch dtypes of a run, and the bytes by which its messages are counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from simulator.model.memory_rules import has_master
from simulator.units import DTYPE_BYTES

TORCH_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LOSS_BYTES = 4
"""Losses and statistics are fp32 (`model/blocks/head.py`)."""


@dataclass(frozen=True)
class Numerics:
    """activations, parameters, gradients, reduce, master, loss: torch dtypes. master: of the optimizer's own copy.

    activation_bytes: of an element on the wire, as the program counts it. In double precision (the correctness tests)
    every tensor is float64, and messages are still counted in the scenario's bytes.
    """

    activations: torch.dtype
    parameters: torch.dtype
    gradients: torch.dtype
    reduce: torch.dtype
    master: torch.dtype
    loss: torch.dtype
    has_master: bool
    activation_bytes: int
    parameter_bytes: int
    gradient_bytes: int
    reduce_bytes: int

    @classmethod
    def of(cls, scenario, double: bool = False) -> Numerics:
        """The dtypes of a scenario."""
        precision = scenario.precision
        names = (scenario.dtype, precision.parameters, precision.gradients, precision.reduce)
        sizes = [DTYPE_BYTES[name] for name in names]
        if double:
            return cls(*[torch.float64] * 6, False, *sizes)
        dtypes = [TORCH_DTYPES[name] for name in names]
        return cls(*dtypes, torch.float32, torch.float32, has_master(precision.parameters), *sizes)

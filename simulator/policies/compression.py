"""Gradient compressors by the plan's words, and the two that only change the dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.errors import NotSupportedYet
from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, elements, memory_kernel
from simulator.policies.low_rank import PowerSgd
from simulator.policies.sparse import BalancedTopK, TopK
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class NoCompression(Compressor):
    """Gradients as they are."""


@dataclass(frozen=True, slots=True)
class Bf16(Compressor):
    """Cast to bf16 before the all-reduce and back after it; a 16-bit reduction already is that small."""

    name: ClassVar[str] = "bf16"

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count = elements(shapes)
        return (Phase("all_reduce", count * min(2, DTYPE_BYTES[reduce_dtype]), _cast(count, reduce_dtype)),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        return _cast(elements(shapes), reduce_dtype)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        import torch

        return gradient if gradient.element_size() == 2 else gradient.to(torch.bfloat16)


def _cast(count: int, dtype: str) -> tuple[Kernel, ...]:
    """Between the reduction's dtype and bf16, either way: reads one, writes the other."""
    return () if DTYPE_BYTES[dtype] == 2 else (memory_kernel("cast", count, DTYPE_BYTES[dtype] + 2),)


COMPRESSORS = {
    "none": lambda plan, sparse, ranks: NoCompression(),
    "bf16": lambda plan, sparse, ranks: Bf16(),
    "topk": lambda plan, sparse, ranks: (
        BalancedTopK(plan.density, ranks, plan.error_feedback)
        if sparse == "balanced"
        else TopK(plan.density, plan.error_feedback)
    ),
    "powersgd": lambda plan, sparse, ranks: PowerSgd(plan.rank, plan.error_feedback),
}


def make_compressor(plan, sparse: str = "allgather", ranks: int = 1) -> Compressor:
    """The compressor that a plan's `compression` names (method, density, rank, error_feedback).

    sparse: the plan's `aggregation.sparse`, of sparse compressors. ranks: how many reduce together.
    """
    if plan.method not in COMPRESSORS:
        raise NotSupportedYet(
            f"{plan.method} is not supported yet; use one of {', '.join(COMPRESSORS)}", key="plan.compression.method"
        )
    return COMPRESSORS[plan.method](plan, sparse, ranks)


def compressor_of(plan) -> Compressor:
    """The compressor of a whole resolved plan: its `compression`, `aggregation.sparse`, and data x context ranks."""
    return make_compressor(plan.compression, plan.aggregation.sparse, plan.data * plan.context)

"""Compressors that only change the dtype: 16 bits before the all-reduce, the reduction's own dtype behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, add_residual, elements, memory_kernel
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

CAST_BYTES = 2


@dataclass(frozen=True, slots=True)
class Cast(Compressor):
    """A cast to 16 bits; a reduction that already has 16 bits is left alone, since nothing would get smaller."""

    error_feedback: bool = False
    torch_dtype: ClassVar[str]

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        if size == CAST_BYTES:
            return (Phase("all_reduce", count * size),)
        encode = _cast(count, size)
        if self.error_feedback:  # residual = gradient - cast: reads both, writes
            residual = memory_kernel("elementwise", count, 2 * size + CAST_BYTES)
            encode = (add_residual(count, size), *encode, residual)
        return (Phase("all_reduce", count * CAST_BYTES, encode),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        size = DTYPE_BYTES[reduce_dtype]
        return () if size == CAST_BYTES else _cast(elements(shapes), size)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        import torch

        if gradient.element_size() == CAST_BYTES:
            return gradient
        if "residual" in state:
            gradient += state["residual"]
        payload = gradient.to(getattr(torch, self.torch_dtype))
        if self.error_feedback:
            state["residual"] = gradient - payload
        return payload


def _cast(count: int, size: int) -> tuple[Kernel, ...]:
    """Between the reduction's dtype and 16 bits, either way: reads one, writes the other."""
    return (memory_kernel("cast", count, size + CAST_BYTES),)


@dataclass(frozen=True, slots=True)
class Bf16(Cast):
    """bfloat16: the range of fp32, 8 bits of precision."""

    name: ClassVar[str] = "bf16"
    torch_dtype: ClassVar[str] = "bfloat16"


@dataclass(frozen=True, slots=True)
class Fp16(Cast):
    """float16: 11 bits of precision; sums beyond 65,504 overflow, which loss scaling is there to prevent."""

    name: ClassVar[str] = "fp16"
    torch_dtype: ClassVar[str] = "float16"

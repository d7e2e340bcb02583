"""Compressor: what one sends of a bucket of gradients, and what it costs to make and to undo it.

One small class each, used by whoever reads a program: the simulator prices the kernels, the executor runs the torch
code (`pack`, `unpack`). A compressor works on one bucket of gradients, given by the parameters' shapes on this rank.
Bytes are counted pass by pass over device memory; `topk`, `scatter_add`, `orthogonalize`, `quantize` and the others of
`costs/kernels.PASSES` name families whose profile says how often such a pass really crosses the bus (selection,
scattered addresses).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from simulator import kinds
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

Shapes = tuple[tuple[int, ...], ...]
State = dict[str, Any]
"""What a compressor remembers of one bucket: residuals, warm starts. The caller may put the rank's place among those
that reduce together under `rank`: what is random and should differ between ranks then does."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One collective of a compressed reduction. encode: kernels that make its payload, on the compute stream.

    wire_bytes: what one rank puts in: the whole buffer of an all_reduce, one rank's payload of an all_gather, what one
    rank sends to all (itself included) of an all_to_all. stream: `shard` or `replica` where only those of a node, or
    those at one place of every node, take part (`layout.Layout.group`).
    """

    op: str
    wire_bytes: int
    encode: tuple[Kernel, ...] = ()
    stream: str = "data"


class Compressor:
    """Base: sends everything as it is.

    name: the plan's word. collectives: op of each phase. all_reducible: payloads of several ranks can be summed on the
    way, so that the volume does not grow with their number. to_owners: a bucket is cut into equal parts, one for each
    rank, and each gets the sum of its own alone (`owners.py`).
    """

    name: ClassVar[str] = "none"
    to_owners: ClassVar[bool] = False
    collectives: ClassVar[tuple[str, ...]] = ("all_reduce",)
    error_feedback: bool = False

    @property
    def all_reducible(self) -> bool:
        return all(op == "all_reduce" for op in self.collectives)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        """The collectives of one bucket, each with the kernels before it."""
        return (Phase("all_reduce", elements(shapes) * DTYPE_BYTES[reduce_dtype]),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        """Kernels that turn the last phase's result, from `ranks` ranks, into the reduced gradient."""
        return ()

    def remembered(self, count: int) -> int:
        """Entries that are kept from step to step for a bucket of `count`, in the dtype of the reduction."""
        return count if self.error_feedback else 0

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """The payload of a phase, a flat tensor.

        gradient: the bucket's, flat, in the dtype of the reduction; may be changed. received: what the phase before
        brought. state: kept by the caller for this bucket, from step to step; empty at first.
        """
        return gradient

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        """Writes the sum of all ranks' gradients, as far as the last phase has brought it, into `gradient`: of the
        whole bucket, or `to_owners` of the own part."""
        gradient.copy_(received)


def elements(shapes: Shapes) -> int:
    """Entries of a bucket."""
    return sum(prod(shape) for shape in shapes)


def memory_kernel(op: str, count: int, passes: int, further_bytes: int = 0) -> Kernel:
    """A memory-bound kernel over `count` entries with `passes` bytes for each; compressors compute in fp32.

    further_bytes: moved once, whatever else: scales, packed bits.
    """
    return Kernel(op, (count,), "fp32", 0, count * passes + further_bytes, kinds.COMPRESSION)


def add_residual(count: int, size: int) -> Kernel:
    """gradient += residual: reads both, writes one."""
    return memory_kernel("elementwise", count, 3 * size)


def product(m: int, n: int, k: int, dtype: str) -> Kernel:
    """C[m,n] = A[m,k] B[k,n] in the reduction's dtype."""
    moved = DTYPE_BYTES[dtype] * (m * k + k * n + m * n)
    return Kernel("gemm", (m, n, k), dtype, 2 * m * n * k, moved, kinds.COMPRESSION)

"""Gradient compressors: what each sends, and what it costs to make and to undo it.

One small class each, used by whoever reads a program: the simulator prices the kernels, an executor would run them. A
compressor works on one bucket of gradients, given by the parameters' shapes on this rank. Bytes are counted pass by
pass over device memory; `topk`, `scatter_add` and `orthogonalize` name families whose profile says how often such a
pass really crosses the bus (selection, scattered addresses).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from simulator import kinds
from simulator.errors import NotSupportedYet
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES

Shapes = tuple[tuple[int, ...], ...]

INDEX_BYTES = 4
VALUE_BYTES = 4
"""A kept element travels as a 4-byte index and a 4-byte value."""

MIN_COMPRESSION_RATE = 2
"""PowerSGD leaves a matrix alone unless its factors are at most half as large (torch's powerSGD_hook)."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One collective of a compressed reduction. encode: kernels that make its payload, on the compute stream.

    wire_bytes: what one rank puts in: the whole buffer of an all_reduce, one rank's payload of an all_gather.
    """

    op: str
    wire_bytes: int
    encode: tuple[Kernel, ...] = ()


class Compressor:
    """Base: sends everything as it is.

    name: the plan's word. collectives: op of each phase. all_reducible: payloads of several ranks can be summed on the
    way, so that the volume does not grow with their number.
    """

    name: ClassVar[str] = "none"
    collectives: ClassVar[tuple[str, ...]] = ("all_reduce",)

    @property
    def all_reducible(self) -> bool:
        return all(op == "all_reduce" for op in self.collectives)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        """The collectives of one bucket, each with the kernels before it."""
        return (Phase("all_reduce", elements(shapes) * DTYPE_BYTES[reduce_dtype]),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        """Kernels that turn the last phase's result, from `ranks` ranks, into the reduced gradient."""
        return ()


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


@dataclass(frozen=True, slots=True)
class TopK(Compressor):
    """The k = max(1, round(density * n)) largest of a bucket's n entries, gathered from all ranks.

    Error feedback (arXiv 1704.05021): what was not sent is added to the next step's gradient. Volume on the wire: each
    rank receives 2k numbers from every other, 2k(P-1): linear in the ranks.
    """

    density: float
    error_feedback: bool = True
    name: ClassVar[str] = "topk"
    collectives: ClassVar[tuple[str, ...]] = ("all_gather",)

    def kept(self, count: int) -> int:
        """k of `count` entries."""
        return max(1, round(self.density * count))

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        kept = self.kept(count)
        pair = INDEX_BYTES + VALUE_BYTES
        encode = []
        if self.error_feedback:  # gradient += residual: reads both, writes one
            encode.append(_kernel("elementwise", count, 3 * size))
        encode += [
            _kernel("elementwise", count, 2 * size),  # magnitudes: reads, writes
            _kernel("topk", count, size),  # selection reads the magnitudes; how often is the profile's topk_passes
            # gather: reads an index and its entry, writes the pair to be sent
            _kernel("scatter_add", kept, INDEX_BYTES + size + pair),
        ]
        if self.error_feedback:
            # residual = gradient (reads, writes), less what is sent (reads the index, writes a zero)
            encode += [_kernel("copy", count, 2 * size), _kernel("scatter_add", kept, INDEX_BYTES + size)]
        return (Phase("all_gather", kept * pair, tuple(encode)),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        return (
            _kernel("elementwise", count, size),  # zeros the gradient: writes
            # every rank's pairs are added into place: reads the pair, reads and writes the entry
            _kernel("scatter_add", ranks * self.kept(count), INDEX_BYTES + VALUE_BYTES + 2 * size),
        )


@dataclass(frozen=True, slots=True)
class PowerSgd(Compressor):
    """M ~ P Q^T with `rank` columns (Vogels et al., arXiv 1905.13727), as torch's powerSGD_hook does it.

    Phase 1: P = M Q is all-reduced, with all tensors that are not compressed: biases, norms and small matrices. Phase
    2: P is orthogonalized, Q = M^T P is all-reduced. Q starts from the last step's (warm start).
    """

    rank: int
    error_feedback: bool = True
    name: ClassVar[str] = "powersgd"
    collectives: ClassVar[tuple[str, ...]] = ("all_reduce", "all_reduce")

    def factors(self, shapes: Shapes) -> list[tuple[int, int, int]]:
        """(rows, columns, rank) of each tensor that is compressed."""
        found = []
        for shape in shapes:
            if len(shape) < 2:
                continue
            rows, columns = shape[0], prod(shape[1:])
            rank = min(self.rank, rows, columns)
            if (rows + columns) * rank * MIN_COMPRESSION_RATE < rows * columns:
                found.append((rows, columns, rank))
        return found

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        size, factors = DTYPE_BYTES[reduce_dtype], self.factors(shapes)
        compressed = sum(rows * columns for rows, columns, _ in factors)
        left = elements(shapes) - compressed
        first, second = [], []
        if self.error_feedback and compressed:  # M += residual (reads both, writes), and a copy of it (reads, writes)
            first.append(_kernel("elementwise", compressed, 5 * size))
        for rows, columns, rank in factors:
            first.append(_product(rows, rank, columns, reduce_dtype))
            second.append(_kernel("orthogonalize", rows * rank, 2 * size))  # reads and writes P once each pass
            second.append(_product(columns, rank, rows, reduce_dtype))
        first_bytes = size * (left + sum(rows * rank for rows, _, rank in factors))
        if not factors:  # nothing worth compressing: the bucket goes as it is
            return (Phase("all_reduce", first_bytes),)
        second_bytes = size * sum(columns * rank for _, columns, rank in factors)
        return Phase("all_reduce", first_bytes, tuple(first)), Phase("all_reduce", second_bytes, tuple(second))

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        factors, size = self.factors(shapes), DTYPE_BYTES[reduce_dtype]
        kernels = [_product(rows, columns, rank, reduce_dtype) for rows, columns, rank in factors]
        if self.error_feedback and factors:  # residual = copy - P Q^T: reads both, writes
            kernels.append(_kernel("elementwise", sum(rows * columns for rows, columns, _ in factors), 3 * size))
        return tuple(kernels)


def elements(shapes: Shapes) -> int:
    """Entries of a bucket."""
    return sum(prod(shape) for shape in shapes)


def _kernel(op: str, count: int, passes: int) -> Kernel:
    """A memory-bound kernel over `count` entries with `passes` bytes for each; compressors compute in fp32."""
    return Kernel(op, (count,), "fp32", 0, count * passes, kinds.COMPRESSION)


def _product(m: int, n: int, k: int, dtype: str) -> Kernel:
    """C[m,n] = A[m,k] B[k,n] in the reduction's dtype."""
    moved = DTYPE_BYTES[dtype] * (m * k + k * n + m * n)
    return Kernel("gemm", (m, n, k), dtype, 2 * m * n * k, moved, kinds.COMPRESSION)


def _cast(count: int, dtype: str) -> tuple[Kernel, ...]:
    """Between the reduction's dtype and bf16, either way: reads one, writes the other."""
    return () if DTYPE_BYTES[dtype] == 2 else (_kernel("cast", count, DTYPE_BYTES[dtype] + 2),)


COMPRESSORS = {
    "none": lambda plan: NoCompression(),
    "bf16": lambda plan: Bf16(),
    "topk": lambda plan: TopK(plan.density, plan.error_feedback),
    "powersgd": lambda plan: PowerSgd(plan.rank, plan.error_feedback),
}


def make_compressor(plan) -> Compressor:
    """The compressor that a plan's `compression` names (method, density, rank, error_feedback)."""
    if plan.method not in COMPRESSORS:
        raise NotSupportedYet(
            f"{plan.method} is not supported yet; use one of {', '.join(COMPRESSORS)}", key="plan.compression.method"
        )
    return COMPRESSORS[plan.method](plan)

"""Gradient compressors: what each sends, and what it costs to make and to undo it.

One small class each, used by whoever reads a program: the simulator prices the kernels, the executor runs the torch
code (`pack`, `unpack`). A compressor works on one bucket of gradients, given by the parameters' shapes on this rank.
Bytes are counted pass by pass over device memory; `topk`, `scatter_add` and `orthogonalize` name families whose profile
says how often such a pass really crosses the bus (selection, scattered addresses).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from simulator import kinds
from simulator.errors import NotSupportedYet
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

Shapes = tuple[tuple[int, ...], ...]
State = dict[str, Any]
"""What a compressor remembers of one bucket: residuals, warm starts."""

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

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """The payload of a phase, a flat tensor.

        gradient: the bucket's, flat, in the dtype of the reduction; may be changed. received: what the phase before
        brought. state: kept by the caller for this bucket, from step to step; empty at first.
        """
        return gradient

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        """Writes the sum of all ranks' gradients, as far as the last phase has brought it, into `gradient`."""
        gradient.copy_(received)


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

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """int32[2k]: indices, then fp32 values."""
        import torch

        if "residual" in state:
            gradient += state["residual"]
        index = torch.topk(gradient.abs(), self.kept(gradient.numel()), sorted=False).indices
        values = gradient[index].float()
        if self.error_feedback:
            residual = state["residual"] = state.get("residual", torch.empty_like(gradient)).copy_(gradient)
            residual[index] = 0
        return torch.cat([index.int(), values.view(torch.int32)])

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        import torch

        gradient.zero_()
        index, values = received.view(ranks, 2, -1).unbind(1)
        values = values.contiguous().view(torch.float32).to(gradient.dtype)
        gradient.index_add_(0, index.reshape(-1), values.reshape(-1))


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

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """Phase 0: all P, then the tensors that are not compressed; phase 1: all Q."""
        import torch

        matrices, left = self._split(gradient, shapes)
        if not matrices:
            return gradient
        if phase == 0:
            if "residuals" in state:
                for matrix, residual in zip(matrices, state["residuals"], strict=True):
                    matrix += residual
            state.setdefault("q", [_start(matrix.shape[1], self._rank(matrix), matrix) for matrix in matrices])
            state["p"] = [matrix @ q for matrix, q in zip(matrices, state["q"], strict=True)]
            return torch.cat([part.reshape(-1) for part in (*state["p"], *left)])
        sizes = [p.numel() for p in state["p"]]
        *summed, rest = received.split([*sizes, received.numel() - sum(sizes)])
        for part, value in zip(left, rest.split([part.numel() for part in left]), strict=True):
            part.copy_(value.view_as(part))
        state["p"] = [_orthogonal(value.view_as(p)) for value, p in zip(summed, state["p"], strict=True)]
        return torch.cat([(m.t() @ p).reshape(-1) for m, p in zip(matrices, state["p"], strict=True)])

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        matrices, _ = self._split(gradient, shapes)
        if not matrices:
            gradient.copy_(received)
            return
        sums = received.split([q.numel() for q in state["q"]])
        state["q"] = [value.view_as(q).clone() for value, q in zip(sums, state["q"], strict=True)]
        sums = [p @ q.t() for p, q in zip(state.pop("p"), state["q"], strict=True)]
        if self.error_feedback:  # each rank stands for 1/ranks of the sum (Vogels et al., algorithm 2)
            state["residuals"] = [m - total / ranks for m, total in zip(matrices, sums, strict=True)]
        for matrix, total in zip(matrices, sums, strict=True):
            matrix.copy_(total)

    def _rank(self, matrix: torch.Tensor) -> int:
        return min(self.rank, *matrix.shape)

    def _split(self, gradient: torch.Tensor, shapes: Shapes) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Views of a flat bucket: the matrices that are compressed, and all else."""
        matrices, left = [], []
        for part, shape in zip(gradient.split([prod(shape) for shape in shapes]), shapes, strict=True):
            factored = self.factors((shape,))
            (matrices if factored else left).append(part.view(factored[0][:2]) if factored else part)
        return matrices, left


def _start(rows: int, rank: int, like: torch.Tensor) -> torch.Tensor:
    """A random Q that is the same on every rank (the paper's standard normal)."""
    import torch

    generator = torch.Generator().manual_seed(rows * 1_000_003 + rank)
    return torch.randn(rows, rank, generator=generator).to(like)


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of the columns; 16-bit matrices are factored in fp32."""
    import torch

    wide = matrix.float() if matrix.element_size() < 4 else matrix
    return torch.linalg.qr(wide).Q.to(matrix.dtype)


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

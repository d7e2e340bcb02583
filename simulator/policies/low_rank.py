"""Low-rank compression: matrices sent as two thin factors."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, elements, memory_kernel, product
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

MIN_COMPRESSION_RATE = 2
"""PowerSGD leaves a matrix alone unless its factors are at most half as large (torch's powerSGD_hook)."""


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
            first.append(memory_kernel("elementwise", compressed, 5 * size))
        for rows, columns, rank in factors:
            first.append(product(rows, rank, columns, reduce_dtype))
            second.append(memory_kernel("orthogonalize", rows * rank, 2 * size))  # reads and writes P once each pass
            second.append(product(columns, rank, rows, reduce_dtype))
        first_bytes = size * (left + sum(rows * rank for rows, _, rank in factors))
        if not factors:  # nothing worth compressing: the bucket goes as it is
            return (Phase("all_reduce", first_bytes),)
        second_bytes = size * sum(columns * rank for _, columns, rank in factors)
        return Phase("all_reduce", first_bytes, tuple(first)), Phase("all_reduce", second_bytes, tuple(second))

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        factors, size = self.factors(shapes), DTYPE_BYTES[reduce_dtype]
        kernels = [product(rows, columns, rank, reduce_dtype) for rows, columns, rank in factors]
        if self.error_feedback and factors:  # residual = copy - P Q^T: reads both, writes
            kernels.append(memory_kernel("elementwise", sum(rows * columns for rows, columns, _ in factors), 3 * size))
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

"""Sparse compressors that estimate their threshold from a sample: sampled top-k, and deep gradient compression."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import State, memory_kernel
from simulator.policies.sparse import TopK, clear_kernel

if TYPE_CHECKING:
    import torch

MARK_BYTES = 1
"""Whether an entry passed the threshold."""

FIRST_DENSITY = 0.25
"""DGC's warm-up begins by sending a quarter of all entries (Lin et al., arXiv 1712.01887, section 3.3)."""


@dataclass(frozen=True, slots=True)
class SampledTopK(TopK):
    """Top-k without a selection over all entries (Lin et al., arXiv 1712.01887, section 5).

    Every 1/sample-th entry is looked at; the density * sample-th largest of those is the threshold. Of the entries that
    pass it the k largest are sent, k as in `TopK`: the message has room for so many, whatever passes. Fewer leave room
    unused; those that do not fit stay in the residual.
    """

    sample: float = 0.01
    name: ClassVar[str] = "topk_sampled"

    def stride(self) -> int:
        """Every how many-th entry is looked at."""
        return max(1, round(1 / self.sample))

    def looked_at(self, count: int) -> int:
        """Entries of the sample."""
        return -(-count // self.stride())

    def selection(self, count: int, size: int) -> tuple[Kernel, ...]:
        looked_at = self.looked_at(count)
        return (
            memory_kernel("elementwise", count, 2 * size),  # magnitudes: reads, writes
            memory_kernel("scatter_add", looked_at, 2 * size),  # the sample, from scattered places: reads, writes
            memory_kernel("topk", looked_at, size),
            # reads each magnitude and writes its mark, then reads the marks and writes the places of those that passed
            memory_kernel("threshold", count, size + 2 * MARK_BYTES),
            memory_kernel("topk", self.kept(count), size),  # of those that passed, about as many as are sent
        )

    def select(self, values: torch.Tensor, kept: int, state: State) -> torch.Tensor:
        import torch

        magnitudes = values.abs()
        offset = state["offset"] = (state.get("offset", -1) + 1) % self.stride()
        sample = magnitudes[min(offset, len(magnitudes) - 1) :: self.stride()]
        largest = max(1, round(len(sample) * kept / len(magnitudes)))
        threshold = torch.topk(sample, largest, sorted=False).values.min()
        passed = (magnitudes >= threshold).nonzero().view(-1)
        if len(passed) <= kept:
            return passed
        return passed[torch.topk(magnitudes[passed], kept, sorted=False).indices]


@dataclass(frozen=True, slots=True)
class Dgc(SampledTopK):
    """Deep gradient compression (Lin et al., arXiv 1712.01887): sampled top-k of accumulated momentum.

    Momentum correction (u = momentum u + gradient, v = v + u; v is selected from) with factor masking (both are zero
    where an entry was sent), clipping of each rank's own gradient to clipping / sqrt(ranks), bucket by bucket, and a
    density that falls from a quarter to the plan's within `warm_up` steps: those send more than the program says, which
    is of a step behind them. Its optimizer should have no momentum of its own. Without error feedback v is u.
    """

    momentum: float = 0.9
    clipping: float | None = None
    warm_up: int = 0
    ranks: int = 1
    name: ClassVar[str] = "dgc"

    def remembered(self, count: int) -> int:
        return 2 * count if self.error_feedback else count

    def collecting(self, count: int, size: int) -> tuple[Kernel, ...]:
        kernels = []
        if self.clipping is not None:  # the norm reads, scaling reads and writes
            kernels += [memory_kernel("elementwise", count, size), memory_kernel("elementwise", count, 2 * size)]
        kernels.append(memory_kernel("elementwise", count, 3 * size))  # u: reads both, writes
        if self.error_feedback:
            kernels.append(memory_kernel("elementwise", count, 3 * size))  # v, likewise
        return tuple(kernels)

    def keeping(self, count: int, size: int) -> tuple[Kernel, ...]:
        return ()  # u and v are what is picked from

    def forgetting(self, kept: int, size: int) -> tuple[Kernel, ...]:
        return (clear_kernel(kept, size),) * (2 if self.error_feedback else 1)

    def density_at(self, step: int) -> float:
        """What step `step` sends: a falling geometric sequence, then the plan's."""
        if step >= self.warm_up or self.density >= FIRST_DENSITY:
            return self.density
        return FIRST_DENSITY * (self.density / FIRST_DENSITY) ** (step / self.warm_up)

    def density_now(self, state: State) -> float:
        return self.density_at(state["step"])

    def collect(self, gradient: torch.Tensor, state: State) -> torch.Tensor:
        import torch

        if self.clipping is not None:
            norm = torch.linalg.vector_norm(gradient)
            gradient *= (self.clipping / sqrt(self.ranks) / norm.clamp(min=1e-30)).clamp(max=1.0)
        state["step"] = state.get("step", -1) + 1
        momentum = state["momentum"] = state.get("momentum", torch.zeros_like(gradient))
        momentum.mul_(self.momentum).add_(gradient)
        if not self.error_feedback:
            return momentum
        state["residual"] = state.get("residual", torch.zeros_like(gradient)).add_(momentum)
        return state["residual"]

    def keep(self, values: torch.Tensor, state: State) -> None:
        """u and v are there already."""

    def forget(self, index: torch.Tensor, state: State) -> None:
        for place in ("momentum", "residual"):
            if place in state:
                state[place][index] = 0

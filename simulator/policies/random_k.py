"""Random-k: the same random entries on every rank, which an all-reduce sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, add_residual, elements, memory_kernel
from simulator.policies.sparse import INDEX_BYTES, TopK, clear_kernel, number_of
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

PLACE_BYTES = 8
"""torch draws and indexes with 64-bit integers."""


@dataclass(frozen=True, slots=True)
class RandomK(Compressor):
    """k = max(1, round(density * n)) places drawn anew each step from a seed that all ranks share (Stich et al., arXiv
    1809.07599), so that only values travel, and sums of them.

    Places are drawn with replacement, as BytePS does: a place that comes twice is sent twice and applied once. Sums are
    not scaled by n / k: with error feedback nothing is lost, and without it the update is the smaller.
    """

    density: float
    error_feedback: bool = True
    name: ClassVar[str] = "randomk"

    def kept(self, count: int) -> int:
        """k of `count` entries."""
        return number_of(self.density, count)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        kept = self.kept(count)
        return (Phase("all_reduce", kept * size, self.encode(count, size, drawn=kept, sent=kept)),)

    def encode(self, count: int, size: int, drawn: int, sent: int) -> tuple[Kernel, ...]:
        """Kernels that draw so many places and gather so many of `count` entries from there."""
        gathered = (
            memory_kernel("random_places", drawn, PLACE_BYTES),  # writes
            memory_kernel("scatter_add", sent, INDEX_BYTES + 2 * size),  # reads place and entry, writes
        )
        if not self.error_feedback:
            return gathered
        kept_back = memory_kernel("copy", count, 2 * size), clear_kernel(sent, size)
        return (add_residual(count, size), *gathered, *kept_back)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        zeros = memory_kernel("elementwise", count, size)
        return zeros, memory_kernel("scatter_add", self.kept(count), INDEX_BYTES + 2 * size)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        import torch

        if "residual" in state:
            gradient += state["residual"]
        state["index"] = index = places(gradient, self.kept(gradient.numel()), state, rank=0)
        payload = gradient[index]
        if self.error_feedback:
            residual = state["residual"] = state.get("residual", torch.empty_like(gradient)).copy_(gradient)
            residual[index] = 0
        return payload

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        gradient[state.pop("index")] = received


@dataclass(frozen=True, slots=True)
class RandomPairs(TopK):
    """Random-k with a seed of each rank's own: places differ, so that pairs are gathered as top-k's are.

    A place that is drawn twice is sent once, and the room it leaves adds nothing.
    """

    name: ClassVar[str] = "randomk"

    def selection(self, count: int, size: int) -> tuple[Kernel, ...]:
        kept = self.kept(count)
        # draws, then sorts to find what came twice: radix passes over places
        return memory_kernel("random_places", kept, PLACE_BYTES), memory_kernel("topk", kept, PLACE_BYTES)

    def select(self, values: torch.Tensor, kept: int, state: State) -> torch.Tensor:
        return places(values, kept, state, state.get("rank", 0)).unique()


def places(values: torch.Tensor, kept: int, state: State, rank: int) -> torch.Tensor:
    """int64[kept] of a bucket's places, drawn anew in each step from a stream of the bucket and the rank."""
    import torch

    count = values.numel()
    if "places" not in state:
        state["places"] = torch.Generator(values.device).manual_seed(count * 65_537 + rank)
    return torch.randint(count, (kept,), generator=state["places"], device=values.device)

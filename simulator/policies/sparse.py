"""Sparse compressors: the largest entries of a bucket, as pairs of an index and a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, add_residual, elements, memory_kernel
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch

INDEX_BYTES = 4
VALUE_BYTES = 4
"""A kept element travels as a 4-byte index and a 4-byte value."""
PAIR_BYTES = INDEX_BYTES + VALUE_BYTES


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
        return number_of(self.density, count)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        kept = self.kept(count)
        encode = (
            *self.collecting(count, size),
            *self.selection(count, size),
            pairs_kernel(kept, size),
            *self.keeping(count, size),
            *self.forgetting(kept, size),
        )
        return (Phase("all_gather", kept * PAIR_BYTES, encode),)

    def collecting(self, count: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that make what entries are picked from."""
        return (add_residual(count, size),) if self.error_feedback else ()

    def selection(self, count: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that find the places of the largest entries."""
        return (
            memory_kernel("elementwise", count, 2 * size),  # magnitudes: reads, writes
            memory_kernel("topk", count, size),  # reads the magnitudes; how often is the profile's topk_passes
        )

    def keeping(self, count: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that put down what may not be sent: residual = gradient (reads, writes)."""
        return (memory_kernel("copy", count, 2 * size),) if self.error_feedback else ()

    def forgetting(self, kept: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that take what was sent from what is remembered (read the index, write a zero)."""
        return (clear_kernel(kept, size),) if self.error_feedback else ()

    def collect(self, gradient: torch.Tensor, state: State) -> torch.Tensor:
        """What entries are picked from; `gradient` may be changed."""
        if "residual" in state:
            gradient += state["residual"]
        return gradient

    def density_now(self, state: State) -> float:
        """The share that this step sends, behind `collect`."""
        return self.density

    def select(self, values: torch.Tensor, kept: int, state: State) -> torch.Tensor:
        """Places of at most `kept` large entries, int64."""
        import torch

        return torch.topk(values.abs(), kept, sorted=False).indices

    def keep(self, values: torch.Tensor, state: State) -> None:
        """Puts down what was picked from, of which `forget` takes what was sent."""
        import torch

        if self.error_feedback:
            state["residual"] = state.get("residual", torch.empty_like(values)).copy_(values)

    def forget(self, index: torch.Tensor, state: State) -> None:
        """What was sent from these places is remembered no more."""
        if self.error_feedback:
            state["residual"][index] = 0

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        return (
            memory_kernel("elementwise", count, size),  # zeros the gradient: writes
            # every rank's pairs are added into place: reads the pair, reads and writes the entry
            memory_kernel("scatter_add", ranks * self.kept(count), PAIR_BYTES + 2 * size),
        )

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """int32[2k]: indices, then fp32 values."""
        values = self.collect(gradient, state)
        kept = number_of(self.density_now(state), values.numel())
        index = self.select(values, kept, state)
        payload = pairs_payload(values, index, kept)
        self.keep(values, state)
        self.forget(index, state)
        return payload

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        index, values = pairs_of(received, ranks, gradient.dtype)
        gradient.index_add_(0, index, values)


def number_of(density: float, count: int) -> int:
    """Entries that are sent of `count`: one at least."""
    return max(1, round(density * count))


def pairs_kernel(kept: int, size: int) -> Kernel:
    """Gathers the pairs that are sent: reads an index and its entry, writes both."""
    return memory_kernel("scatter_add", kept, INDEX_BYTES + size + PAIR_BYTES)


def clear_kernel(kept: int, size: int) -> Kernel:
    """Clears what is sent: reads an index, writes a zero."""
    return memory_kernel("scatter_add", kept, INDEX_BYTES + size)


def pairs_payload(values: torch.Tensor, index: torch.Tensor, kept: int, first: int = 0) -> torch.Tensor:
    """int32[2 kept]: places, then their entries as fp32. Fewer than `kept` are filled up with zeros, which add nothing.

    first: the place that the first of `values` has in the bucket.
    """
    import torch

    missing = kept - index.numel()
    places, entries = index + first, values[index].float()
    if missing:
        places = torch.nn.functional.pad(places, (0, missing), value=first)
        entries = torch.nn.functional.pad(entries, (0, missing))
    return torch.cat([places.int(), entries.view(torch.int32)])


def pairs_of(received: torch.Tensor, ranks: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """int64[n] indices and the values beside them, from int32[ranks, 2, n / ranks]."""
    import torch

    index, values = received.view(ranks, 2, -1).unbind(1)
    return index.reshape(-1).long(), values.contiguous().view(torch.float32).to(dtype).reshape(-1)

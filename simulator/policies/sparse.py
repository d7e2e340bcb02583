"""Sparse compressors: the largest entries of a bucket, as pairs of an index and a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import (
    Compressor,
    Phase,
    Shapes,
    State,
    add_residual,
    elements,
    memory_kernel,
)
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
        return max(1, round(self.density * count))

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        encode = [add_residual(count, size)] if self.error_feedback else []
        encode += [*self.selection(count, size), pairs_kernel(self.kept(count), size)]
        if self.error_feedback:
            # residual = gradient (reads, writes), less what is sent (reads the index, writes a zero)
            encode += [memory_kernel("copy", count, 2 * size), clear_kernel(self.kept(count), size)]
        return (Phase("all_gather", self.kept(count) * PAIR_BYTES, tuple(encode)),)

    def selection(self, count: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that find the places of the largest entries."""
        return (
            memory_kernel("elementwise", count, 2 * size),  # magnitudes: reads, writes
            memory_kernel("topk", count, size),  # reads the magnitudes; how often is the profile's topk_passes
        )

    def select(self, values: torch.Tensor, kept: int, state: State) -> torch.Tensor:
        """Places of at most `kept` large entries, int64."""
        import torch

        return torch.topk(values.abs(), kept, sorted=False).indices

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        return (
            memory_kernel("elementwise", count, size),  # zeros the gradient: writes
            # every rank's pairs are added into place: reads the pair, reads and writes the entry
            memory_kernel("scatter_add", ranks * self.kept(count), PAIR_BYTES + 2 * size),
        )

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """int32[2k]: indices, then fp32 values."""
        import torch

        if "residual" in state:
            gradient += state["residual"]
        kept = self.kept(gradient.numel())
        index = self.select(gradient, kept, state)
        payload = pairs_payload(gradient, index, kept)
        if self.error_feedback:
            residual = state["residual"] = state.get("residual", torch.empty_like(gradient)).copy_(gradient)
            residual[index] = 0
        return payload

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        index, values = _pairs(received, ranks, gradient.dtype)
        gradient.index_add_(0, index, values)


@dataclass(frozen=True, slots=True)
class BalancedTopK(Compressor):
    """Top-k whose sum is spread over the ranks: a balanced sparse all-reduce.

    The bucket's n entries are cut into P regions of ceil(n / P), one for each rank. Every rank picks the k' = density
    n / P (1 at least) largest entries of each region and sends them to the region's owner (an all_to_all); owners add
    up, pick the k' largest sums of their region, and all gather those. Payloads are equal by construction, so nothing
    has to be balanced at run time, and a rank sends 2 k' (P-1) numbers twice: 4 k (P-1)/P for k = P k', whatever P,
    where gathering costs 2 k (P-1).

    Ok-Topk (Li and Hoefler, PPoPP 2022, arXiv 2201.07598) picks k over the whole bucket by an estimated threshold,
    moves region boundaries and balances messages, for less than 6 k (P-1)/P. Fixed regions pick what is large in its
    region; error feedback carries the rest. As there, an entry that a rank sent but no owner picked stays in that
    rank's residual: what was applied and what is remembered are all gradients.
    """

    density: float
    ranks: int
    error_feedback: bool = True
    name: ClassVar[str] = "topk"
    collectives: ClassVar[tuple[str, ...]] = ("all_to_all", "all_gather")

    def region(self, count: int) -> int:
        """Entries of a region; the last ones may reach beyond the bucket."""
        return -(-count // self.ranks)

    def kept(self, count: int) -> int:
        """k': entries of each region that are sent."""
        return min(self.region(count), max(1, round(self.density * count / self.ranks)))

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        region, kept = self.region(count), self.kept(count)
        first = []
        if self.error_feedback:
            first.append(add_residual(count, size))
        first += [
            memory_kernel("elementwise", count, 2 * size),  # magnitudes: reads, writes
            memory_kernel("topk", count, size),
            pairs_kernel(self.ranks * kept, size),
        ]
        if self.error_feedback:  # a copy, from which decoding takes what was applied: reads, writes
            first.append(memory_kernel("copy", count, 2 * size))
        second = (
            memory_kernel("elementwise", region, size),  # zeros the sums: writes
            # all ranks' pairs of this region are added: reads the pair, reads and writes the sum
            memory_kernel("scatter_add", self.ranks * kept, PAIR_BYTES + 2 * size),
            memory_kernel("elementwise", region, 2 * size),
            memory_kernel("topk", region, size),
            pairs_kernel(kept, size),
        )
        return (
            Phase("all_to_all", self.ranks * kept * PAIR_BYTES, tuple(first)),
            Phase("all_gather", kept * PAIR_BYTES, second),
        )

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        pairs = ranks * self.kept(count)
        kernels = [memory_kernel("elementwise", count, size)]  # zeros the gradient: writes
        if self.error_feedback:
            # marks what is applied (reads an index, writes), and clears the residual of what this rank sent of it
            # (reads an index and a mark, writes)
            kernels += [
                memory_kernel("scatter_add", pairs, INDEX_BYTES + size),
                memory_kernel("scatter_add", pairs, INDEX_BYTES + 2 * size),
            ]
        return (*kernels, memory_kernel("scatter_add", pairs, PAIR_BYTES + size))  # reads the pair, writes the entry

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """Phase 0: int32[P, 2, k'], for each region indices, then fp32 values. Phase 1: int32[2, k'] of the own one."""
        import torch

        count = gradient.numel()
        region, kept = self.region(count), self.kept(count)
        if phase == 1:
            index, values = _pairs(received, self.ranks, gradient.dtype)
            first = index[0] // region * region  # all indices that came lie in the region that this rank owns
            sums = gradient.new_zeros(region).index_add_(0, index - first, values)
            chosen = torch.topk(sums.abs(), kept, sorted=False).indices
            return torch.cat([(chosen + first).int(), sums[chosen].float().view(torch.int32)])
        if "residual" in state:
            gradient += state["residual"]
        beyond = self.ranks * region - count  # entries that do not exist are never large
        magnitudes = torch.nn.functional.pad(gradient.abs(), (0, beyond), value=-1.0).view(self.ranks, region)
        starts = torch.arange(self.ranks, device=gradient.device)[:, None] * region
        index = torch.topk(magnitudes, kept, dim=1, sorted=False).indices + starts
        values = gradient[index.clamp(max=count - 1)].masked_fill(index >= count, 0.0)
        if self.error_feedback:
            state["residual"] = state.get("residual", torch.empty_like(gradient)).copy_(gradient)
            state["sent"] = index[index < count]
        return torch.stack([index.int(), values.float().view(torch.int32)], dim=1).reshape(-1)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        index, values = _pairs(received, ranks, gradient.dtype)
        exists = index < gradient.numel()
        index, values = index[exists], values[exists]
        gradient.zero_()
        if self.error_feedback:
            gradient[index] = 1.0
            sent = state.pop("sent")
            state["residual"][sent[gradient[sent] == 1.0]] = 0.0
        gradient[index] = values


def pairs_kernel(kept: int, size: int) -> Kernel:
    """Gathers the pairs that are sent: reads an index and its entry, writes both."""
    return memory_kernel("scatter_add", kept, INDEX_BYTES + size + PAIR_BYTES)


def clear_kernel(kept: int, size: int) -> Kernel:
    """Clears what is sent: reads an index, writes a zero."""
    return memory_kernel("scatter_add", kept, INDEX_BYTES + size)


def pairs_payload(values: torch.Tensor, index: torch.Tensor, kept: int) -> torch.Tensor:
    """int32[2 kept]: places, then their entries as fp32. Fewer than `kept` are filled up with entries that add nothing
    (zeros in place 0)."""
    import torch

    missing = kept - index.numel()
    index, entries = (
        torch.nn.functional.pad(row, (0, missing)) if missing else row for row in (index.int(), values[index].float())
    )
    return torch.cat([index, entries.view(torch.int32)])


def _pairs(received: torch.Tensor, ranks: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """int64[n] indices and the values beside them, from int32[ranks, 2, n / ranks]."""
    import torch

    index, values = received.view(ranks, 2, -1).unbind(1)
    return index.reshape(-1).long(), values.contiguous().view(torch.float32).to(dtype).reshape(-1)

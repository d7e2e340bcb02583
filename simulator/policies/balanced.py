"""Balanced pairs: a sparse sum that is spread over the ranks, so that its volume does not grow with their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.compressor import Compressor, Phase, Shapes, State, elements, memory_kernel
from simulator.policies.sparse import INDEX_BYTES, PAIR_BYTES, TopK, pairs_kernel, pairs_of, pairs_payload
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Regions:
    """A bucket's n entries cut into P regions of ceil(n / P), one for each rank; of each the same number is sent.

    picks: how the entries of a region are picked: the largest, those beyond an estimated threshold, random ones.
    """

    picks: TopK
    ranks: int

    def length(self, count: int) -> int:
        """Entries of a region; the last ones may reach beyond the bucket."""
        return -(-count // self.ranks)

    def kept(self, count: int, density: float | None = None) -> int:
        """k': entries of each region that are sent."""
        density = self.picks.density if density is None else density
        return min(self.length(count), max(1, round(density * count / self.ranks)))

    def encode(self, count: int, size: int) -> tuple[Kernel, ...]:
        """Kernels that pick the entries of every region and write their pairs."""
        return (
            *self.picks.collecting(count, size),
            *self.picks.selection(count, size),
            pairs_kernel(self.ranks * self.kept(count), size),
            *self.picks.keeping(count, size),
        )

    def pack(self, gradient: torch.Tensor, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """(int32[P, 2, k'], flat: for each region indices, then fp32 values; int64[n]: the places that are sent)."""
        import torch

        values = self.picks.collect(gradient, state)
        count = values.numel()
        kept, length = self.kept(count, self.picks.density_now(state)), self.length(count)
        payloads, sent = [], []
        for rank in range(self.ranks):
            first = rank * length
            row = values[first : first + length]
            index = self.picks.select(row, min(kept, len(row)), state) if len(row) else row.new_empty(0).long()
            payloads.append(pairs_payload(row, index, kept, first))
            sent.append(index + first)
        self.picks.keep(values, state)
        return torch.cat(payloads), torch.cat(sent)


@dataclass(frozen=True, slots=True)
class PickedPairs(Compressor):
    """What `picks` picks, summed by `ranks` ranks: called as it is called, remembering what it remembers."""

    picks: TopK
    ranks: int

    @property
    def name(self) -> str:
        return self.picks.name

    @property
    def regions(self) -> Regions:
        """One for each rank, where each is sent pairs of its own."""
        return Regions(self.picks, self.ranks)

    def remembered(self, count: int) -> int:
        return self.picks.remembered(count)


@dataclass(frozen=True, slots=True)
class BalancedPairs(PickedPairs):
    """A balanced sparse all-reduce.

    Every rank picks k' = density n / P entries (1 at least) of each region and sends them to the region's owner (an
    all_to_all); owners add up, pick the k' largest sums of their region, and all gather those. Payloads are equal by
    construction, so nothing has to be balanced at run time, and a rank sends 2 k' (P-1) numbers twice: 4 k (P-1)/P for
    k = P k', whatever P, where gathering costs 2 k (P-1).

    Ok-Topk (Li and Hoefler, PPoPP 2022, arXiv 2201.07598) picks k over the whole bucket by an estimated threshold,
    moves region boundaries and balances messages, for less than 6 k (P-1)/P. Fixed regions pick what is large in its
    region; error feedback carries the rest. As there, an entry that a rank sent but no owner picked stays in that
    rank's residual: what was applied and what is remembered are all gradients.
    """

    collectives: ClassVar[tuple[str, ...]] = ("all_to_all", "all_gather")

    def kept(self, count: int) -> int:
        """k': entries of each region that are sent."""
        return self.regions.kept(count)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        region, kept = self.regions.length(count), self.kept(count)
        second = (
            memory_kernel("elementwise", region, size),  # zeros the sums: writes
            # all ranks' pairs of this region are added: reads the pair, reads and writes the sum
            memory_kernel("scatter_add", self.ranks * kept, PAIR_BYTES + 2 * size),
            memory_kernel("elementwise", region, 2 * size),
            memory_kernel("topk", region, size),
            pairs_kernel(kept, size),
        )
        return (
            Phase("all_to_all", self.ranks * kept * PAIR_BYTES, self.regions.encode(count, size)),
            Phase("all_gather", kept * PAIR_BYTES, second),
        )

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        pairs = ranks * self.kept(count)
        # marks what is applied (reads an index, writes); then, of each thing remembered, what this rank sent of it is
        # cleared (reads an index and a mark, writes)
        clears = len(self.picks.forgetting(1, size))
        marks = [memory_kernel("scatter_add", pairs, INDEX_BYTES + size)] * min(clears, 1)
        marks += [memory_kernel("scatter_add", pairs, INDEX_BYTES + 2 * size)] * clears
        zeros = memory_kernel("elementwise", count, size)  # of the gradient: writes
        return zeros, *marks, memory_kernel("scatter_add", pairs, PAIR_BYTES + size)  # reads the pair, writes the entry

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """Phase 0: int32[P, 2, k'], for each region indices, then fp32 values. Phase 1: int32[2, k'] of the own one."""
        import torch

        if phase == 0:
            payload, state["sent"] = self.regions.pack(gradient, state)
            return payload
        region, kept = self.regions.length(gradient.numel()), received.numel() // (2 * self.ranks)
        index, values = pairs_of(received, self.ranks, gradient.dtype)
        first = int(index[0]) // region * region  # all indices that came lie in the region that this rank owns
        sums = gradient.new_zeros(region).index_add_(0, index - first, values)
        return pairs_payload(sums, torch.topk(sums.abs(), kept, sorted=False).indices, kept, first)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        index, values = pairs_of(received, ranks, gradient.dtype)
        exists = index < gradient.numel()
        index, values = index[exists], values[exists]
        gradient.zero_()
        sent = state.pop("sent")
        if self.picks.remembered(1):
            gradient[index] = 1.0
            self.picks.forget(sent[gradient[sent] == 1.0], state)
        gradient[index] = values

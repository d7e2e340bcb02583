"""Reductions under ZeRO: each rank owns an equal part of a bucket, and the sum of that part ends with it alone.

Of a compressed all-reduce that is the first half: payloads meet at their owners, and nobody writes a sum as a payload
again (quantized ones: `quantized_owners.py`). All that was sent is applied, so error feedback remembers what was not
sent and nothing else.

A bucket is given as it is divided: flat, P parts of equal length, padded with zeros. `unpack` writes one part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.balanced import PickedPairs
from simulator.policies.casts import Cast
from simulator.policies.compressor import Compressor, Phase, Shapes, State, elements, memory_kernel
from simulator.policies.random_k import RandomK, places
from simulator.policies.sparse import INDEX_BYTES, PAIR_BYTES, pairs_of
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class CastToOwners(Compressor):
    """A cast to 16 bits ahead of the reduce-scatter (DeepSpeed's `communication_data_type`, FSDP1's fp16 and bf16
    communication hooks)."""

    cast: Cast
    ranks: int
    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("reduce_scatter",)

    @property
    def name(self) -> str:
        return self.cast.name

    def remembered(self, count: int) -> int:
        return self.cast.remembered(count)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        return tuple(replace(phase, op="reduce_scatter") for phase in self.cast.phases(shapes, reduce_dtype))

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        return self.cast.decode(((elements(shapes) // ranks,),), reduce_dtype, ranks)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        return self.cast.pack(phase, gradient, shapes, state, received)


@dataclass(frozen=True, slots=True)
class PairsToOwners(PickedPairs):
    """The same number of pairs of every part goes to its owner (`sparse: balanced`); owners add up."""

    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("all_to_all",)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        sent = self.ranks * self.regions.kept(count)
        encode = (*self.regions.encode(count, size), *self.picks.forgetting(sent, size))
        return (Phase("all_to_all", sent * PAIR_BYTES, encode),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        return _added_pairs(count // ranks, ranks * self.regions.kept(count), size)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """int32[P, 2, k'], for each part indices, then fp32 values."""
        payload, sent = self.regions.pack(gradient, state)
        self.picks.forget(sent, state)
        return payload

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        index, values = pairs_of(received, ranks, gradient.dtype)
        first = state["rank"] * gradient.numel()
        gradient.zero_().index_add_(0, index - first, values)


@dataclass(frozen=True, slots=True)
class GatheredPairsToOwners(PickedPairs):
    """Pairs of the whole bucket are gathered by all (`sparse: allgather`); each adds up those of its own part."""

    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("all_gather",)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        return self.picks.phases(shapes, reduce_dtype)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        kept = self.picks.kept(count)
        # reads every index to find the own ones, of which there are 1/P if they are spread evenly
        return memory_kernel("elementwise", ranks * kept, INDEX_BYTES), *_added_pairs(count // ranks, kept, size)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        return self.picks.pack(phase, gradient, shapes, state, received)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        index, values = pairs_of(received, ranks, gradient.dtype)
        part = gradient.numel()
        own = index.div(part, rounding_mode="floor") == state["rank"]
        gradient.zero_().index_add_(0, index[own] - state["rank"] * part, values[own])


@dataclass(frozen=True, slots=True)
class RandomKToOwners(Compressor):
    """The same random places of every part, from a seed that all ranks share: a reduce-scatter sums the values."""

    random: RandomK
    ranks: int
    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("reduce_scatter",)

    @property
    def name(self) -> str:
        return self.random.name

    def kept(self, count: int) -> int:
        """Entries of each part that are sent."""
        return self.random.kept(count // self.ranks)

    def remembered(self, count: int) -> int:
        return self.random.remembered(count)

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        kept = self.kept(count)
        sent = self.ranks * kept
        return (Phase("reduce_scatter", sent * size, self.random.encode(count, size, drawn=kept, sent=sent)),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        zeros = memory_kernel("elementwise", count // ranks, size)
        return zeros, memory_kernel("scatter_add", self.kept(count), INDEX_BYTES + 2 * size)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """[P, k'] entries of every part."""
        import torch

        if "residual" in state:
            gradient += state["residual"]
        rows = gradient.view(self.ranks, -1)
        state["index"] = index = places(rows[0], self.kept(gradient.numel()), state, rank=0)
        payload = rows[:, index].reshape(-1)
        if self.random.error_feedback:
            residual = state["residual"] = state.get("residual", torch.empty_like(gradient)).copy_(gradient)
            residual.view(self.ranks, -1)[:, index] = 0
        return payload

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        gradient[state.pop("index")] = received


def _added_pairs(part: int, pairs: int, size: int) -> tuple[Kernel, ...]:
    """Zeros (writes), then pairs into place: reads the pair, reads and writes the entry."""
    zeros = memory_kernel("elementwise", part, size)
    return zeros, memory_kernel("scatter_add", pairs, PAIR_BYTES + 2 * size)

"""Quantized reductions: a codec's payloads, which cannot be summed on the way, gathered or spread over the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.codecs import Codec
from simulator.policies.compressor import Compressor, Phase, Shapes, State, add_residual, elements, memory_kernel
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Gathered(Compressor):
    """Every rank gathers every other's payload: linear in the ranks, on the wire and in decoding."""

    codec: Codec
    error_feedback: bool = True
    collectives: ClassVar[tuple[str, ...]] = ("all_gather",)

    @property
    def name(self) -> str:
        return self.codec.name

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        encode = self.codec.encode(count, size)
        if self.error_feedback:
            encode = (add_residual(count, size), *encode, self.codec.subtract(count, size))
        return (Phase("all_gather", self.codec.payload_bytes(count), encode),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        return memory_kernel("elementwise", count, size), self.codec.add(count, size, ranks)  # zeros first

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        return with_feedback(self, gradient[None], state, "residual").view(-1)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        for payload in received.view(ranks, 1, -1):  # one at a time: all of them would be `ranks` gradients
            gradient += self.codec.read(payload, gradient.numel(), gradient.dtype)[0]


@dataclass(frozen=True, slots=True)
class Balanced(Compressor):
    """The sum is spread over the ranks, as 1-bit Adam's compressed all-reduce (Tang et al., arXiv 2102.02888).

    The bucket's n entries are cut into P regions of ceil(n / P), one for each rank. Every rank sends each owner the
    payload of its region; owners add up and write the sum as a payload again, which all gather. On the wire that is two
    payloads of the bucket, whatever P. What an owner's payload loses it remembers too (`owned` in the state).
    """

    codec: Codec
    ranks: int
    error_feedback: bool = True
    collectives: ClassVar[tuple[str, ...]] = ("all_to_all", "all_gather")

    @property
    def name(self) -> str:
        return self.codec.name

    def region(self, count: int) -> int:
        """Entries of a region; the last ones may reach beyond the bucket."""
        return -(-count // self.ranks)

    def remembered(self, count: int) -> int:
        return count + self.region(count) if self.error_feedback else 0

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        region, payload = self.region(count), self.codec.payload_bytes(self.region(count))
        first = self.codec.encode(region, size, self.ranks)
        second = (memory_kernel("elementwise", region, size), self.codec.add(region, size, self.ranks))
        again = self.codec.encode(region, size)
        if self.error_feedback:
            first = (add_residual(count, size), *first, self.codec.subtract(region, size, self.ranks))
            again = (add_residual(region, size), *again, self.codec.subtract(region, size))
        return Phase("all_to_all", self.ranks * payload, first), Phase("all_gather", payload, (*second, *again))

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        region, size = self.region(elements(shapes)), DTYPE_BYTES[reduce_dtype]
        return memory_kernel("elementwise", elements(shapes), size), self.codec.add(region, size, ranks)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """Phase 0: uint8[P, payload], one for each owner. Phase 1: uint8[payload] of the sum of the own region."""
        import torch

        region = self.region(gradient.numel())
        if phase == 0:
            whole = torch.nn.functional.pad(gradient, (0, self.ranks * region - gradient.numel()))
            return with_feedback(self, whole.view(self.ranks, region), state, "residual").view(-1)
        total = gradient.new_zeros(1, region)
        for payload in received.view(self.ranks, 1, -1):
            total += self.codec.read(payload, region, gradient.dtype)
        return with_feedback(self, total, state, "owned").view(-1)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        region = self.region(gradient.numel())
        whole = self.codec.read(received.view(ranks, -1), region, gradient.dtype)
        gradient.copy_(whole.reshape(-1)[: gradient.numel()])


def with_feedback(compressor: Compressor, vectors: torch.Tensor, state: State, place: str) -> torch.Tensor:
    """The payloads of vectors with what was lost before; what they lose now is kept under `place` in the state."""
    if place in state:
        vectors = vectors + state[place]
    payloads = compressor.codec.write(vectors, state)
    if compressor.error_feedback:
        state[place] = vectors - compressor.codec.read(payloads, vectors.shape[1], vectors.dtype)
    return payloads

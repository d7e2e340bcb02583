"""Quantized reductions under ZeRO: an all-to-all of quantized parts, added up in full precision by their owners.

ZeRO++'s qgZ (Wang et al., arXiv 2306.10209), whatever `aggregation.sparse` says: gathered, each rank would bring P
parts to use one. All ranks at once, or in two hops, as ZeRO++ runs it: at once, each of a node's 8 ranks sends half of
its int8 payload to a second node, together the bytes that a ring of fp32 sends there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simulator.model.work import Kernel
from simulator.policies.codecs import Codec
from simulator.policies.compressor import Compressor, Phase, Shapes, State, add_residual, elements, memory_kernel
from simulator.policies.quantized import with_feedback
from simulator.units import DTYPE_BYTES

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class CodecToOwners(Compressor):
    """Every rank sends each owner the payload of its part; owners add up."""

    codec: Codec
    ranks: int
    error_feedback: bool = True
    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("all_to_all",)

    @property
    def name(self) -> str:
        return self.codec.name

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        part = count // self.ranks
        encode = self.codec.encode(part, size, self.ranks)
        if self.error_feedback:
            encode = (add_residual(count, size), *encode, self.codec.subtract(part, size, self.ranks))
        return (Phase("all_to_all", self.ranks * self.codec.payload_bytes(part), encode),)

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        part, size = elements(shapes) // ranks, DTYPE_BYTES[reduce_dtype]
        return memory_kernel("elementwise", part, size), self.codec.add(part, size, ranks)  # zeros first

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """uint8[P, payload], one for each owner."""
        return with_feedback(self, gradient.view(self.ranks, -1), state, "residual").view(-1)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        for payload in received.view(ranks, 1, -1):  # one at a time: all of them would be a whole bucket
            gradient += self.codec.read(payload, gradient.numel(), gradient.dtype)[0]


@dataclass(frozen=True, slots=True)
class CodecInTwoHops(Compressor):
    """qgZ as ZeRO++ has it: payloads meet among `inside` consecutive ranks (a node's), and sums cross as payloads.

    R groups of S ranks; part d is owned by place d % S of group d // S. In the first exchange a rank of every place
    gets what its group has of the R parts that ranks at that place own; in the second each of those goes to its owner.
    Out of a node go 1/S of the bytes that all ranks at once would send. What the second payload loses is remembered by
    who wrote it (`owned`).
    """

    codec: Codec
    ranks: int
    inside: int
    error_feedback: bool = True
    to_owners: ClassVar[bool] = True
    collectives: ClassVar[tuple[str, ...]] = ("all_to_all", "all_to_all")

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def groups(self) -> int:
        return self.ranks // self.inside

    def remembered(self, count: int) -> int:
        return count + count // self.inside if self.error_feedback else 0

    def phases(self, shapes: Shapes, reduce_dtype: str) -> tuple[Phase, ...]:
        count, size = elements(shapes), DTYPE_BYTES[reduce_dtype]
        part, place = count // self.ranks, count // self.inside
        first = self.codec.encode(place, size, self.inside)
        sums = (memory_kernel("elementwise", place, size), self.codec.add(place, size, self.inside))  # zeros first
        second = self.codec.encode(part, size, self.groups)
        if self.error_feedback:
            first = (add_residual(count, size), *first, self.codec.subtract(place, size, self.inside))
            second = (add_residual(place, size), *second, self.codec.subtract(part, size, self.groups))
        return (
            Phase("all_to_all", self.inside * self.codec.payload_bytes(place), first, "shard"),
            Phase("all_to_all", self.groups * self.codec.payload_bytes(part), (*sums, *second), "replica"),
        )

    def decode(self, shapes: Shapes, reduce_dtype: str, ranks: int) -> tuple[Kernel, ...]:
        part, size = elements(shapes) // ranks, DTYPE_BYTES[reduce_dtype]
        return memory_kernel("elementwise", part, size), self.codec.add(part, size, self.groups)

    def pack(self, phase: int, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor | None):
        """Phase 0: uint8[S, payload of R parts], one for each place. Phase 1: uint8[R, payload], one for each group."""
        part = elements(shapes) // self.ranks
        if phase == 0:
            by_place = gradient.view(self.groups, self.inside, part).transpose(0, 1).reshape(self.inside, -1)
            return with_feedback(self, by_place, state, "residual").view(-1)
        total = gradient.new_zeros(1, self.groups * part)
        for payload in received.view(self.inside, 1, -1):
            total += self.codec.read(payload, total.shape[1], total.dtype)
        return with_feedback(self, total.view(self.groups, part), state, "owned").view(-1)

    def unpack(self, gradient: torch.Tensor, shapes: Shapes, state: State, received: torch.Tensor, ranks: int) -> None:
        gradient.zero_()
        for payload in received.view(self.groups, 1, -1):
            gradient += self.codec.read(payload, gradient.numel(), gradient.dtype)[0]

"""PyTorch's caching allocator, as far as sizes go: what it reserves for a sequence of requests.

Facts of c10/cuda/CUDACachingAllocator.cpp with its default settings (kMinBlockSize, kSmallSize, kSmallBuffer,
kMinLargeAlloc, kLargeBuffer, kRoundLarge): a request is rounded to 512 bytes; up to 1 MiB it is cut from segments of
2 MiB, below 10 MiB from segments of 20 MiB, else it gets a segment of its own, rounded to 2 MiB. The smallest free
block that is large enough is taken; what is left of it (more than 1 MiB of a large one) stays free; free neighbours of
one segment grow together. Not modelled: one pool for each stream, expandable segments, garbage collection, and the
release of unused segments where the device is full (which costs time, not memory).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

from simulator.units import MIB

ROUNDING_BYTES = 512
SMALL_BYTES = MIB
SMALL_SEGMENT_BYTES = 2 * MIB
LARGE_BYTES = 10 * MIB
LARGE_SEGMENT_BYTES = 20 * MIB
SEGMENT_ROUNDING_BYTES = 2 * MIB


@dataclass(slots=True)
class Block:
    """Bytes [start, start + size) of a segment; before and behind: its neighbours there."""

    segment: int
    start: int
    size: int
    is_small: bool
    is_free: bool = False
    before: Block | None = None
    behind: Block | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """Order in which free blocks are looked through: by size, then by age and place."""
        return (self.size, self.segment, self.start)


class CachingAllocator:
    """requested, reserved: bytes now; requested counts as asked for, reserved in segments. most_requested: at most."""

    def __init__(self) -> None:
        self.requested = self.most_requested = self.reserved = 0
        self._segments = 0
        self._free: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
        self._blocks: dict[tuple[int, int, int], Block] = {}
        self._asked: dict[int, int] = {}

    @property
    def beyond_peak(self) -> int:
        """Bytes of segments beyond what was ever asked for at once: rounding, and gaps that nothing fitted into."""
        return self.reserved - self.most_requested

    def malloc(self, size_bytes: int) -> Block:
        """A block of at least so many bytes."""
        size = _rounded(size_bytes, ROUNDING_BYTES)
        is_small = size <= SMALL_BYTES
        block = self._best_fit(size, is_small) or self._new_segment(size, is_small)
        left = block.size - size
        if left >= ROUNDING_BYTES if is_small else left > SMALL_BYTES:
            rest = Block(block.segment, block.start + size, left, is_small, True, block, block.behind)
            if rest.behind is not None:
                rest.behind.before = rest
            block.behind, block.size = rest, size
            self._keep(rest)
        block.is_free = False
        self._asked[id(block)] = size_bytes
        self.requested += size_bytes
        self.most_requested = max(self.most_requested, self.requested)
        return block

    def free(self, block: Block) -> None:
        """Gives a block back; the segment stays reserved."""
        self.requested -= self._asked.pop(id(block))
        for neighbour in (block.before, block.behind):
            if neighbour is not None and neighbour.is_free:
                self._forget(neighbour)
                self._join(block, neighbour)
        block.is_free = True
        self._keep(block)

    def _best_fit(self, size: int, is_small: bool) -> Block | None:
        free = self._free[is_small]
        place = bisect_left(free, (size,))
        return self._blocks.pop(free.pop(place)) if place < len(free) else None

    def _new_segment(self, size: int, is_small: bool) -> Block:
        length = SMALL_SEGMENT_BYTES if is_small else LARGE_SEGMENT_BYTES
        if size >= LARGE_BYTES:
            length = _rounded(size, SEGMENT_ROUNDING_BYTES)
        self.reserved += length
        self._segments += 1
        return Block(self._segments, 0, length, is_small)

    def _join(self, block: Block, other: Block) -> None:
        """`block` takes its free neighbour in."""
        if other is block.before:
            block.start, block.before = other.start, other.before
            if block.before is not None:
                block.before.behind = block
        else:
            block.behind = other.behind
            if block.behind is not None:
                block.behind.before = block
        block.size += other.size

    def _keep(self, block: Block) -> None:
        insort(self._free[block.is_small], block.key)
        self._blocks[block.key] = block

    def _forget(self, block: Block) -> None:
        free = self._free[block.is_small]
        del free[bisect_left(free, block.key)], self._blocks[block.key]


def _rounded(size: int, step: int) -> int:
    return max(step, -(-size // step) * step)

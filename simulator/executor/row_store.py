"""Rows: this rank's part of one table with its optimizer states, frequent rows on the device and the others the host's.

A table of placement host keeps its `cache_fraction` most frequent rows in device memory (`ids.kept_rows`, the rule
behind the simulator's hit rates): what a cache that evicts the least frequently used row comes to once it has seen
enough ids of one distribution (TorchRec's CacheAlgorithm.LFU). Rows are numbered by frequency, row 0 first. A row that
is not kept is read, and updated together with its states, where it is: on a CPU in tensors of their own, on a CUDA
device in pinned host memory that kernels address over the link (FBGEMM's EmbeddingLocation.MANAGED). Nobody has run the
latter yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from simulator.executor.sparse_optimizers import SPARSE_UPDATES, new_state


@dataclass
class Tier:
    """Rows in one memory: rows[i] is the store's row `first + i`."""

    rows: torch.Tensor
    state: dict[str, torch.Tensor]
    first: int

    def places(self, rows: torch.Tensor) -> torch.Tensor:
        """Where the store's rows lie in this memory."""
        return rows - self.first if self.first else rows


class RowStore:
    """rows: [n, columns], of which the first `kept` stay on the device.

    reads, hits: rows that were looked up, and those of them that were found on the device; counted where some rows are
    the host's.
    """

    def __init__(self, rows: torch.Tensor, kept: int, optimizer: str, accumulates: torch.dtype, device: torch.device):
        self.optimizer, self.updates, self.reads, self.hits = optimizer, 0, 0, 0
        self.kept, self.columns = kept, rows.shape[1]
        near, far = (part.to(device="cpu", copy=True).contiguous() for part in (rows[:kept], rows[kept:]))
        near = near.to(device)
        self.device_tier = Tier(near, new_state(optimizer, near, accumulates), 0)
        states = {name: _host_tensor(value, device) for name, value in new_state(optimizer, far, accumulates).items()}
        self.host_tier = Tier(_host_tensor(far, device), states, kept)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """[len(rows), columns]: the rows of these numbers."""
        if self.all_kept:
            return self.device_tier.rows[rows]
        found = self.device_tier.rows.new_empty((len(rows), self.columns))
        for tier, mine in self._found(rows):
            found[mine] = tier.rows[tier.places(rows[mine])]
        return found

    def read_bags(self, rows: torch.Tensor, bags: torch.Tensor, num_bags: int) -> torch.Tensor:
        """[num_bags, columns]: the sum of each bag's rows. bags: of each row, ascending."""
        each = torch.arange(num_bags, device=rows.device)
        if self.all_kept:
            return F.embedding_bag(rows, self.device_tier.rows, torch.searchsorted(bags, each), mode="sum")
        sums = self.device_tier.rows.new_zeros((num_bags, self.columns))
        for tier, mine in self._found(rows):
            starts = torch.searchsorted(bags[mine], each)
            sums += F.embedding_bag(tier.places(rows[mine]), tier.rows, starts, mode="sum")
        return sums

    def update(self, rows: torch.Tensor, gradients: torch.Tensor, rate: float) -> None:
        """The sparse optimizer on distinct rows, each in the memory in which it lies."""
        for tier, mine in self._where(rows):
            tier.state["steps"] = self.updates
            SPARSE_UPDATES[self.optimizer](tier.rows, tier.state, tier.places(rows[mine]), gradients[mine], rate)
        self.updates += 1

    def pass_over(self) -> None:
        """An update that touches none of these rows; Adam's count of steps is the table's, so it counts."""
        self.updates += 1

    def whole(self) -> torch.Tensor:
        """All rows, in order, on the CPU."""
        return torch.cat([tier.rows.cpu() for tier in (self.device_tier, self.host_tier)])

    @property
    def all_kept(self) -> bool:
        return not len(self.host_tier.rows)

    def _found(self, rows: torch.Tensor) -> list[tuple[Tier, torch.Tensor | slice]]:
        """`_where` of a lookup, which is counted."""
        found = list(self._where(rows))
        self.reads += len(rows)
        self.hits += sum(len(mine) for tier, mine in found if tier is self.device_tier)
        return found

    def _where(self, rows: torch.Tensor) -> Iterator[tuple[Tier, torch.Tensor | slice]]:
        """Each memory and the places among `rows` of those that lie in it, where there are any."""
        if self.all_kept:
            yield self.device_tier, slice(None)
            return
        is_kept = rows < self.kept
        for tier, here in ((self.device_tier, is_kept), (self.host_tier, ~is_kept)):
            mine = here.nonzero()[:, 0]
            if len(mine):
                yield tier, mine


class _Mapped:
    """Pinned bytes as a CUDA array: under unified virtual addressing their address is the device's too."""

    def __init__(self, pinned: torch.Tensor):
        self.pinned = pinned
        self.__cuda_array_interface__ = {
            "shape": tuple(pinned.shape), "typestr": "|u1", "data": (pinned.data_ptr(), False), "version": 3,
        }  # fmt: skip


def _host_tensor(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A CPU tensor where kernels of `device` can reach it."""
    if device.type != "cuda" or not tensor.numel():
        return tensor.to(device)
    pinned = tensor.contiguous().pin_memory()
    mapped = torch.as_tensor(_Mapped(pinned.view(-1).view(torch.uint8)), device=device)
    return mapped.view(tensor.dtype).view(tensor.shape)

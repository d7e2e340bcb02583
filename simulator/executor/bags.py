"""Bags of a data rank's samples, dealt out over the ranks that share them: whole bags, as many to each.

A bag is summed where its rows are, so its ids are asked for by one rank; rank (context c, tensor t) takes the
(c * tensor + t)-th share. Vectors are gathered over tensor and then over context ranks, so that all have those of every
sample. Each rank's positions add to every bag's gradient: what context ranks add is summed over them; tensor ranks have
the whole of it each, unless sequence parallelism has given them positions of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from simulator.executor.groups import Group


@dataclass(frozen=True)
class Bags:
    """context, tensor: the groups that share a data rank's samples. sums_tensor: under sequence parallelism."""

    context: Group
    tensor: Group
    sums_tensor: bool

    def own(self, bags: torch.Tensor) -> torch.Tensor:
        """[samples, ids] -> [share, ids]: this rank's."""
        place = self.context.index * self.tensor.size + self.tensor.index
        return part_of(bags, place, self.context.size * self.tensor.size)

    def spread_out(self, gradients: torch.Tensor) -> torch.Tensor:
        """[samples, width] -> what is summed next over the ranks; where nothing is, this rank's share."""
        padded = zero_padded(gradients, self.context.size * self.tensor.size)
        return padded if self.context.size > 1 else self._of_tensor(padded)

    def sum_over_context(self, gradients: torch.Tensor) -> torch.Tensor:
        """[context * tensor * share, width] -> [tensor * share, width], or [share, width] where that is all."""
        return self._of_tensor(self.context.reduce_scatter(gradients, gradients.element_size()))

    def sum_over_tensor(self, gradients: torch.Tensor) -> torch.Tensor:
        """[tensor * share, width] -> [share, width]."""
        return self.tensor.reduce_scatter(gradients, gradients.element_size())

    def _of_tensor(self, gradients: torch.Tensor) -> torch.Tensor:
        return gradients if self.sums_tensor else gradients.chunk(self.tensor.size)[self.tensor.index]


def part_of(whole: torch.Tensor, place: int, parts: int) -> torch.Tensor:
    """One of `parts` equal runs of ids (or bags of them). Where they do not divide, the last one is asked for again: a
    row that is looked up anyway, whose gradient there is zero."""
    share = -(-len(whole) // parts)
    padded = torch.cat([whole, whole[-1:].expand(share * parts - len(whole), *whole.shape[1:])])
    return padded[place * share : (place + 1) * share]


def zero_padded(rows: torch.Tensor, parts: int) -> torch.Tensor:
    """Rows, and zeros behind them until they divide into so many parts."""
    short = -len(rows) % parts
    return torch.cat([rows, rows.new_zeros((short, *rows.shape[1:]))]) if short else rows

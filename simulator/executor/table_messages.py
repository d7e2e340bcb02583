"""Messages of several tables as one, as TorchRec packs them: rows of different widths in one all-to-all, columns beside
each other in one reduction, whole tables end to end. Tensors of different dtypes go apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from simulator.executor.groups import Group


class Leg(NamedTuple):
    """One table's part of an all-to-all. tensor: rows in order of the members they go to, sent[i] of them to member i;
    received[i] come from it. arrive: what is made of those that came."""

    tensor: torch.Tensor
    sent: list[int]
    received: list[int]
    arrive: Callable[[torch.Tensor], torch.Tensor] = lambda rows: rows


def exchange(group: Group, legs: Sequence[Leg]) -> list[torch.Tensor]:
    """What came of each leg, in their order."""
    return _by_dtype([leg.tensor for leg in legs], lambda places: _exchange(group, [legs[place] for place in places]))


def side_by_side(
    tensors: Sequence[torch.Tensor], collective: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """A collective of the rows of several tensors, [rows, their columns together]."""

    def run(places: list[int]) -> list[torch.Tensor]:
        widths = [tensors[place].shape[1] for place in places]
        whole = collective(torch.cat([tensors[place] for place in places], dim=1))
        return list(whole.split(widths, dim=1))

    return _by_dtype(tensors, run)


def end_to_end(
    tensors: Sequence[torch.Tensor], members: int, gather: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """All members' rows of several tensors of any shapes, gathered as one flat message."""

    def run(places: list[int]) -> list[torch.Tensor]:
        own = [tensors[place] for place in places]
        whole = gather(torch.cat([tensor.reshape(-1) for tensor in own])).view(members, -1)
        parts = whole.split([tensor.numel() for tensor in own], dim=1)
        return [part.reshape(-1, *tensor.shape[1:]) for part, tensor in zip(parts, own, strict=True)]

    return _by_dtype(tensors, run)


def _exchange(group: Group, legs: Sequence[Leg]) -> list[torch.Tensor]:
    if group.size == 1:
        return [leg.arrive(leg.tensor) for leg in legs]
    widths = [leg.tensor.shape[1:].numel() for leg in legs]
    parts = [leg.tensor.split(leg.sent) for leg in legs]
    outgoing = torch.cat([own[member].reshape(-1) for member in range(group.size) for own in parts])
    sizes = [[count * width for count in leg.received] for leg, width in zip(legs, widths, strict=True)]
    sent = [sum(leg.sent[member] * width for leg, width in zip(legs, widths, strict=True))
            for member in range(group.size)]  # fmt: skip
    came = group.all_to_all(outgoing, sent, [sum(own[member] for own in sizes) for member in range(group.size)])
    pieces = came.split([own[member] for member in range(group.size) for own in sizes])
    return [
        leg.arrive(torch.cat(pieces[place :: len(legs)]).view(-1, *leg.tensor.shape[1:]))
        for place, leg in enumerate(legs)
    ]


def _by_dtype(tensors: Sequence[torch.Tensor], run: Callable[[list[int]], list[torch.Tensor]]) -> list[torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
        found.update(zip(places, run(places), strict=True))
    return [found[place] for place in range(len(tensors))]

"""Flat buckets: the parameters of one gradient bucket, and their gradients, as views of one tensor each.

Under ZeRO 1 each replica owns an equal part of a bucket. A token embedding that first and last stage share is divided
on its own: both stages then own the same rows of it on the same replica, and can add their gradients (as Megatron-LM
gives a shared embedding a bucket of its own).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import torch

from simulator.model.blocks import Parameter


@dataclass(frozen=True)
class Held:
    """A parameter that this rank holds a shard of. unit: its index in the model. tied: another stage holds it too."""

    parameter: Parameter
    unit: int
    shape: tuple[int, ...]
    tied: bool = False


@dataclass
class FlatBucket:
    """weights, gradients: flat tensors; `views` are the parameters, each with its `main_grad`.

    regions: (first, length) pieces that are divided among replicas on their own.
    reduced: this replica's part of the summed gradient (all of it without ZeRO).
    """

    name: str
    held: tuple[Held, ...]
    weights: torch.Tensor
    gradients: torch.Tensor
    views: dict[str, torch.Tensor]
    places: dict[str, tuple[int, int]]
    regions: tuple[tuple[int, int], ...]
    reduced: torch.Tensor | None = None
    state: dict = field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, held: tuple[Held, ...], start: Callable[[Held], torch.Tensor], parameters: torch.dtype,
        gradients: torch.dtype, device: torch.device,
    ) -> FlatBucket:  # fmt: skip
        """start: the first value of a parameter's shard; it must have the shape that the program counts."""
        total = sum(prod(one.shape) for one in held)
        weights = torch.zeros(total, dtype=parameters, device=device)
        sums = torch.zeros(total, dtype=gradients, device=device)
        views, places, at = {}, {}, 0
        for one in held:
            count = prod(one.shape)
            value = start(one)
            if tuple(value.shape) != one.shape:
                raise AssertionError(f"{one.parameter.name} is {tuple(value.shape)}, the model counts {one.shape}")
            weights[at : at + count] = value.reshape(-1).to(parameters)
            view = weights[at : at + count].view(one.shape).detach().requires_grad_()
            view.main_grad = sums[at : at + count].view(one.shape)
            views[one.parameter.name], places[one.parameter.name] = view, (at, count)
            at += count
        return cls(name, held, weights, sums, views, places, _regions(held, places))

    @property
    def numel(self) -> int:
        return self.weights.numel()

    def collect_autograd(self) -> None:
        """Adds what autograd left in `.grad` to the accumulated gradients."""
        for view in self.views.values():
            if view.grad is not None:
                view.main_grad.add_(view.grad)
                view.grad = None

    def stage_parts(self, flat: torch.Tensor, replicas: int) -> torch.Tensor:
        """[replicas, part]: row d holds what replica d owns; the ends of regions are padded with zeros."""
        pieces = []
        for first, length in self.regions:
            part = -(-length // replicas)
            piece = flat[first : first + length]
            if part * replicas > length:
                piece = torch.cat([piece, piece.new_zeros(part * replicas - length)])
            pieces.append(piece.view(replicas, part))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def unstage_parts(self, parts: torch.Tensor, flat: torch.Tensor) -> None:
        """Writes [replicas, part] back in the order of `flat`: the inverse of `stage_parts`."""
        replicas, at = parts.shape[0], 0
        for first, length in self.regions:
            part = -(-length // replicas)
            flat[first : first + length] = parts[:, at : at + part].reshape(-1)[:length]
            at += part


def _regions(held: tuple[Held, ...], places: dict[str, tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    regions: list[tuple[int, int]] = []
    open_end = False
    for one in held:
        first, count = places[one.parameter.name]
        if one.tied or not open_end:
            regions.append((first, count))
        else:
            regions[-1] = (regions[-1][0], regions[-1][1] + count)
        open_end = not one.tied
    return tuple(regions)

"""Flat buckets: the parameters of one gradient bucket, and their gradients, as views of one tensor each.

Parameters that are not trained stand behind the others, and have no gradients.
Under ZeRO each replica owns an equal part of a bucket. Where it shards gradients or parameters too, the flat tensors
are whole for a while only: their memory comes and goes, the views stay (as FSDP does). A token embedding that first and
last stage share is divided on its own: both stages then own the same rows of it on the same replica, and can add their
gradients (as Megatron-LM gives a shared embedding a bucket of its own).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import torch

from simulator.executor.held import Held

Regions = tuple[tuple[int, int], ...]
"""(first, length) pieces of a flat tensor."""


@dataclass
class FlatBucket:
    """weights, gradients: flat tensors; `views` are the parameters, each with its `main_grad`.

    regions: (first, length) pieces of what is trained that are divided among replicas on their own. all_regions: those,
    and the frozen parameters'.
    reduced: this replica's part of the summed gradient (all of it without ZeRO).
    own: this replica's part of the parameters, where nobody keeps all of them. arrived: [replicas, part], what a gather
    has brought. outgoing: [replicas, part], gradients that wait to be reduced; incoming: this replica's part of their
    sum, which copies of it have yet to add up. encoded: what a compressor works on, from encoding to decoding; state:
    what it remembers from step to step.
    """

    name: str
    held: tuple[Held, ...]
    weights: torch.Tensor
    gradients: torch.Tensor
    views: dict[str, torch.Tensor]
    places: dict[str, tuple[int, int]]
    regions: Regions
    all_regions: Regions
    reduced: torch.Tensor | None = None
    own: torch.Tensor | None = None
    arrived: torch.Tensor | None = None
    outgoing: torch.Tensor | None = None
    incoming: torch.Tensor | None = None
    encoded: torch.Tensor | None = None
    state: dict = field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, held: tuple[Held, ...], start: Callable[[Held], torch.Tensor], parameters: torch.dtype,
        gradients: torch.dtype, device: torch.device,
    ) -> FlatBucket:  # fmt: skip
        """start: the first value of a parameter's shard; it must have the shape that the program counts."""
        trained, frozen = ([one for one in held if one.parameter.frozen == still] for still in (False, True))
        weights = torch.zeros(sum(prod(one.shape) for one in held), dtype=parameters, device=device)
        sums = torch.zeros(sum(prod(one.shape) for one in trained), dtype=gradients, device=device)
        views, places, at = {}, {}, 0
        for one in (*trained, *frozen):
            count = prod(one.shape)
            value = start(one)
            if tuple(value.shape) != one.shape:
                raise AssertionError(f"{one.parameter.name} is {tuple(value.shape)}, the model counts {one.shape}")
            weights[at : at + count] = value.reshape(-1).to(parameters)
            view = weights[at : at + count].view(one.shape).detach()
            if not one.parameter.frozen:
                view.requires_grad_()
                view.main_grad = sums[at : at + count].view(one.shape)
            views[one.parameter.name], places[one.parameter.name] = view, (at, count)
            at += count
        regions = _regions(trained, places)
        return cls(name, held, weights, sums, views, places, regions, regions + _regions(frozen, places))

    @property
    def numel(self) -> int:
        """Of what is trained."""
        return self.gradients.numel()

    @property
    def trained_weights(self) -> torch.Tensor:
        return self.weights[: self.numel]

    def collect_autograd(self) -> None:
        """Adds what autograd left in `.grad` to the accumulated gradients."""
        for view in self.views.values():
            if view.grad is not None:
                view.main_grad.add_(view.grad)
                view.grad = None

    def stage_parts(self, flat: torch.Tensor, replicas: int, regions: Regions | None = None) -> torch.Tensor:
        """[replicas, part]: row d holds what replica d owns; the ends of regions are padded with zeros.

        regions: default: of what is trained.
        """
        pieces = [flat.new_empty((replicas, 0))]
        for first, length in self.regions if regions is None else regions:
            part = -(-length // replicas)
            piece = flat[first : first + length]
            if part * replicas > length:
                piece = torch.cat([piece, piece.new_zeros(part * replicas - length)])
            pieces.append(piece.view(replicas, part))
        return pieces[1] if len(pieces) == 2 else torch.cat(pieces, dim=1)

    def unpack(self) -> None:
        """Makes the weights whole from what has arrived. What autograd has saved of them is the same as before, so
        their version does not change."""
        hold(self.weights)
        with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(self.weights):
            self.unstage_parts(self.arrived, self.weights, self.all_regions)
        self.arrived = None

    def pack(self, replicas: int, dtype: torch.dtype) -> None:
        """Copies the gradients into `outgoing`, in the order of `stage_parts`."""
        parts = [-(-length // replicas) for _, length in self.regions]
        self.outgoing = self.gradients.new_zeros((replicas, sum(parts)), dtype=dtype)
        at = 0
        for (first, length), part in zip(self.regions, parts, strict=True):
            whole = length // part
            full = self.gradients[first : first + whole * part]
            self.outgoing[:whole, at : at + part] = full.view(whole, part)
            if whole < replicas:
                rest = self.gradients[first + whole * part : first + length]
                self.outgoing[whole, at : at + rest.numel()] = rest
            at += part

    def unstage_parts(self, parts: torch.Tensor, flat: torch.Tensor, regions: Regions | None = None) -> None:
        """Writes [replicas, part] back in the order of `flat`: the inverse of `stage_parts`."""
        replicas, at = parts.shape[0], 0
        for first, length in self.regions if regions is None else regions:
            part = -(-length // replicas)
            whole, rest = divmod(length, part)
            flat[first : first + whole * part].view(whole, part).copy_(parts[:whole, at : at + part])
            if rest:
                flat[first + whole * part : first + length] = parts[whole, at : at + rest]
            at += part


def hold(flat: torch.Tensor) -> None:
    """A flat tensor has its memory again, with nothing in it."""
    flat.untyped_storage().resize_(flat.numel() * flat.element_size())


def let_go(flat: torch.Tensor) -> None:
    """A flat tensor's memory is free; its views stay and mean nothing until it is held again."""
    flat.untyped_storage().resize_(0)


def _regions(held: Sequence[Held], places: dict[str, tuple[int, int]]) -> Regions:
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

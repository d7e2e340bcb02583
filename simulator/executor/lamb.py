"""LAMB over whole flat buckets (arXiv 1904.00962, algorithm 2, as apex's FusedLAMB runs it): Adam's step of each
parameter, made as long as the parameter is.

A parameter's norm is over all its shards: where tensor ranks or replicas share it, their sums of squares are added in
messages of two numbers a parameter, for which the program has no word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from simulator.executor.flat import FlatBucket
from simulator.executor.groups import Group

BETAS, EPSILON, WEIGHT_DECAY = (0.9, 0.999), 1e-6, 0.01
"""FusedLAMB's defaults."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Layers:
    """Where each parameter lies in a flat tensor. runs: (parameter, first, behind the last). count: parameters.

    summed: [2, count] sums of squares of this rank's shards become those of whole parameters.
    """

    runs: tuple[tuple[int, int, int], ...]
    count: int
    summed: Callable[[torch.Tensor], torch.Tensor]

    @classmethod
    def of(cls, bucket: FlatBucket, shard: Group | None, tensor: Group) -> Layers:
        """shard: of replicas, of which each owns a part of the bucket; None: each has all of it."""
        trained = [one.parameter for one in bucket.held if not one.parameter.frozen]
        number = torch.cat([torch.full((bucket.places[one.name][1],), place) for place, one in enumerate(trained)])
        if shard is not None:
            number = bucket.stage_parts(number, shard.size)[shard.index]
        values, counts = torch.unique_consecutive(number, return_counts=True)
        ends = counts.cumsum(0)
        runs = zip(values.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
        whole = torch.tensor([one.axis == "none" for one in trained], device=bucket.weights.device)
        return cls(tuple(runs), len(trained), partial(_over_shards, shard, tensor, whole))

    def norms(self, *parts: torch.Tensor) -> torch.Tensor:
        """[parts, count]: each parameter's norm in every one of these flat tensors."""
        squares = parts[0].new_zeros((len(parts), self.count))
        for own, part in zip(squares, parts, strict=True):
            for number, first, end in self.runs:
                own[number] += part[first:end].square().sum()
        return self.summed(squares).sqrt()


def update(weights: torch.Tensor, gradient: torch.Tensor, state: State, rate: float, layers: Layers) -> None:
    """One step on a flat tensor. state: kept by the caller, empty at first."""
    if not state:
        state["first"], state["second"] = torch.zeros_like(weights), torch.zeros_like(weights)
        state["steps"] = torch.zeros((), dtype=torch.float32, device=weights.device)
    state["steps"] += 1
    state["first"].lerp_(gradient, 1 - BETAS[0])
    state["second"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    corrections = [1 - beta ** int(state["steps"]) for beta in BETAS]
    step = (state["second"] / corrections[1]).sqrt_().add_(EPSILON)
    step = (state["first"] / corrections[0]).div_(step).add_(weights, alpha=WEIGHT_DECAY)
    of_weights, of_step = layers.norms(weights, step)
    ratio = torch.where((of_weights > 0) & (of_step > 0), of_weights / of_step, 1.0)
    for number, first, end in layers.runs:
        weights[first:end].sub_(step[first:end] * (rate * ratio[number]))


def _over_shards(shard: Group | None, tensor: Group, whole: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Sums over all who share the parameters. whole: which of them every tensor rank holds whole."""
    if shard is not None:
        squares = shard.begin_all_reduce(squares, squares.element_size(), priced=False).wait()
    over_tensor = tensor.begin_all_reduce(squares.clone(), squares.element_size(), priced=False).wait()
    return torch.where(whole, squares, over_tensor)

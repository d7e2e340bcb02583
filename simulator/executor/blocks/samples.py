"""Samples of one microbatch whose lengths differ, as rows of a rank's activations.

padded: the rows of `batch` samples of `seq` positions each; those behind a sample's end have no weight in the loss, and
no one that is real attends to them. packed: samples one behind the other, as if they were one long sample whose
attention is that of each sample alone; rows that fill it up to equal tensor shares are a sample of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from simulator.executor.blocks.env import Env
from simulator.model.blocks import Cut
from simulator.model.lengths import PACKED


def env_of(env: Env, cut: Cut, lengths: Sequence[int], layout: str) -> Env:
    """The same rank with a microbatch of these lengths. cut: what it works on then."""
    if layout == PACKED:
        filler = cut.tokens - sum(lengths)
        return replace(env, batch=1, seq=cut.tokens, lengths=(*lengths, *([filler] if filler else [])), packed=True)
    return replace(env, seq=cut.seq // env.context.size, lengths=tuple(lengths))


def rows_of(env: Env, array: torch.Tensor) -> torch.Tensor:
    """[samples, positions, ...] -> [rows, ...]: position p of sample b is row p * batch + b, or packed."""
    if env.packed:
        parts = [array[sample, :length] for sample, length in enumerate(env.lengths[: len(array)])]
        filler = env.seq - sum(len(part) for part in parts)
        return torch.cat([*parts, array.new_zeros((filler, *array.shape[2:]))])
    turned = array.transpose(0, 1)
    if env.context.size > 1 or env.lengths:
        turned = torch.cat([turned[at : at + count] for at, count in env.spans])
    return turned.reshape(-1, *turned.shape[2:])


def real_rows(env: Env, device: torch.device) -> torch.Tensor | None:
    """int64: the rows that are no padding; None where all are real, or fill up a pack."""
    if env.packed or not env.lengths:
        return None
    places = torch.cat([torch.arange(at, at + count) for at, count in env.spans])
    return (places[:, None] < torch.tensor(env.lengths)).reshape(-1).nonzero()[:, 0].to(device)


def by_sample(env: Env, whole: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Attention of [batch, heads, positions, width], sample by sample where they are packed."""
    if not env.packed:
        return whole

    def each(*parts: torch.Tensor) -> torch.Tensor:
        split = (part.split(list(env.lengths), dim=2) for part in parts)
        return torch.cat([whole(*own) for own in zip(*split, strict=True)], dim=2)

    return each


def seen_keys(env: Env, device: torch.device) -> torch.Tensor | None:
    """bool[batch, 1, 1, positions]: keys that are no padding; None where a causal mask hides the others, or all are."""
    if env.packed or not env.lengths or env.model.trunk.causal:
        return None
    return (torch.arange(env.seq, device=device) < torch.tensor(env.lengths, device=device)[:, None])[:, None, None]

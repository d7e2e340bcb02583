"""Samples of one microbatch whose lengths differ, as rows of a rank's activations.

padded: the rows of `batch` samples of `seq` positions each; those behind a sample's end have no weight in the loss, and
no one that is real attends to them. packed: samples one behind the other, as if they were one long sample whose
attention is that of each sample alone; rows that fill it up to equal shares are a sample of their own, or attend to
nothing. Which positions a rank of a context group has: `model/slices.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from simulator.executor.blocks.env import Env, Pack
from simulator.executor.context_parallel import Piece
from simulator.model import slices
from simulator.model.blocks import Cut


def env_of(env: Env, cut: Cut, lengths: Sequence[int]) -> Env:
    """The same rank with a microbatch of these lengths. cut: what it works on then."""
    if not cut.lengths:
        return replace(env, seq=cut.seq // env.context.size, lengths=tuple(lengths))
    runs = slices.packed_runs(cut, env.context.group.index, causal=bool(env.model.trunk.causal))
    filler = cut.tokens * env.context.size - sum(cut.lengths)
    return replace(env, batch=1, seq=cut.tokens, lengths=tuple(lengths), pack=Pack(runs, (*cut.lengths, filler)))


def rows_of(env: Env, array: torch.Tensor) -> torch.Tensor:
    """[samples, positions, ...] -> [rows, ...]: position p of sample b is row p * batch + b, or packed."""
    spans = chain(*env.pack.runs[: len(array)]) if env.pack else env.spans
    last = max((at + count for at, count in spans), default=0)
    if last > array.shape[1]:  # longer than any sample: filled up
        array = torch.cat([array, array.new_zeros((len(array), last - array.shape[1], *array.shape[2:]))], dim=1)
    if env.pack:
        own = zip(array, env.pack.runs, strict=False)
        parts = [sample[at : at + count] for sample, runs in own for at, count in runs]
        filler = env.seq - sum(len(part) for part in parts)
        return torch.cat([*parts, array.new_zeros((filler, *array.shape[2:]))])
    turned = array.transpose(0, 1)
    if env.context.size > 1 or env.lengths:
        turned = torch.cat([turned[at : at + count] for at, count in env.spans])
    return turned.reshape(-1, *turned.shape[2:])


def real_rows(env: Env, cut: Cut, device: torch.device) -> torch.Tensor | None:
    """int64: the rows that are no padding, of those that this rank's vectors belong to; None where all are. cut: of the
    microbatch."""
    rank, causal = env.context.group.index, bool(env.model.trunk.causal)
    real = slices.real_rows(cut, env.lengths, rank, causal=causal)
    if env.tensor.shards_sequence:
        real = slices.shares_of(real, cut)[env.tensor.group.index]
    return None if real.all() else torch.from_numpy(real.nonzero()[0]).to(device)


def sample_of_rows(env: Env, device: torch.device) -> torch.Tensor:
    """int64[rows]: the sample that each row of a pack is of; what fills it up counts as the first one's."""
    counts = torch.tensor([sum(count for _, count in runs) for runs in env.pack.runs], device=device)
    found = torch.arange(len(counts), device=device).repeat_interleave(counts)
    return found.masked_fill(found == len(env.lengths), 0)


def rows_of_ids(env: Env, cut: Cut, each: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(which of [samples * each], the rows that they stand at): the ids of a rank's own positions, of a table that is
    asked for `each` ids a sample. cut: of the microbatch."""
    rank, causal = env.context.group.index, bool(env.model.trunk.causal)
    lengths = np.array(env.lengths or (env.model.trunk.seq,) * env.batch)
    samples, places = slices.places_of_rows(cut, rank, causal=causal)
    counts = slices.ids_at_rows(cut, lengths, each, rank, causal=causal)
    if env.tensor.shards_sequence:
        samples, places, counts = (
            slices.shares_of(one, cut)[env.tensor.group.index] for one in (samples, places, counts)
        )
    rows = [np.nonzero(counts > turn)[0] for turn in range(counts.max(initial=0))]
    ids = [samples[own] * each + places[own] + turn * lengths[samples[own]] for turn, own in enumerate(rows)]
    none = np.zeros(0, np.int64)
    return tuple(torch.from_numpy(np.concatenate([none, *found])).to(device) for found in (ids, rows))


def by_sample(env: Env, whole: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Attention of [batch, heads, positions, width], sample by sample where they are packed."""
    if not env.pack:
        return whole

    def each(*parts: torch.Tensor) -> torch.Tensor:
        split = (part.split(list(env.pack.lengths), dim=2) for part in parts)
        return torch.cat([whole(*own) for own in zip(*split, strict=True) if own[0].shape[2]], dim=2)

    return each


def pieces_of(env: Env) -> tuple[Piece, ...]:
    """What attends to each other in a ring: all samples at once, where no query would see padding."""
    hides = not env.model.trunk.causal
    if not env.lengths or not (env.pack or hides):
        return (Piece(),)
    if not env.pack:
        return tuple(Piece(entry, 0, env.seq, length) for entry, length in enumerate(env.lengths))
    first, found = 0, []
    for runs, length in zip(env.pack.runs, env.lengths, strict=False):
        count = sum(count for _, count in runs)
        found.append(Piece(first=first, count=count, length=length if hides else None))
        first += count
    return tuple(found)


def seen_keys(env: Env, device: torch.device) -> torch.Tensor | None:
    """bool[batch, 1, 1, positions]: keys of whole samples that are no padding; None where a causal mask hides the
    others, or all are."""
    if env.pack or not env.lengths or env.model.trunk.causal:
        return None
    places = torch.arange(env.seq * env.context.size, device=device)
    return (places < torch.tensor(env.lengths, device=device)[:, None])[:, None, None]

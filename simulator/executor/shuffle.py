"""Samples on their way between replicas: what the length balancer decides, done.

Of a sample travels what its rank reads: on the first stage an id of each table and token, and the rows that are scored;
on the last one labels and their weights. One int64 a value, one row a position, samples one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from simulator.executor.batches import Batch, Microbatch
from simulator.executor.groups import Group
from simulator.model.lengths import Samples, deal
from simulator.policies.balancer import Order
from simulator.program.jagged import SAMPLE_BYTES


@dataclass(frozen=True)
class Loaded:
    """What a rank's own loader brought. lengths: of its samples. step: of the run."""

    batch: Batch
    lengths: tuple[int, ...]
    step: int


@dataclass(frozen=True)
class Reads:
    """What a rank reads of a sample: ids and scored rows; labels and weights."""

    ids: bool
    labels: bool

    def of(self, microbatch: Microbatch) -> np.ndarray:
        """int64[samples, positions, values]."""
        columns = []
        if self.ids:
            columns += [array[:, :, None] for array in microbatch.ids.values()]
            columns += [microbatch.scored] if microbatch.scored is not None else []
        if self.labels:
            columns += [microbatch.labels[:, :, None], microbatch.weights.view(np.int64)[:, :, None]]
        return np.concatenate(columns, axis=2) if columns else np.zeros((*microbatch.labels.shape, 0), np.int64)

    def into(self, values: np.ndarray, like: Microbatch) -> Microbatch:
        """A microbatch again; what is not read is zero."""
        place, ids, scored = 0, {}, None
        for name, array in like.ids.items():
            ids[name] = values[:, :, place] if self.ids else np.zeros_like(array)
            place += self.ids
        if like.scored is not None:
            width = like.scored.shape[2]
            scored = values[:, :, place : place + width] if self.ids else np.zeros_like(like.scored)
            place += width * self.ids
        if not self.labels:
            return Microbatch(ids, np.zeros_like(like.labels), np.zeros_like(like.weights), scored)
        weights = np.ascontiguousarray(values[:, :, place + 1]).view(np.float64)
        return Microbatch(ids, values[:, :, place], weights, scored)


def gather_lengths(lengths: Sequence[int], group: Group) -> tuple[int, ...]:
    """Of every sample of the global batch, replica after replica."""
    return tuple(group.all_gather(torch.tensor(lengths, dtype=torch.int64), SAMPLE_BYTES).tolist())


def exchange(
    loaded: Loaded, lengths: Sequence[int], order: Order, reads: Reads, group: Group
) -> tuple[Batch, tuple[Samples, ...], int]:
    """(this replica's samples in their new order, their lengths, bytes sent or received, whichever are more).

    lengths: of the whole global batch, as loaders brought it. order: by place in it.
    """
    microbatches = loaded.batch.microbatches
    each, first = len(loaded.lengths), group.index * len(loaded.lengths)
    values = np.concatenate([reads.of(one) for one in microbatches])
    leaving = [[place for place in own if first <= place < first + each] for own in order]
    coming = [[place for place in order[group.index] if source * each <= place < (source + 1) * each]
              for source in range(group.size)]  # fmt: skip
    sent, received = ([sum(lengths[place] for place in some) for some in way] for way in (leaving, coming))
    rows = [values[place - first, : lengths[place]] for some in leaving for place in some]
    size = SAMPLE_BYTES * values.shape[2] * max(sum(sent), sum(received))
    arrived = np.zeros((sum(received), 0), np.int64)
    if values.shape[2]:
        arrived = group.all_to_all(torch.from_numpy(np.concatenate(rows)), sent, received).numpy()
    places = [place for some in coming for place in some]
    starts = dict(zip(places, accumulate((lengths[place] for place in places), initial=0), strict=False))
    found = np.zeros((each, *values.shape[1:]), np.int64)
    for row, place in enumerate(order[group.index]):
        found[row, : lengths[place]] = arrived[starts[place] : starts[place] + lengths[place]]
    count = len(microbatches)
    taken = [lengths[place] for own in order for place in own]
    samples = deal(taken, group.size, count, each // count)[group.index]
    parts = [reads.into(part, like) for part, like in zip(np.split(found, count), microbatches, strict=True)]
    return Batch(tuple(parts), loaded.batch.total_weight), samples, size

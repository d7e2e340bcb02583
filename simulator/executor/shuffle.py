"""Samples on their way between replicas: what the length balancer decides, done.

Of a sample travels what its rank reads: on the first stage an id of each table and token, and the rows that are scored;
on the last one labels and their weights. One int64 a value, samples one behind the other: position after position, then
the ids of tables that are asked for a number of them a sample.
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
    """What a rank reads of a sample: ids and scored rows; labels and weights. of_samples: tables whose ids are no
    positions'."""

    ids: bool
    labels: bool
    of_samples: frozenset[str] = frozenset()

    def of(self, microbatch: Microbatch) -> np.ndarray:
        """int64[samples, positions, values]."""
        columns = []
        if self.ids:
            columns += [array[:, :, None] for name, array in microbatch.ids.items() if name not in self.of_samples]
            columns += [microbatch.scored] if microbatch.scored is not None else []
        if self.labels:
            columns += [microbatch.labels[:, :, None], microbatch.weights.view(np.int64)[:, :, None]]
        return np.concatenate(columns, axis=2) if columns else np.zeros((*microbatch.labels.shape, 0), np.int64)

    def bags_of(self, microbatch: Microbatch) -> np.ndarray:
        """int64[samples, lookups] of all those tables."""
        bags = [array for name, array in microbatch.ids.items() if name in self.of_samples and self.ids]
        return np.concatenate([np.zeros((len(microbatch.labels), 0), np.int64), *bags], axis=1)

    def into(self, values: np.ndarray, bags: np.ndarray, like: Microbatch) -> Microbatch:
        """A microbatch again; what is not read is zero."""
        place, bag, ids, scored = 0, 0, {}, None
        for name, array in like.ids.items():
            if not self.ids:
                ids[name] = np.zeros_like(array)
            elif name in self.of_samples:
                ids[name] = bags[:, bag : bag + array.shape[1]]
                bag += array.shape[1]
            else:
                ids[name] = values[:, :, place]
                place += 1
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
    bags = np.concatenate([reads.bags_of(one) for one in microbatches])
    width, behind = values.shape[2], bags.shape[1]
    leaving = [[place for place in own if first <= place < first + each] for own in order]
    coming = [[place for place in order[group.index] if source * each <= place < (source + 1) * each]
              for source in range(group.size)]  # fmt: skip

    def long(places: Sequence[int]) -> int:
        return sum(lengths[place] * width + behind for place in places)

    sent, received = (list(map(long, way)) for way in (leaving, coming))
    rows = [part for some in leaving for place in some
            for part in (values[place - first, : lengths[place]].reshape(-1), bags[place - first])]  # fmt: skip
    size = SAMPLE_BYTES * max(sum(sent), sum(received))
    arrived = np.zeros(0, np.int64)
    if width + behind:
        arrived = group.all_to_all(torch.from_numpy(np.concatenate(rows)), sent, received).numpy()
    places = [place for some in coming for place in some]
    starts = dict(zip(places, accumulate((long([place]) for place in places), initial=0), strict=False))
    found, found_bags = np.zeros_like(values), np.zeros_like(bags)
    for row, place in enumerate(order[group.index]):
        own = arrived[starts[place] : starts[place] + long([place])]
        found[row, : lengths[place]] = own[: lengths[place] * width].reshape(-1, width)
        found_bags[row] = own[lengths[place] * width :]
    count = len(microbatches)
    taken = [lengths[place] for own in order for place in own]
    samples = deal(taken, group.size, count, each // count)[group.index]
    split = zip(np.split(found, count), np.split(found_bags, count), microbatches, strict=True)
    parts = [reads.into(*part) for part in split]
    return Batch(tuple(parts), loaded.batch.total_weight), samples, size

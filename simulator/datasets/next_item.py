"""Next-item prediction: histories -> batches for the executor, and what a trained model is asked afterwards.

The simulator's lengths are fixed, so every sample is a window of the model's `seq` positions: longer histories are cut
to a window drawn anew each time, shorter ones are padded behind their last item with id 0, which has no weight in the
loss. Padding behind is never attended to by a causal model.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from simulator.costs.sampling import raw_integers
from simulator.datasets import movielens
from simulator.datasets.histories import Histories, generated
from simulator.errors import ScenarioError
from simulator.executor.batches import TOKENS, Batch, share_of
from simulator.model.blocks import sparse_tables
from simulator.model.blocks.embedding import token_table

PADDING = 0


def movielens_batches(scenario, step: int, data_rank: int) -> Batch:
    """A source for `execute`: MovieLens-100K, which must have been fetched."""
    return _share(scenario, movielens.load(), step, data_rank)


def generated_batches(scenario, step: int, data_rank: int) -> Batch:
    """A source for `execute`: the generator's histories, by the scenario's seed."""
    return _share(scenario, _generated(scenario.seed), step, data_rank)


def windows(
    sequences: tuple[np.ndarray, ...], *, seed: int, step: int, samples: int, seq: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, labels, weights) of one global batch: int64, int64, float64 [samples, seq].

    Users come in a new order each epoch, every one once; of a long history a window begins anywhere.
    """
    users = len(sequences)
    places = np.arange(step * samples, (step + 1) * samples)
    epochs = {int(epoch): _order(seed, int(epoch), users) for epoch in dict.fromkeys((places // users).tolist())}
    starts = raw_integers(seed, "next_item", "starts", step, samples)
    ids = np.full((samples, seq), PADDING, dtype=np.int64)
    labels, weights = ids.copy(), np.zeros((samples, seq))
    for row, place in enumerate(places.tolist()):
        whole = sequences[epochs[place // users][place % users]]
        first = int(starts[row] % np.uint64(max(0, len(whole) - seq - 1) + 1))
        window = whole[first : first + seq + 1]
        ids[row, : len(window) - 1], labels[row, : len(window) - 1] = window[:-1], window[1:]
        weights[row, : len(window) - 1] = 1.0
    return ids, labels, weights


def contexts(histories: Histories, seq: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids int64[users, seq], last int64[users]): what the model sees before the held-out item, and the position of the
    last item that it sees."""
    ids = np.full((len(histories.sequences), seq), PADDING, dtype=np.int64)
    last = np.zeros(len(ids), dtype=np.int64)
    for row, seen in enumerate(histories.training()):
        seen = seen[-seq:]
        ids[row, : len(seen)], last[row] = seen, len(seen) - 1
    return ids, last


def ndcg(scores: np.ndarray, histories: Histories, k: int = 10) -> float:
    """Mean NDCG@k of the held-out items among all items that a user has not had. scores: float[users, rows].

    One item is relevant, so a user's NDCG is 1 / log2(1 + rank) where the rank is at most k, else 0 (SASRec, arXiv
    1808.09781, section 4.2, without its sampling of 100 negatives). Equal scores count against the model.
    """
    total = 0.0
    for own, seen, target in zip(scores, histories.training(), histories.held_out().tolist(), strict=True):
        masked = own[: histories.items + 1].astype(np.float64)
        wanted = masked[target]
        masked[seen] = masked[PADDING] = -np.inf
        masked[target] = -np.inf
        rank = 1 + int((masked >= wanted).sum())
        total += 1.0 / np.log2(1 + rank) if rank <= k else 0.0
    return total / len(scores)


def check_rows(scenario, items: int) -> str:
    """The name under which the model's batches hold items. Raises ScenarioError where it has none, or too few rows."""
    model = scenario.model
    if token := token_table(model):
        name, rows = TOKENS, token[0]
    elif model.head.table is not None and [table.name for table in sparse_tables(model)] == [model.head.table]:
        name, rows = model.head.table, model.table(model.head.table).rows
    else:
        raise ScenarioError("next-item prediction needs one table of items, which the head scores", key="model.head")
    if rows <= items:
        raise ScenarioError(
            f"{rows} rows do not hold {items} items and the padding; use {items + 1} or more", key="model.tables"
        )
    return name


@lru_cache(maxsize=2)
def _generated(seed: int) -> Histories:
    return generated(seed)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, users: int) -> np.ndarray:
    return np.argsort(raw_integers(seed, "next_item", "users", epoch, users), kind="stable")


def _share(scenario, histories: Histories, step: int, data_rank: int) -> Batch:
    name = check_rows(scenario, histories.items)
    ids, labels, weights = _global(scenario, histories, step)
    scored = None
    if name != TOKENS:  # the positive, then negatives drawn evenly
        shape = (*labels.shape, scenario.model.head.negatives)
        raw = raw_integers(scenario.seed, "next_item", "negatives", step, int(np.prod(shape)))
        negatives = 1 + (raw % np.uint64(histories.items)).astype(np.int64).reshape(shape)
        scored = np.concatenate([labels[:, :, None], negatives], axis=2)
    return share_of(scenario, data_rank, {name: ids}, labels, weights, scored)


@lru_cache(maxsize=4)
def _global(scenario, histories: Histories, step: int):
    return windows(
        histories.training(), seed=scenario.seed, step=step, samples=scenario.plan.global_batch,
        seq=scenario.model.trunk.seq,
    )  # fmt: skip

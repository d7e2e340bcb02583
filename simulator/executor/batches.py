"""Batches: what a step trains on. A source is any function (scenario, step, data_rank) -> Batch.

The default one draws ids from each table's own distribution (tokens: Zipf), seeded, and needs nothing but numpy. The
global batch of a step is a function of (seed, step) alone: replicas take consecutive samples of it, so that every plan
trains on the same samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator.model.blocks import sparse_tables
from simulator.model.blocks.embedding import token_table
from simulator.model.lookups import is_positional
from simulator.model.spec import ModelSpec, Table, UniformIds, ZipfIds

TOKEN_IDS = ZipfIds(kind="zipf", alpha=1.05)
"""Assumed for tokens, which have no `ids` of their own: the exponent that `model/spec.py` gives tables by default."""

MASKED_SHARE = 0.15
"""Share of the positions that a bidirectional model predicts (arXiv 1810.04805)."""

TOKENS = "tokens"


@dataclass(frozen=True)
class Microbatch:
    """ids: int64[samples, positions] for "tokens" and for each sparse table by name; of one that is asked for a number
    of ids a sample, [samples, lookups]. labels: int64[samples, positions]:
    the row to predict, or 0/1 for a binary head without table. weights: float64[samples, positions] in the loss, 0 for
    padding. scored: int64[samples, positions, 1 + negatives], rows of the head's table, the positive first. numbers:
    float64[samples, features], the input of a DLRM's bottom MLP."""

    ids: dict[str, np.ndarray]
    labels: np.ndarray
    weights: np.ndarray
    scored: np.ndarray | None = None
    numbers: np.ndarray | None = None


@dataclass(frozen=True)
class Batch:
    """One data rank's microbatches of one step, in order. total_weight: the sum of `weights` over the whole global
    batch; the loss of a step is the weighted sum over all ranks divided by it."""

    microbatches: tuple[Microbatch, ...]
    total_weight: float


Source = Callable[[object, int, int], Batch]


def synthetic(scenario, step: int, data_rank: int) -> Batch:
    """Seeded ids; the label of a position is the next position's id (bidirectional: its own)."""
    whole = _global_batch(scenario, step)
    return share_of(scenario, data_rank, *whole)


def share_of(
    scenario, data_rank: int, ids: dict[str, np.ndarray], labels: np.ndarray, weights: np.ndarray,
    scored: np.ndarray | None = None, numbers: np.ndarray | None = None,
) -> Batch:  # fmt: skip
    """A data rank's part of a global batch whose arrays begin with the samples of all ranks."""
    plan, size = scenario.plan, scenario.plan.microbatch
    first = sum(plan.counts[:data_rank]) * size if plan.counts else data_rank * plan.microbatches * size
    microbatches = []
    for start in range(first, first + plan.microbatches_of(data_rank) * size, size):
        rows = slice(start, start + size)
        microbatches.append(
            Microbatch(
                {name: array[rows] for name, array in ids.items()},
                labels[rows], weights[rows], None if scored is None else scored[rows],
                None if numbers is None else numbers[rows],
            )
        )  # fmt: skip
    return Batch(tuple(microbatches), float(weights.sum()))


@lru_cache(maxsize=4)
def _global_batch(scenario, step: int):
    model, samples, seq = scenario.model, scenario.plan.global_batch, scenario.model.trunk.seq
    generator = np.random.Generator(np.random.Philox(key=[scenario.seed, step]))
    drawn = {}
    if token := token_table(model):
        drawn[TOKENS] = draw_ids(generator, TOKEN_IDS, token[0], (samples, seq + 1))
    for table in sparse_tables(model):
        asked = seq + 1 if is_positional(table) else table.lookups_per_sample
        drawn[table.name] = draw_ids(generator, table.ids, table.rows, (samples, asked))
    of_samples = {table.name for table in model.tables if not is_positional(table)}
    ids = {name: array if name in of_samples else array[:, :-1] for name, array in drawn.items()}
    followed = {name: array[:, 1:] for name, array in drawn.items() if name not in of_samples}
    weights, scored = np.ones((samples, seq)), None
    if scenario.samples_differ:
        weights[:] = np.arange(seq) < np.array(scenario.lengths(step))[:, None]
    head = model.head
    if head.kind in ("lm", "full_softmax"):
        named = head.table if head.table in drawn else TOKENS
        labels = _following(generator, model, named, followed, (samples, seq))
        if not model.trunk.causal:
            masked = generator.random((samples, seq)) < MASKED_SHARE
            masked[:, 0] = True  # every sample has something to learn
            weights = weights * masked
            if named not in of_samples:
                labels, ids[named] = ids[named], np.where(masked, 0, ids[named])
    elif head.table is not None:
        table: Table = model.table(head.table)
        labels = _following(generator, model, head.table, followed, (samples, seq))
        negatives = draw_ids(generator, UniformIds(), table.rows, (samples, seq, head.negatives))
        scored = np.concatenate([labels[:, :, None], negatives], axis=2)
    else:
        labels = (generator.random((samples, seq)) < 0.5).astype(np.int64)
    numbers = _numbers(generator, (samples, model.dense.features)) if model.is_dlrm else None
    return ids, labels, weights, scored, numbers


def _following(
    generator: np.random.Generator, model: ModelSpec, named: str, followed: dict[str, np.ndarray], shape: tuple
) -> np.ndarray:  # fmt: skip
    """What a model predicts at each position: the next one's id. Of a table whose ids stand for no history, some id."""
    if named in followed:
        return followed[named]
    table = model.table(named)
    return draw_ids(generator, table.ids, table.rows, shape)


def _numbers(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """What a DLRM makes of Criteo's counters, log(1 + count) (facebookresearch/dlrm, data_utils.py); counts n with
    P(n or more) = 1 / (n + 1)."""
    return np.log(np.floor(1.0 / (1.0 - generator.random(shape))))


def draw_ids(generator: np.random.Generator, ids, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    """Rows that are looked up, row 0 the most frequent one. ids: their distribution."""
    uniform = generator.random(shape)
    if ids.kind == "uniform":
        return (uniform * rows).astype(np.int64)
    return np.searchsorted(_cumulative(ids.alpha, rows), uniform, side="right").astype(np.int64)


@lru_cache(maxsize=8)
def _cumulative(alpha: float, rows: int) -> np.ndarray:
    mass = np.cumsum(np.arange(1, rows + 1, dtype=np.float64) ** -alpha)
    return mass[:-1] / mass[-1]

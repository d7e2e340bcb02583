"""A DLRM's synthetic rows: as many ids as are asked for, counters like Criteo's, the same rows whatever the plan."""

from __future__ import annotations

import numpy as np
from small_scenarios import scenario

from simulator.executor.batches import synthetic


def rows_of(replicas: int, seed: int = 0, **keys):
    built = scenario("dlrm_dot", data=replicas, global_batch=64, microbatch=64 // replicas,
                     sets=(f"seed={seed}",), **keys)  # fmt: skip
    return [one for rank in range(replicas) for one in synthetic(built, 0, rank).microbatches]


def test_ids_of_a_table_are_its_lookups_and_lie_in_it():
    (batch,) = rows_of(1)
    assert {name: ids.shape for name, ids in batch.ids.items()} == {"user": (64, 1), "tags": (64, 4), "shops": (64, 3)}
    assert all(ids.min() >= 0 and ids.max() < rows for ids, rows in zip(batch.ids.values(), (53, 29, 11), strict=True))
    assert batch.labels.shape == batch.weights.shape == (64, 1)
    assert set(np.unique(batch.labels)) == {0, 1}


def test_replicas_take_consecutive_rows_of_one_batch():
    (whole,), parts = rows_of(1), rows_of(4)
    np.testing.assert_array_equal(np.concatenate([part.numbers for part in parts]), whole.numbers)
    np.testing.assert_array_equal(np.concatenate([part.ids["tags"] for part in parts]), whole.ids["tags"])
    (other,) = rows_of(1, seed=1)
    assert not np.array_equal(other.numbers, whole.numbers)


def test_numbers_are_logs_of_heavy_tailed_counts():
    """P(count >= n) = 1 / (n + 1): half are 0, a quarter reach 3, a tenth 9."""
    numbers = np.concatenate([rows_of(1, seed=seed)[0].numbers for seed in range(40)])
    counts = np.rint(np.exp(numbers) - 1)
    np.testing.assert_allclose(np.log1p(counts), numbers, atol=1e-12)
    for least, share in ((1, 1 / 2), (3, 1 / 4), (9, 1 / 10)):
        assert abs((counts >= least).mean() - share) < 4 * np.sqrt(share * (1 - share) / counts.size)

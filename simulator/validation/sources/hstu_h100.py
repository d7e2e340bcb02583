"""HSTU ranking on 16 H100: the step. What its kernels take by family is `hstu_kernels`'."""

from __future__ import annotations

from typing import Any

from simulator.scenario.presets.hstu import ROWS, hstu_nv_ranking
from simulator.validation.cases import Case, scenario

CITATION = (
    "github NVIDIA/recsys-examples 43465aeabf61, examples/hstu/training/benchmark, E2E_BENCHMARK.md, PERF_ANALYSIS.md"
)
READINGS = (
    "two DGX H100, batch 32 a GPU, all sequences 4,099 long (the analysis' own case): 2,048 items, as many actions, 3",
    "the step is 185 ms, the fastest that was profiled (187 is the median); the terms of its breakdown sum to as much",
    "item and user tables are dealt out row by row over all ranks (hash, round robin), the three of 50 to 100 rows are "
    "on every rank; ids are sent once (use_index_dedup, distributed/sharding.py), rows updated in the backward pass, "
    "dense gradients reduced behind it (overlap_grad_reduce=False)",
    "item ids are numpy's zipf(1.05), which nothing bounds (RandomDistribution without `high`, hstu_batch.py): a third "
    "lie beyond 50M, where no two are the same, and hash tables take them; they stand as a table of their own",
    "20 batches are drawn and come round again: their rows are twice what the cache holds, which drops the oldest",
    "attention's backward is fitted (hstu_kernels), and is a third of the step",
)

STEP_S = 0.185
ITEMS = 2048
BEYOND = 719
"""Of a sample's items, 0.351. P(k) ~ k^-1.05 up to 2^63 would put 0.327 beyond 50M; numpy takes every k above 10^16
(1 + 1/k is 1 there), where it should refuse a third."""


def cases() -> tuple[Case, ...]:
    """One row."""
    return (Case("hstu_h100", "HSTU on 16 H100", hstu_scenario(), STEP_S, "step"),)


def hstu_scenario() -> dict[str, Any]:
    """The analysis' run of fixed lengths."""
    return scenario(
        "HSTU ranking on 16 H100",
        model={"preset": "hstu_nv_ranking", "tables": _tables()},
        dtype="bf16",
        optimizer="adam",
        cluster={"preset": "dgx_h100", "nodes": 2},
        plan={
            "data": 16, "microbatch": 32, "global_batch": 512, "overlap": {"grad_reduce": False},
            "embedding_sharding": {
                "item": "row_wise", "beyond": "row_wise", "user": "row_wise",
                "action": "data_parallel", "user_age": "data_parallel", "item_category_l1": "data_parallel",
            },
            "embedding_dedup": True, "embedding_fused_optimizer": True,
        },
    )  # fmt: skip


def _tables() -> list[dict[str, Any]]:
    """What generate_gin_config.py writes, and what it draws."""
    item, user = hstu_nv_ranking()["tables"]
    small = {key: item[key] for key in ("dim", "pooling", "optimizer", "dtype")} | {"ids": {"kind": "uniform"}}
    return [
        {**item, "lookups_per_sample": ITEMS - BEYOND},
        {**item, "name": "beyond", "rows": ROWS, "lookups_per_sample": BEYOND, "ids": {"kind": "uniform"},
         "cache_fraction": 0.0},
        user,
        {**small, "name": "action", "rows": 100, "lookups_per_sample": ITEMS},
        {**small, "name": "user_age", "rows": 100, "lookups_per_sample": 1},
        {**small, "name": "item_category_l1", "rows": 50, "lookups_per_sample": 1},
    ]  # fmt: skip

"""HSTU: generative recommenders."""

from __future__ import annotations

from typing import Any

ROWS = 50_000_000


def hstu_nv_ranking() -> dict[str, Any]:
    """HSTU ranking, 8 layers of width 1024, 4 heads of 256, item and user tables of 50M rows in host memory.

    NVIDIA/recsys-examples at 43465aeabf61, examples/hstu/training/benchmark: E2E_BENCHMARK.md (layers, width, heads,
    tables of 50M x 128, prediction head [512, 8], Adam), PERF_ANALYSIS.md (fixed T = 4099: 4,096 events and 3
    contextual features), scripts/generate_gin_config.py (10 % of the rows cached on the GPU), experiments.txt (item ids
    Zipf 1.05). The layer is that of Zhai et al. 2024, arXiv 2402.17152. Not modelled: the three tables of at most 100
    rows (action, user_age, item_category_l1), whose lookups are counted as the item table's.
    """
    table = {
        "dim": 128,
        "pooling": "none",
        "optimizer": "adam",
        "dtype": "fp32",
        "ids": {"kind": "zipf", "alpha": 1.05},
        "placement": "host",
        "cache_fraction": 0.1,
    }
    return {
        "trunk": {
            "block": "hstu",
            "layers": 8,
            "hidden": 1024,
            "heads": 4,
            "head_dim": 256,
            "ffn": 0,
            "vocab": 0,
            "seq": 4099,
            "causal": True,
        },
        "tables": [
            {"name": "item", "rows": ROWS, **table},
            {"name": "user", "rows": ROWS, "lookups_per_sample": 1, **table},
        ],
        "head": {"kind": "binary"},
        "dense": {"top": [512, 8]},
    }

"""HSTU: generative recommenders."""

from __future__ import annotations

from typing import Any

from simulator.scenario.presets.sasrec import ml20m_items

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


def hstu_ml20m_large() -> dict[str, Any]:
    """HSTU-large on MovieLens-20M: 16 layers of width 256, 8 heads, 200 items a sample, sampled softmax, 128 negatives.

    facebookresearch/generative-recommenders, configs/ml-20m/hstu-sampled-softmax-n128-large-final.gin (num_blocks 16,
    num_heads 8, dqk and dv 32, item_embedding_dim 256, num_negatives 128, max_sequence_length 200), the HSTU-large of
    Zhai et al. 2024, arXiv 2402.17152, table 4; the table has a row for every id up to the largest and one for padding.
    Not modelled: its learned positions, and the 11 output positions that its trainer pads each sample with.
    """
    return {
        "trunk": {
            "block": "hstu",
            "layers": 16,
            "hidden": 256,
            "heads": 8,
            "head_dim": 32,
            "ffn": 0,
            "vocab": 0,
            "seq": 200,
            "causal": True,
        },
        "tables": [ml20m_items(dim=256)],
        "head": {"kind": "sampled_softmax", "table": "item", "negatives": 128},
    }


def dlrmv3_mlperf() -> dict[str, Any]:
    """DLRMv3 of MLPerf: HSTU of 5 layers of width 512, 4 heads, 16,384 positions, item table of 1e9 rows x 512 in fp16.

    github mlcommons/training, recommendation_v4/generative_recommenders/dlrm_v3: configs.py (5 layers, 4 heads, dqk and
    dv 128, HSTU_EMBEDDING_DIM 512, tables of streaming-100b: item 1e9, category 128, user 1e7 rows, FP16) and
    train/gin/streaming_100b.gin (RowWiseAdagrad for tables). 16,384 positions: the longest history of its data.
    Not modelled: the preprocessor's MLPs and the separate pass over candidates; one logit is made at each position.
    """
    table = {
        "dim": 512,
        "pooling": "none",
        "optimizer": "rowwise_adagrad",
        "dtype": "fp16",
        "ids": {"kind": "zipf", "alpha": 1.05},
    }
    return {
        "trunk": {
            "block": "hstu",
            "layers": 5,
            "hidden": 512,
            "heads": 4,
            "head_dim": 128,
            "ffn": 0,
            "vocab": 0,
            "seq": 16384,
            "causal": True,
        },
        "tables": [
            {"name": "item", "rows": 1_000_000_000, **table},
            {"name": "category", "rows": 128, **table},
            {"name": "user", "rows": 10_000_000, "lookups_per_sample": 1, **table},
        ],
        "head": {"kind": "binary"},
        "dense": {"top": [512, 1]},
    }

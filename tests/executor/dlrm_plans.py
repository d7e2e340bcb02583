"""DLRMs that the executor's tests run, and their plans (`plans.py`) by number of ranks."""

from __future__ import annotations

TABLES = [
    {"name": "user", "rows": 53, "dim": 8, "optimizer": "sgd", "pooling": "sum", "lookups_per_sample": 1},
    {"name": "tags", "rows": 29, "dim": 8, "optimizer": "sgd", "pooling": "sum", "lookups_per_sample": 4},
    {"name": "shops", "rows": 11, "dim": 8, "optimizer": "sgd", "pooling": "mean", "lookups_per_sample": 3,
     "ids": {"kind": "zipf", "alpha": 1.1}},
]  # fmt: skip
BOTTOM = {"features": 5, "bottom": [12, 8]}


def _dlrm(**dense):
    return {"trunk": {"block": "none"}, "tables": TABLES, "dense": {**BOTTOM, "top": [10, 6, 1], **dense}}


DLRMS = {
    "dlrm_dot": _dlrm(interaction="dot"),
    "dlrm_cat": _dlrm(interaction="cat"),
    "dlrm_cross": _dlrm(interaction="dcn_v2", cross_layers=2, cross_rank=4),
    "dlrm_tables": _dlrm(interaction="dot", bottom=[]),
    "mlp": {"trunk": {"block": "none"}, "dense": {**BOTTOM, "top": [10, 2]}},
}
KINDS = ("data_parallel", "row_wise", "table_wise", "column_wise")
CUT = {"embedding_columns": 4}
SMALL = {"bucket_mib": 0.0002}
SMALL_UNLESS = {1: SMALL, 2: SMALL, 3: {}}
"""By zero: blocks are not cut into buckets."""
MIXED = {"embedding_sharding": {"user": "table_wise", "tags": "column_wise", "shops": "row_wise"}, **CUT}

DLRM_PLANS = {
    2: [
        *(("dlrm_dot", {"data": 2, "embedding_sharding": kind, **CUT}) for kind in KINDS),
        ("dlrm_cross", {"data": 2, **SMALL, "microbatch": 1, "optimizer": "adam"}),
        ("dlrm_cat", {"data": 2, "zero": 1, "optimizer": "adam", "embedding_sharding": "table_wise"}),
        ("dlrm_cross", {"data": 2, "zero": 2, "optimizer": "adam"}),
        ("dlrm_dot", {"data": 2, "zero": 3, "embedding_sharding": "table_wise"}),
        ("dlrm_cross", {"data": 2, "zero": 3, "optimizer": "adagrad"}),
        ("dlrm_dot", {"data": 2, "schedule": "zb_h1", **MIXED}),
        ("dlrm_cross", {"data": 2, **SMALL, "overlap": {"grad_reduce": False}}),
        ("dlrm_cat", {"data": 2, **SMALL, "aggregation": {"order": "priority"}}),
        ("dlrm_tables", {"data": 2, **SMALL}),
        ("mlp", {"data": 2, **SMALL}),
        ("dlrm_dot", {"data": 2, "embedding_sharding": "row_wise", "sets": ("precision.vectors=bf16",)}),
        ("dlrm_dot", {"data": 2, "bottom_mlp": "one_rank", "embedding_sharding": "table_wise"}),
        ("dlrm_cross", {"data": 2, "bottom_mlp": "one_rank", "microbatch": 1, "optimizer": "adam", **SMALL}),
        ("dlrm_dot", {"data": 2, "bottom_mlp": "one_rank", "microbatch": 4, "embedding_fused_optimizer": True,
                      "embedding_sharding": "table_wise"}),
        *(("dlrm_cross", {"data": 2, "bottom_mlp": "one_rank", "optimizer": "adam", "zero": zero, **SMALL_UNLESS[zero]})
          for zero in (1, 2, 3)),
    ],
    4: [
        ("dlrm_dot", {"data": 4, "microbatch": 1, **MIXED}),
        ("dlrm_cross", {"data": 4, "nodes": 2, "embedding_sharding": "grid", **CUT}),
        ("dlrm_dot", {"data": 4, "bottom_mlp": "one_rank", **MIXED}),
        ("dlrm_dot", {"data": 4, "bottom_mlp": "one_rank", "zero": 3, "shard_group": 2, **MIXED}),
        ("dlrm_cat", {"data": 4, "nodes": 2, "embedding_sharding": "table_row_wise"}),
        ("dlrm_dot", {"data": 4, "embedding_sharding": "table_wise", "zero": 1, "optimizer": "adam", **SMALL}),
    ],
    8: [
        ("dlrm_dot", {"data": 8, "microbatch": 1, "embedding_sharding": "table_wise"}),
        ("dlrm_cross", {"data": 8, "microbatch": 1, **SMALL}),
        ("dlrm_dot", {"data": 8, "microbatch": 1, "bottom_mlp": "one_rank", "embedding_sharding": "table_wise"}),
        ("dlrm_cat", {"data": 8, "microbatch": 1, "nodes": 2, "embedding_sharding": "grid", **CUT}),
    ],
}  # fmt: skip

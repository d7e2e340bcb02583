"""The plans that are predicted and run: one small SASRec on two processes of this machine, cut in every way."""

from __future__ import annotations

from typing import Any

from simulator import scenario_from

RANKS = 2
GLOBAL_BATCH = 64
POSITIONS, WIDTH, LAYERS, HEADS = 50, 128, 4, 4
ROWS = 1683
"""MovieLens-100K's 1,682 items and the padding."""

TOP_K_DENSITY = 0.01
POWERSGD_RANK = 4

PLANS: dict[str, dict[str, Any]] = {
    "data 2": {"data": 2, "microbatch": 32},
    "data 2, bf16": {"data": 2, "microbatch": 32, "compression": {"method": "bf16"}},
    "data 2, top-k 1 %": {
        "data": 2, "microbatch": 32, "compression": {"method": "topk", "density": TOP_K_DENSITY},
    },
    "data 2, PowerSGD": {
        "data": 2, "microbatch": 32, "compression": {"method": "powersgd", "rank": POWERSGD_RANK},
    },
    "pipeline 2, gpipe m4": {"pipeline": 2, "microbatch": 16, "schedule": "gpipe"},
    "pipeline 2, 1f1b m4": {"pipeline": 2, "microbatch": 16, "schedule": "1f1b"},
    "pipeline 2, 1f1b m8": {"pipeline": 2, "microbatch": 8, "schedule": "1f1b"},
    "tensor 2": {"tensor": 2, "microbatch": 32},
}  # fmt: skip


def scenario(name: str, profile: str | None = None):
    """One plan, priced from a profile's file. Every plan trains on the same 64 histories a step."""
    return scenario_from(
        {
            "schema_version": 1,
            "name": name,
            "model": {
                "trunk": {"block": "sasrec", "layers": LAYERS, "hidden": WIDTH, "heads": HEADS, "ffn": WIDTH,
                          "vocab": 0, "seq": POSITIONS, "causal": True},
                "tables": [{"name": "item", "rows": ROWS, "dim": WIDTH, "pooling": "none", "optimizer": "adam",
                            "dtype": "fp32"}],
                "head": {"kind": "full_softmax", "table": "item", "tied": True},
            },
            "dtype": "fp32",
            "optimizer": "adam",
            "cluster": {"preset": "cpu_host", "gpus_per_node": RANKS},
            "profile": profile,
            "plan": {"data": 1, "global_batch": GLOBAL_BATCH, **PLANS[name]},
        }
    )  # fmt: skip

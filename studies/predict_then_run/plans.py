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

MORE_PLANS: dict[str, dict[str, Any]] = {
    "data 2, m2": {"data": 2, "microbatch": 16},
    "data 2, m4": {"data": 2, "microbatch": 8},
    "tensor 2, m4": {"tensor": 2, "microbatch": 16},
    "data 2, int8": {"data": 2, "microbatch": 32, "compression": {"method": "int8"}},
    "data 2, one bit": {"data": 2, "microbatch": 32, "compression": {"method": "onebit"}},
    "data 2, random-k 1 %": {
        "data": 2, "microbatch": 32, "compression": {"method": "randomk", "density": TOP_K_DENSITY},
    },
    "zero 1": {"data": 2, "microbatch": 32, "zero": 1},
    "zero 2, m2": {"data": 2, "microbatch": 16, "zero": 2},
    "zero 3": {"data": 2, "microbatch": 32, "zero": 3},
    "pipeline 2, gpipe m8": {"pipeline": 2, "microbatch": 8, "schedule": "gpipe"},
    "pipeline 2, zb_h1 m4": {"pipeline": 2, "microbatch": 16, "schedule": "zb_h1"},
    "pipeline 2, interleaved m4": {
        "pipeline": 2, "microbatch": 16, "schedule": "interleaved_1f1b", "virtual_stages": 2,
    },
}  # fmt: skip
"""Taken as well with `--plans 20`: enough to say how often an interval holds."""

ALL_PLANS = PLANS | MORE_PLANS


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
            "plan": {"data": 1, "global_batch": GLOBAL_BATCH, **ALL_PLANS[name]},
        }
    )  # fmt: skip

"""Scenarios of every block family on a few CPU ranks, large enough for activations to outweigh odds and ends."""

from __future__ import annotations

from simulator.scenario.loader import scenario_from

BASE = {"layers": 4, "hidden": 128, "heads": 4, "seq": 64}
MODELS = {
    "llama": {"trunk": {"block": "llama", **BASE, "kv_heads": 2, "vocab": 500}},
    "gpt": {"trunk": {"block": "gpt", **BASE, "vocab": 500}},
    "bert": {"trunk": {"block": "bert", **BASE, "vocab": 500}},
    "sasrec": {"trunk": {"block": "sasrec", **BASE},
               "tables": [{"name": "item", "rows": 500, "dim": 128}],
               "head": {"kind": "full_softmax", "table": "item"}},
    "sasrec_binary": {"trunk": {"block": "sasrec", **BASE},
                      "tables": [{"name": "item", "rows": 20_000, "dim": 64, "ids": {"kind": "zipf", "alpha": 1.05}}],
                      "head": {"kind": "binary", "table": "item"}},
    "hstu": {"trunk": {"block": "hstu", **BASE}, "tables": [{"name": "item", "rows": 20_000, "dim": 128}],
             "dense": {"top": [64, 4]}},
    "hstu_pooled": {"trunk": {"block": "hstu", **BASE},
                    "tables": [{"name": "item", "rows": 20_000, "dim": 128},
                               {"name": "tags", "rows": 5_000, "dim": 64, "pooling": "mean", "lookups_per_sample": 40}],
                    "dense": {"top": [64, 4]}},
    "hstu_users": {"trunk": {"block": "hstu", **BASE},
                   "tables": [{"name": "item", "rows": 20_000, "dim": 128},
                              {"name": "user", "rows": 5_000, "dim": 64, "lookups_per_sample": 16}],
                   "dense": {"top": [64, 4]}},
    "sasrec_pooled": {"trunk": {"block": "sasrec", **BASE},
                      "tables": [{"name": "item", "rows": 2_000, "dim": 128},
                                 {"name": "tags", "rows": 1_000, "dim": 256, "pooling": "mean",
                                  "lookups_per_sample": 40}],
                      "dense": {"top": [64, 4]}},
    "hstu_sampled": {"trunk": {"block": "hstu", **BASE, "layers": 2},
                     "tables": [{"name": "item", "rows": 20_000, "dim": 128}],
                     "head": {"kind": "sampled_softmax", "table": "item", "negatives": 8}},
}  # fmt: skip


def adapted(name: str, rank: int, *targets: str) -> dict:
    return {**MODELS[name], "adapter": {"kind": "lora", "rank": rank, "targets": list(targets)}}


ADAPTED = {
    "llama_lora": adapted("llama", 8, "q", "v"),
    "llama_lora_all": adapted("llama", 8, "q", "k", "v", "o", "gate", "up", "down"),
    "gpt_lora": adapted("gpt", 4, "k", "o", "down"),
    "gpt_lora_up": adapted("gpt", 4, "up"),
    "bert_lora": adapted("bert", 8, "q", "v", "down"),
    "sasrec_lora": adapted("sasrec_binary", 4, "q", "v", "up"),
    "hstu_lora": adapted("hstu", 4, "q", "v", "o"),
}
"""With LoRA adapters."""


def scenario(model: str, *, dtype: str = "fp32", optimizer: str = "adam", sets: tuple[str, ...] = (), **plan):
    """A scenario of as many CPU ranks as the plan's degrees say."""
    ranks = plan.get("tensor", 1) * plan.get("pipeline", 1) * plan.get("data", 1) * plan.get("context", 1)
    keys = {"data": 1, "microbatch": 8, "global_batch": 16, **plan}
    return scenario_from(
        {
            "schema_version": 1,
            "name": model,
            "model": (MODELS | ADAPTED)[model],
            "dtype": dtype,
            "optimizer": optimizer,
            "cluster": {"preset": "cpu_host", "gpus_per_node": ranks},
            "plan": keys,
        },
        sets,
    )

"""Small models of every block family, and scenarios that run them on a few processes of this machine."""

from __future__ import annotations

from math import prod

from dlrm_plans import DLRMS

from simulator.scenario.loader import scenario_from

MODELS = {
    "llama": {"trunk": {"block": "llama", "layers": 4, "hidden": 16, "heads": 4, "kv_heads": 2, "ffn": 24, "vocab": 37,
                        "seq": 8}},
    "gpt": {"trunk": {"block": "gpt", "layers": 4, "hidden": 16, "heads": 4, "vocab": 37, "seq": 8}},
    "bert": {"trunk": {"block": "bert", "layers": 4, "hidden": 16, "heads": 2, "vocab": 37, "seq": 8}},
    "sasrec": {"trunk": {"block": "sasrec", "layers": 4, "hidden": 16, "heads": 2, "seq": 8},
               "tables": [{"name": "item", "rows": 53, "dim": 16}],
               "head": {"kind": "full_softmax", "table": "item"}},
    "sasrec_narrow": {"trunk": {"block": "sasrec", "layers": 2, "hidden": 16, "heads": 2, "seq": 8},
                      "tables": [{"name": "item", "rows": 53, "dim": 6}],
                      "head": {"kind": "full_softmax", "table": "item"}},
    "hstu_untied": {"trunk": {"block": "hstu", "layers": 2, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
                    "tables": [{"name": "item", "rows": 53, "dim": 6, "optimizer": "sgd"}],
                    "head": {"kind": "full_softmax", "table": "item", "tied": False}},
    "sasrec_binary": {"trunk": {"block": "sasrec", "layers": 2, "hidden": 16, "heads": 2, "seq": 8},
                      "tables": [{"name": "item", "rows": 53, "dim": 8, "optimizer": "sgd",
                                  "ids": {"kind": "zipf", "alpha": 1.1}}],
                      "head": {"kind": "binary", "table": "item"}},
    "hstu": {"trunk": {"block": "hstu", "layers": 4, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
             "tables": [{"name": "item", "rows": 53, "dim": 16, "optimizer": "sgd"},
                        {"name": "action", "rows": 7, "dim": 4, "optimizer": "sgd"}],
             "dense": {"top": [12, 3]}},
    "hstu_sampled": {"trunk": {"block": "hstu", "layers": 2, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
                     "tables": [{"name": "item", "rows": 53, "dim": 16, "optimizer": "rowwise_adagrad"}],
                     "head": {"kind": "sampled_softmax", "table": "item", "negatives": 5}},
    "hstu_pooled": {"trunk": {"block": "hstu", "layers": 2, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
                    "tables": [{"name": "item", "rows": 53, "dim": 16, "optimizer": "sgd"},
                               {"name": "tags", "rows": 29, "dim": 16, "optimizer": "sgd", "pooling": "sum",
                                "lookups_per_sample": 3},
                               {"name": "shops", "rows": 11, "dim": 8, "optimizer": "sgd", "pooling": "mean",
                                "lookups_per_sample": 5, "ids": {"kind": "zipf", "alpha": 1.1}}],
                    "dense": {"top": [12, 3]}},
    "hstu_users": {"trunk": {"block": "hstu", "layers": 2, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
                   "tables": [{"name": "item", "rows": 53, "dim": 16, "optimizer": "sgd"},
                              {"name": "user", "rows": 19, "dim": 16, "optimizer": "sgd", "lookups_per_sample": 1},
                              {"name": "shops", "rows": 11, "dim": 8, "optimizer": "sgd", "lookups_per_sample": 3}],
                   "dense": {"top": [12, 3]}},
    "hstu_crowded": {"trunk": {"block": "hstu", "layers": 2, "hidden": 16, "heads": 4, "head_dim": 6, "seq": 8},
                     "tables": [{"name": "item", "rows": 53, "dim": 8, "optimizer": "sgd", "lookups_per_sample": 11}],
                     "head": {"kind": "sampled_softmax", "table": "item", "negatives": 3}},
    **DLRMS,
}  # fmt: skip


def adapted(name: str, rank: int, *targets: str) -> dict:
    """A model with LoRA adapters."""
    return {**MODELS[name], "adapter": {"kind": "lora", "rank": rank, "targets": list(targets)}}


MODELS |= {
    "llama_lora": adapted("llama", 3, "q", "v"),
    "llama_lora_all": adapted("llama", 2, "q", "k", "v", "o", "gate", "up", "down"),
    "llama_lora_down": adapted("llama", 2, "down"),
    "gpt_lora": adapted("gpt", 3, "k", "o", "up", "down"),
    "gpt_lora_out": adapted("gpt", 3, "o"),
    "bert_lora": adapted("bert", 2, "q", "v", "down"),
    "sasrec_lora": adapted("sasrec_binary", 2, "q", "v", "up"),
    "sasrec_lora_tied": adapted("sasrec", 2, "q", "o"),
    "hstu_lora": adapted("hstu", 2, "q", "v", "o"),
}


def scenario(model: str, *, global_batch: int = 8, microbatch: int = 1, optimizer: str = "sgd", dtype: str = "fp32",
             nodes: int = 1, sets: tuple[str, ...] = (), **plan):  # fmt: skip
    """A scenario of as many ranks as the plan's degrees say. nodes: those that they are thought to lie on."""
    degrees = [plan.get(key, 1) for key in ("tensor", "pipeline", "data", "context")]
    ranks = prod(degrees)
    return scenario_from(
        {
            "schema_version": 1,
            "name": model,
            "model": MODELS[model],
            "dtype": dtype,
            "optimizer": optimizer,
            "cluster": {"preset": "dgx_h100", "nodes": nodes, "gpus_per_node": ranks // nodes}
            if nodes > 1
            else {"preset": "cpu_host", "gpus_per_node": ranks},
            "plan": {
                "data": 1,
                "microbatch": microbatch,
                "global_batch": global_batch,
                "embedding_sharding": "row_wise",
                **plan,
            },
        },
        sets,
    )

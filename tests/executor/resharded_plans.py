"""Plans that gather every block anew in each pass of a pipeline's microbatches (`plans.py`), by number of ranks."""

from __future__ import annotations

FULL = {"pipeline": 2, "data": 2, "zero": 3, "microbatch": 1}

RESHARDED_PLANS = {
    4: [
        ("gpt", {**FULL, "optimizer": "adam"}),
        ("llama", {**FULL, "recompute": "full", "overlap": {"param_gather": False}}),
        ("gpt", {**FULL, "schedule": "zb_v"}),  # ends meet: the head reads the embedding's block
        ("bert", {**FULL, "schedule": "zb_h1"}),
        ("gpt", {**FULL, "schedule": "interleaved_1f1b", "virtual_stages": 2, "overlap": {"grad_reduce": False}}),
        ("hstu", {**FULL, "schedule": "gpipe", "embedding_sharding": "table_wise"}),
        ("llama", {"pipeline": 2, "context": 2, "zero": 3, "microbatch": 2}),
        ("llama_lora", {**FULL}),
    ],
    8: [
        ("gpt", {"pipeline": 2, "data": 4, "zero": 3, "shard_group": 2, "microbatch": 1}),
        ("llama", {"pipeline": 2, "data": 2, "tensor": 2, "zero": 3, "microbatch": 1, "schedule": "zb_v"}),
    ],
}

"""Plans with context parallelism and tensor overlap that the executor's tests run (`plans.py`), by number of ranks."""

from __future__ import annotations

SMALL_BUCKETS = {"bucket_mib": 0.004}
SPLIT = {"overlap": {"tensor": True}}

CONTEXT_PLANS = {
    2: [
        *((model, {"context": 2, "context_kind": kind})
          for model in ("llama", "gpt", "bert", "sasrec", "sasrec_binary", "hstu", "hstu_sampled")
          for kind in ("ring", "all_to_all")),
        ("llama", {"context": 2, "recompute": "full", "zero": 1, "optimizer": "adam", **SMALL_BUCKETS}),
        ("gpt", {"context": 2, "context_kind": "all_to_all", "recompute": "selective",
                 "sets": ("software.attention=unfused",)}),
        ("hstu", {"context": 2, "embedding_sharding": "table_wise", **SMALL_BUCKETS}),
        *((model, {"context": 2, "context_kind": kind, "recompute": "selective_op"})
          for model in ("llama", "gpt", "hstu") for kind in ("ring", "all_to_all")),
        ("bert", {"context": 2, "context_kind": "all_to_all", "recompute": "selective_op",
                  "sets": ("software.attention=unfused",)}),
        *((model, {"tensor": 2, "sequence_parallel": True, **SPLIT}) for model in ("llama", "gpt", "bert", "hstu")),
    ],
    4: [
        *((model, {"context": 4}) for model in ("llama", "bert", "hstu")),
        ("llama", {"context": 2, "tensor": 2, "sequence_parallel": True}),
        ("gpt", {"context": 2, "tensor": 2, "context_kind": "all_to_all"}),
        ("hstu_sampled", {"context": 2, "tensor": 2}),
        ("llama", {"context": 2, "pipeline": 2, "context_kind": "all_to_all"}),
        ("llama", {"context": 2, "pipeline": 2, "schedule": "zb_h1", "microbatch": 1}),
        ("gpt", {"context": 2, "data": 2, "zero": 1, "optimizer": "adam", **SMALL_BUCKETS}),
        ("gpt", {"context": 4, "context_kind": "all_to_all"}),
        ("llama", {"context": 2, "tensor": 2, "sequence_parallel": True, "recompute": "selective_op"}),
        ("llama", {"context": 2, "pipeline": 2, "schedule": "zb_h1", "microbatch": 1, "recompute": "selective_op"}),
        ("gpt", {"tensor": 4, "sequence_parallel": True, **SPLIT}),
        ("llama", {"tensor": 2, "context": 2, "sequence_parallel": True, "recompute": "full", **SPLIT}),
        ("llama", {"tensor": 2, "pipeline": 2, "schedule": "zb_h1", "microbatch": 1, "sequence_parallel": True,
                   **SPLIT}),
    ],
}  # fmt: skip

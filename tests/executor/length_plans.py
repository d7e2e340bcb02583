"""Plans whose samples differ in length that the executor's tests run (`plans.py`), by number of ranks."""

from __future__ import annotations

SMALL_BUCKETS = {"bucket_mib": 0.004}
ZIPF = "data.lengths={kind: zipf, alpha: 1.1, max: 8, layout: %s}"
PACKED, PADDED = ({"sets": (ZIPF % layout,)} for layout in ("packed", "padded"))

FILLED = {
    layout: {"sets": ("model.trunk.seq=7", (ZIPF % layout).replace("max: 8", "max: 7"))}
    for layout in ("packed", "padded")
}
"""Longest samples that neither chunks of a ring nor tensor ranks divide: filled up."""

BALANCED = {"balancer": {"kind": "length"}}

LENGTH_PLANS = {
    2: [
        *((model, {"data": 2, **SMALL_BUCKETS, **how})
          for model in ("llama", "gpt", "bert", "sasrec", "sasrec_binary", "hstu", "hstu_sampled")
          for how in (PACKED, PADDED)),
        *((model, {"tensor": 2, "sequence_parallel": True, **PACKED})
          for model in ("llama", "gpt", "bert", "sasrec_binary", "hstu", "hstu_sampled")),
        *((model, {"tensor": 2, **PADDED}) for model in ("llama", "sasrec_binary", "hstu")),
        ("gpt", {"tensor": 2, "sequence_parallel": True, **PADDED}),
        ("llama", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1, **PACKED}),
        ("hstu", {"pipeline": 2, "microbatch": 1, "recompute": "full", **PACKED}),
        ("bert", {"pipeline": 2, "schedule": "zb_v", "microbatch": 1, **PADDED}),
        ("gpt", {"data": 2, "recompute": "selective", "sets": ("software.attention=unfused", ZIPF % "packed")}),
        ("bert", {"data": 2, "sets": ("software.attention=unfused", ZIPF % "padded")}),
        ("llama", {"data": 2, "zero": 3, "optimizer": "adam", **PADDED}),
        *((model, {"context": 2, "context_kind": kind, **how})
          for model in ("llama", "bert", "hstu_sampled")
          for kind in ("ring", "all_to_all")
          for how in (PACKED, PADDED)),
        ("sasrec_binary", {"context": 2, "recompute": "full", **PACKED}),
        *((model, {"tensor": 2, "sequence_parallel": True, **PADDED}) for model in ("sasrec_binary", "hstu_sampled")),
        *(("hstu_pooled", {"data": 2, **how}) for how in (PACKED, PADDED)),
        ("hstu", {"data": 2, "embedding_sharding": "table_wise", **PACKED}),
        *((model, {"data": 2, **SMALL_BUCKETS, **BALANCED, **how})
          for model in ("llama", "bert", "sasrec_binary", "hstu", "hstu_sampled") for how in (PACKED, PADDED)),
        ("llama", {"data": 2, "zero": 3, "optimizer": "adam", "microbatch": 1, **BALANCED, **PACKED}),
        *((model, {"data": 2, **BALANCED, **how})
          for model in ("hstu_pooled", "hstu_users") for how in (PACKED, PADDED)),
        ("hstu_users", {"data": 2, "embedding_sharding": "column_wise", "embedding_columns": 4}),
        ("hstu_users", {"tensor": 2, **PACKED}),
        *((model, {"context": 2, "context_kind": kind, **FILLED[layout]})
          for model, kind, layout in (("llama", "ring", "packed"), ("gpt", "ring", "padded"),
                                      ("hstu", "ring", "padded"), ("bert", "ring", "packed"),
                                      ("bert", "all_to_all", "padded"), ("sasrec_binary", "all_to_all", "packed"))),
        *((model, {"tensor": 2, "sequence_parallel": True, **FILLED[layout]})
          for model, layout in (("gpt", "padded"), ("sasrec", "padded"), ("hstu_users", "padded"),
                                ("llama", "packed"))),
    ],
    4: [
        ("llama", {"tensor": 2, "pipeline": 2, "microbatch": 1, **PACKED}),
        ("hstu", {"tensor": 2, "data": 2, **PACKED}),
        ("gpt", {"pipeline": 2, "data": 2, "microbatch": 1, "zero": 1, "optimizer": "adam", **PADDED, **SMALL_BUCKETS}),
        ("llama", {"context": 2, "pipeline": 2, "microbatch": 1, **PADDED}),
        ("hstu", {"context": 4, **PACKED}),
        ("hstu", {"context": 2, "data": 2, "zero": 1, **PACKED}),
        ("hstu_sampled", {"context": 2, "tensor": 2, **PACKED}),
        ("hstu_sampled", {"context": 2, "tensor": 2, "sequence_parallel": True, **PADDED}),
        ("gpt", {"context": 2, "tensor": 2, "context_kind": "all_to_all", "sequence_parallel": True, **PACKED}),
        ("hstu", {"data": 4, **BALANCED, **PACKED}),
        ("llama", {"pipeline": 2, "data": 2, "microbatch": 1, **BALANCED, **PACKED}),
        ("gpt", {"tensor": 2, "data": 2, "sequence_parallel": True, **BALANCED, **PADDED}),
        ("hstu_sampled", {"context": 2, "data": 2, **BALANCED, **PACKED}),
        ("bert", {"context": 2, "data": 2, "context_kind": "all_to_all", **BALANCED, **PADDED}),
        ("gpt", {"context": 2, "tensor": 2, "sequence_parallel": True, **FILLED["padded"]}),
        ("hstu_users", {"context": 2, "tensor": 2, "sequence_parallel": True, **FILLED["packed"]}),
        ("gpt", {"context": 2, "pipeline": 2, "microbatch": 1, **FILLED["padded"]}),
    ],
    8: [
        ("hstu_sampled", {"context": 2, "tensor": 2, "data": 2, "sequence_parallel": True, **PACKED}),
        ("llama", {"context": 2, "tensor": 2, "pipeline": 2, "microbatch": 1, "schedule": "zb_h1", **PACKED}),
    ],
}  # fmt: skip

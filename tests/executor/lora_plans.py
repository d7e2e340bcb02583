"""Plans with LoRA adapters that the executor's tests run (`plans.py`), by number of ranks."""

from __future__ import annotations

SMALL_BUCKETS = {"bucket_mib": 0.001}
ADAM = {"optimizer": "adam"}

LORA_PLANS = {
    2: [
        ("llama_lora", {"data": 2}),
        ("llama_lora", {"data": 2, **ADAM, **SMALL_BUCKETS}),
        *((model, {"tensor": 2, "sequence_parallel": sequence})
          for model in ("llama_lora", "llama_lora_all", "gpt_lora", "bert_lora", "sasrec_lora", "hstu_lora")
          for sequence in (False, True)),
        ("llama_lora_all", {"tensor": 2, "sequence_parallel": True, "overlap": {"tensor": True}}),
        ("llama_lora_all", {"data": 2, "zero": 1, **ADAM, **SMALL_BUCKETS}),
        ("gpt_lora", {"data": 2, "zero": 2, **ADAM, **SMALL_BUCKETS}),
        ("llama_lora", {"data": 2, "zero": 3, **ADAM}),
        ("llama_lora_down", {"data": 2, "zero": 3, "microbatch": 1}),
        ("gpt_lora", {"data": 2, "zero": 3, "recompute": "full", "microbatch": 1}),
        ("gpt_lora", {"data": 2, "zero": 3, "reshard_after_forward": False}),
        ("hstu_lora", {"data": 2, "zero": 3}),
        ("sasrec_lora_tied", {"data": 2, "zero": 3, "overlap": {"grad_reduce": False, "param_gather": False}}),
        ("llama_lora", {"pipeline": 2}),
        ("gpt_lora", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1}),
        ("gpt_lora", {"pipeline": 2, "schedule": "zb_v", "microbatch": 1}),
        ("llama_lora_down", {"pipeline": 2, "partition": (4, 0)}),
        ("bert_lora", {"pipeline": 2, "schedule": "interleaved_1f1b", "virtual_stages": 2, "recompute": "full"}),
        ("sasrec_lora", {"data": 2, "embedding_sharding": "data_parallel"}),
        ("sasrec_lora_tied", {"pipeline": 2, "microbatch": 1}),
        ("llama_lora_all", {"context": 2}),
        ("llama_lora_all", {"context": 2, "context_kind": "all_to_all", "recompute": "selective_op"}),
        ("llama_lora_all", {"tensor": 2, "recompute": "selective_op", "sequence_parallel": True}),
        ("llama_lora_down", {"data": 2, "recompute": "full", **SMALL_BUCKETS}),
        ("gpt_lora", {"tensor": 2, "recompute": "selective", "sets": ("software.attention=unfused",)}),
        ("gpt_lora_out", {"tensor": 2, "recompute": "selective_op", "sets": ("software.attention=unfused",)}),
        ("llama_lora", {"data": 2, "compression": {"method": "topk", "density": 0.1}}),
    ],
    4: [
        ("llama_lora_all", {"tensor": 2, "data": 2, "zero": 3, "sequence_parallel": True, **ADAM}),
        ("llama_lora", {"tensor": 2, "pipeline": 2}),
        ("llama_lora_all", {"tensor": 2, "pipeline": 2, "schedule": "zb_h2", "microbatch": 1,
                            "sequence_parallel": True}),
        ("gpt_lora", {"pipeline": 2, "data": 2, "zero": 1, **ADAM, **SMALL_BUCKETS}),
        ("gpt_lora", {"pipeline": 2, "data": 2, "zero": 3, "reshard_after_forward": False, **ADAM}),
        ("gpt_lora", {"data": 4, "zero": 3, "shard_group": 2, "microbatch": 1}),
        ("llama_lora", {"data": 4, "microbatch": 1, "aggregation": {"order": "priority"}, "bucket_mib": 0.0005}),
        ("hstu_lora", {"tensor": 2, "data": 2}),
    ],
    8: [
        ("llama_lora_all", {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, "sequence_parallel": True,
                            "zero": 1, **ADAM, **SMALL_BUCKETS}),
        ("gpt_lora", {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, **SMALL_BUCKETS}),
    ],
}  # fmt: skip

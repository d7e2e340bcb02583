"""Plans whose replicas run unequal numbers of microbatches (`plans.py`), by number of ranks."""

from __future__ import annotations

SMALL_BUCKETS = {"bucket_mib": 0.004}
JAGGED = "data.lengths={kind: zipf, alpha: 1.1, max: 8, layout: %s}"


def dealt(*counts: int) -> dict:
    return {"microbatch": 1, "balancer": {"kind": "static", "microbatches": counts}}


REPLICA_PLANS = {
    2: [
        ("llama", {"data": 2, "optimizer": "adam", **dealt(5, 3), **SMALL_BUCKETS}),
        ("gpt", {"data": 2, "overlap": {"grad_reduce": False}, "recompute": "full", **dealt(1, 7)}),
        ("bert", {"data": 2, "zero": 1, "optimizer": "adamw", **dealt(6, 2), **SMALL_BUCKETS}),
        ("gpt", {"data": 2, "bucket_mib": 0.002, "aggregation": {"order": "priority"}, **dealt(3, 5)}),
        ("llama", {"data": 2, **dealt(2, 6), "sets": (JAGGED % "packed",)}),
        ("bert", {"data": 2, **dealt(5, 3), "sets": (JAGGED % "padded",)}),
        ("llama", {"data": 2, "compression": {"method": "topk", "density": 0.1}, **dealt(5, 3), **SMALL_BUCKETS}),
    ],
    4: [
        ("llama", {"pipeline": 2, "data": 2, "optimizer": "adam", **dealt(5, 3), **SMALL_BUCKETS}),
        ("gpt", {"pipeline": 2, "data": 2, "schedule": "zb_v", **dealt(2, 6)}),
        ("gpt", {"pipeline": 2, "data": 2, "schedule": "gpipe", "zero": 1, "optimizer": "adam", **dealt(7, 1)}),
        ("llama", {"pipeline": 2, "data": 2, "zero": 3, "reshard_after_forward": False, **dealt(3, 5)}),
        ("gpt", {"tensor": 2, "data": 2, "sequence_parallel": True, **dealt(6, 2)}),
        ("llama", {"context": 2, "data": 2, **dealt(3, 5)}),
        ("llama", {"data": 4, "optimizer": "adam", **dealt(3, 1, 1, 3), **SMALL_BUCKETS}),
        ("llama_lora", {"data": 4, **dealt(1, 2, 1, 4)}),
        ("llama", {"pipeline": 2, "data": 2, **dealt(3, 5), "sets": (JAGGED % "packed",)}),
    ],
    8: [
        ("gpt", {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, **SMALL_BUCKETS,
                 "balancer": {"kind": "static", "placement": (0, 1, 4, 5, 2, 3, 6, 7)}}),
        ("llama", {"tensor": 2, "data": 2, "pipeline": 2, "sequence_parallel": True, **dealt(5, 3), **SMALL_BUCKETS}),
        ("gpt", {"data": 4, "pipeline": 2, "schedule": "interleaved_1f1b", "virtual_stages": 2, "zero": 1,
                 "optimizer": "adam", "partition": (1, 1, 1, 1), **dealt(2, 1, 3, 2), **SMALL_BUCKETS}),
    ],
}  # fmt: skip

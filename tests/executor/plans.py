"""The plans that the executor's tests run, by number of ranks: (model, keys of the plan and of `scenario`)."""

from __future__ import annotations

from bag_plans import BAG_PLANS
from carried_plans import CARRIED_PLANS
from context_plans import CONTEXT_PLANS
from dlrm_plans import DLRM_PLANS
from host_plans import HOST_PLANS
from lamb_plans import LAMB_PLANS
from length_plans import LENGTH_PLANS
from lora_plans import LORA_PLANS
from replica_plans import REPLICA_PLANS
from resharded_plans import RESHARDED_PLANS
from sample_id_plans import SAMPLE_ID_PLANS
from sharded_compression_plans import SHARDED_COMPRESSED
from table_plans import TABLE_PLANS

SMALL_BUCKETS = {"bucket_mib": 0.004}
"""A few units each, so that F and B are cut into segments."""

COMPRESSED = [
    ("llama", {"data": 2, "compression": {"method": "bf16"}, **SMALL_BUCKETS}),
    ("llama", {"data": 2, "compression": {"method": "topk", "density": 0.1}, **SMALL_BUCKETS}),
    ("gpt", {"data": 2, "compression": {"method": "topk", "density": 1.0}}),
    ("llama", {"data": 2, "compression": {"method": "powersgd", "rank": 2}}),
    ("hstu", {"data": 2, "compression": {"method": "powersgd", "rank": 2, "error_feedback": False}}),
    (
        "llama",
        {
            "data": 2,
            "compression": {"method": "topk", "density": 0.1},
            "aggregation": {"sparse": "balanced"},
            **SMALL_BUCKETS,
        },
    ),
    ("gpt", {"data": 2, "compression": {"method": "topk", "density": 1.0}, "aggregation": {"sparse": "balanced"}}),
    (
        "llama",
        {
            "data": 2,
            **SMALL_BUCKETS,
            "compression": {
                "method": "adaptive",
                "decided": {"0.b0": "int8", "0.b1": "none", "0.b2": "topk", "0.b3": "powersgd", "0.b4": "bf16"},
            },
        },
    ),
    ("llama", {"data": 2, "compression": {"method": "fp16", "error_feedback": True}, **SMALL_BUCKETS}),
    ("llama", {"data": 2, "compression": {"method": "int8", "block": 64}, **SMALL_BUCKETS}),
    ("gpt", {"data": 2, "compression": {"method": "int8"}, "aggregation": {"sparse": "balanced"}, **SMALL_BUCKETS}),
    ("llama", {"data": 2, "compression": {"method": "onebit"}, **SMALL_BUCKETS}),
    ("gpt", {"data": 2, "compression": {"method": "onebit"}, "aggregation": {"sparse": "balanced"}}),
    ("llama", {"data": 2, "compression": {"method": "randomk", "density": 0.1}, **SMALL_BUCKETS}),
    ("gpt", {"data": 2, "compression": {"method": "randomk", "density": 0.1, "shared_seed": False}}),
    ("gpt", {"data": 2, "compression": {"method": "topk_sampled", "density": 0.1}}),
    (
        "llama",
        {
            "data": 2,
            "compression": {"method": "dgc", "density": 0.1, "clipping": 1.0, "min_bytes": 3000},
            **SMALL_BUCKETS,
        },
    ),
]

PLANS = {
    2: [
        *COMPRESSED,
        ("llama", {"data": 2, **SMALL_BUCKETS}),
        ("llama", {"data": 2, **SMALL_BUCKETS, "optimizer": "adam", "zero": 1}),
        ("llama", {"data": 2, **SMALL_BUCKETS, "optimizer": "adagrad", "zero": 1, "overlap": {"param_gather": False}}),
        ("llama", {"data": 2, **SMALL_BUCKETS, "optimizer": "adam", "zero": 2}),
        ("gpt", {"data": 2, **SMALL_BUCKETS, "zero": 2, "overlap": {"grad_reduce": False, "param_gather": False}}),
        ("llama", {"data": 2, "optimizer": "adam", "zero": 3}),
        ("gpt", {"data": 2, "optimizer": "adamw", "zero": 3, "recompute": "full"}),
        ("gpt", {"data": 2, "zero": 3, "reshard_after_forward": False, "microbatch": 1}),
        ("bert", {"data": 2, "zero": 3, "overlap": {"grad_reduce": False, "param_gather": False}}),
        ("sasrec", {"data": 2, "zero": 3, "microbatch": 1}),
        ("sasrec_binary", {"data": 2, "zero": 3}),
        ("hstu", {"data": 2, "zero": 3, "embedding_sharding": "table_wise"}),
        ("hstu_sampled", {"data": 2, "zero": 3, "optimizer": "adam"}),
        ("gpt", {"data": 2, **SMALL_BUCKETS, "overlap": {"grad_reduce": False}}),
        ("gpt", {"data": 2, "optimizer": "adamw"}),
        ("llama", {"data": 2, "bucket_mib": 0.002, "optimizer": "adam", "aggregation": {"order": "priority"}}),
        ("gpt", {"data": 2, "bucket_mib": 0.002, "aggregation": {"order": "priority"},
                 "overlap": {"grad_reduce": False}}),
        ("bert", {"data": 2, **SMALL_BUCKETS, "recompute": "full"}),
        ("sasrec", {"data": 2, "bucket_mib": 0.001, "recompute": "full"}),
        ("sasrec_binary", {"data": 2, "embedding_sharding": "data_parallel"}),
        ("hstu", {"data": 2, **SMALL_BUCKETS, "embedding_sharding": "table_wise"}),
        ("hstu_sampled", {"data": 2, "optimizer": "adam"}),
        ("llama", {"pipeline": 2}),
        ("gpt", {"pipeline": 2, "schedule": "gpipe"}),
        ("gpt", {"pipeline": 2, "schedule": "interleaved_1f1b", "virtual_stages": 2}),
        ("bert", {"pipeline": 2, "overlap": {"pipeline": False}}),
        ("sasrec", {"pipeline": 2, "microbatch": 1, "recompute": "full"}),
        ("hstu", {"pipeline": 2, "optimizer": "adam"}),
        *((model, {"tensor": 2, "sequence_parallel": sequence})
          for model in ("llama", "gpt", "bert", "sasrec", "sasrec_binary", "hstu", "hstu_sampled")
          for sequence in (False, True)),
        ("sasrec_narrow", {"tensor": 2, "sequence_parallel": True}),
        ("sasrec_narrow", {"pipeline": 2}),
        ("hstu_untied", {"tensor": 2, "sequence_parallel": True}),
        ("hstu_untied", {"pipeline": 2}),
        ("hstu_sampled", {"data": 2, "sets": ("model.tables.0.optimizer=adam",)}),
        ("hstu_sampled", {"data": 2, "embedding_sharding": "data_parallel",
                          "sets": ("model.tables.0.optimizer=adagrad",)}),
        ("gpt", {"tensor": 2, "recompute": "selective", "sets": ("software.attention=unfused",)}),
        ("llama", {"tensor": 2, "sequence_parallel": True, "recompute": "full"}),
        ("sasrec_binary", {"tensor": 2, "microbatch": 1, "sets": ("model.trunk.seq=7",)}),
        ("llama", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1}),
        ("gpt", {"pipeline": 2, "schedule": "zb_h2", "microbatch": 1}),
        ("gpt", {"pipeline": 2, "schedule": "zb_v"}),
        ("bert", {"pipeline": 2, "schedule": "zb_v", "overlap": {"pipeline": False}, "microbatch": 1}),
        ("sasrec", {"pipeline": 2, "schedule": "zb_v", "microbatch": 1, "recompute": "full"}),
        ("hstu", {"pipeline": 2, "schedule": "zb_v"}),
        ("sasrec_narrow", {"pipeline": 2, "schedule": "zb_h1"}),
        ("hstu", {"tensor": 2, "schedule": "zb_h1", "sequence_parallel": True}),
        ("gpt", {"pipeline": 1, "data": 2, "schedule": "zb_v", **SMALL_BUCKETS}),
        ("gpt", {"data": 2, "schedule": "interleaved_1f1b", "virtual_stages": 2}),
        ("gpt", {"pipeline": 2, "partition": (3, 1)}),
        *((model, {"tensor": 2, "sequence_parallel": sequence, "recompute": "selective_op"})
          for model, sequence in (("llama", True), ("bert", False), ("hstu", True), ("sasrec", False))),
        ("gpt", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1, "recompute": "selective_op",
                 "sets": ("software.attention=unfused",)}),
        ("llama", {"data": 2, "recompute": "selective_op", **SMALL_BUCKETS}),
        ("llama", {"data": 2, "zero": 3, "recompute": "selective_op"}),
        ("bert", {"pipeline": 2, "schedule": "zb_v", "partition": (0, 1, 3, 0), "microbatch": 1}),
        *CONTEXT_PLANS[2],
        *LENGTH_PLANS[2],
        *TABLE_PLANS[2],
        *HOST_PLANS[2],
        *BAG_PLANS[2],
        *CARRIED_PLANS[2],
        *LORA_PLANS[2],
        *REPLICA_PLANS[2],
        *SHARDED_COMPRESSED[2],
        *DLRM_PLANS[2],
        *SAMPLE_ID_PLANS[2],
        *LAMB_PLANS[2],
    ],
    3: [
        ("gpt", {"pipeline": 3, "schedule": "interleaved_1f1b", "virtual_stages": 2, "microbatch": 1,
                 "sets": ("model.trunk.layers=6",)}),
        ("llama", {"pipeline": 3, "schedule": "zb_v", "microbatch": 1, "partition": (0, 1, 1, 1, 1, 0)}),
    ],
    4: [
        ("llama", {"tensor": 2, "pipeline": 2}),
        ("llama", {"tensor": 2, "pipeline": 2, "sequence_parallel": True}),
        ("llama", {"tensor": 2, "pipeline": 2, "microbatch": 1, "sets": ("model.trunk.seq=7", "model.trunk.hidden=20",
                                                                         "model.trunk.head_dim=6")}),
        ("gpt", {"tensor": 2, "data": 2, "zero": 1, "sequence_parallel": True, "optimizer": "adam", **SMALL_BUCKETS}),
        ("gpt", {"pipeline": 2, "data": 2, "zero": 1, "optimizer": "adam", "bucket_mib": 0.003}),
        ("llama", {"data": 4, "zero": 2, "shard_group": 2, "optimizer": "adam", "microbatch": 1, **SMALL_BUCKETS}),
        ("gpt", {"data": 4, "zero": 1, "shard_group": 2, "optimizer": "adam", "microbatch": 1, **SMALL_BUCKETS}),
        ("llama", {"data": 4, "zero": 3, "optimizer": "adam", "microbatch": 1}),
        ("gpt", {"data": 4, "zero": 3, "shard_group": 2, "optimizer": "adam", "microbatch": 1}),
        ("gpt", {"tensor": 2, "data": 2, "zero": 3, "sequence_parallel": True, "optimizer": "adam"}),
        ("llama", {"tensor": 2, "data": 2, "zero": 2, "recompute": "full", **SMALL_BUCKETS}),
        ("gpt", {"pipeline": 2, "data": 2, "zero": 3, "reshard_after_forward": False, "optimizer": "adam"}),
        ("llama", {"pipeline": 2, "data": 2, "zero": 3, "reshard_after_forward": False, "schedule": "zb_v",
                   "virtual_stages": 2, "overlap": {"grad_reduce": False}}),
        ("gpt", {"pipeline": 4, "microbatch": 1}),
        ("bert", {"pipeline": 2, "data": 2, "recompute": "full", "bucket_mib": 0.003}),
        ("hstu", {"tensor": 2, "data": 2}),
        ("hstu", {"tensor": 2, "data": 2, "embedding_sharding": {"item": "table_wise", "action": "data_parallel"}}),
        ("sasrec_binary", {"tensor": 2, "data": 2, "sequence_parallel": True}),
        ("hstu_sampled", {"data": 4}),
        ("gpt", {"tensor": 2, "data": 2, "sequence_parallel": True, "optimizer": "adam", "bucket_mib": 0.001,
                 "aggregation": {"order": "priority"}, "overlap": {"grad_reduce": False}}),
        ("gpt", {"pipeline": 2, "data": 2, "bucket_mib": 0.001, "aggregation": {"order": "priority"},
                 "overlap": {"grad_reduce": False}}),
        ("llama", {"data": 4, "microbatch": 1, "compression": {"method": "topk", "density": 0.05},
                   "aggregation": {"sparse": "balanced"}, "bucket_mib": 0.003}),
        ("gpt", {"data": 4, "microbatch": 1, "aggregation": {"algorithm": "halving_doubling"}, **SMALL_BUCKETS}),
        ("llama", {"tensor": 2, "data": 2, "recompute": "full", "bucket_mib": 0.002}),
        ("gpt", {"tensor": 2, "data": 2, "recompute": "full", "sequence_parallel": True, **SMALL_BUCKETS}),
        ("llama", {"pipeline": 4, "schedule": "zb_h1", "microbatch": 1}),
        ("gpt", {"pipeline": 4, "schedule": "zb_h2", "microbatch": 1, "recompute": "full"}),
        ("gpt", {"pipeline": 4, "schedule": "zb_v", "microbatch": 1, "sets": ("model.trunk.layers=8",)}),
        ("bert", {"pipeline": 4, "schedule": "zb_h1", "microbatch": 1, "overlap": {"pipeline": False}}),
        ("llama", {"tensor": 2, "pipeline": 2, "schedule": "zb_h1", "microbatch": 1, "sequence_parallel": True}),
        ("llama", {"tensor": 2, "pipeline": 2, "schedule": "zb_v", "microbatch": 1}),
        ("llama", {"pipeline": 4, "partition": "balanced", "microbatch": 1, "sets": ("model.trunk.layers=7",)}),
        ("gpt", {"pipeline": 2, "data": 2, "partition": (4, 0), "zero": 1, **SMALL_BUCKETS}),
        ("gpt", {"pipeline": 2, "data": 2, "zero": 3, "reshard_after_forward": False, "schedule": "zb_v",
                 "microbatch": 1}),
        ("gpt", {"pipeline": 2, "data": 2, "schedule": "zb_v", "zero": 1, "optimizer": "adam", "microbatch": 1,
                 **SMALL_BUCKETS}),
        ("bert", {"pipeline": 2, "data": 2, "schedule": "zb_h2", "recompute": "full", "microbatch": 1,
                  **SMALL_BUCKETS}),
        *CONTEXT_PLANS[4],
        *LENGTH_PLANS[4],
        *TABLE_PLANS[4],
        *HOST_PLANS[4],
        *BAG_PLANS[4],
        *CARRIED_PLANS[4],
        *LORA_PLANS[4],
        *REPLICA_PLANS[4],
        *SHARDED_COMPRESSED[4],
        *DLRM_PLANS[4],
        *SAMPLE_ID_PLANS[4],
        *RESHARDED_PLANS[4],
        *LAMB_PLANS[4],
    ],
    8: [
        *((model, {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, "sequence_parallel": sequence,
                   **SMALL_BUCKETS})
          for model, sequence in (("llama", True), ("gpt", False), ("sasrec", True), ("hstu", False))),
        ("gpt", {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, "sequence_parallel": True, "zero": 1,
                 "schedule": "interleaved_1f1b", "virtual_stages": 2, "optimizer": "adam", **SMALL_BUCKETS}),
        ("gpt", {"tensor": 2, "data": 2, "pipeline": 2, "microbatch": 1, "sequence_parallel": True, "zero": 1,
                 "schedule": "zb_v", "optimizer": "adam", **SMALL_BUCKETS}),
        *LENGTH_PLANS[8],
        *TABLE_PLANS[8],
        *HOST_PLANS[8],
        *BAG_PLANS[8],
        *CARRIED_PLANS[8],
        *LORA_PLANS[8],
        *REPLICA_PLANS[8],
        *SHARDED_COMPRESSED[8],
        *DLRM_PLANS[8],
        *SAMPLE_ID_PLANS[8],
        *RESHARDED_PLANS[8],
    ],
}  # fmt: skip


def plan_id(plan: tuple[str, dict]) -> str:
    model, keys = plan
    return "-".join([model, *(f"{key}={value}" for key, value in keys.items())])

"""Plans whose first stage looks up the rows that a head on the last one scores (`plans.py`), by number of ranks."""

from __future__ import annotations

CARRIED_PLANS = {
    2: [
        ("hstu_sampled", {"pipeline": 2}),
        ("hstu_sampled", {"pipeline": 2, "schedule": "zb_h1", "microbatch": 1, "recompute": "full"}),
        ("sasrec_binary", {"pipeline": 2, "schedule": "zb_v", "sets": ("model.trunk.layers=4",)}),  # ends meet
        ("sasrec_binary", {"pipeline": 2, "schedule": "interleaved_1f1b", "virtual_stages": 2, "microbatch": 1,
                           "sets": ("model.trunk.layers=4",)}),
        ("hstu_sampled", {"pipeline": 2, "embedding_dedup": True, "sets": (
            "data.lengths={kind: zipf, alpha: 1.1, max: 8}", "data.lengths.layout=packed",
            "model.tables.0.optimizer=adam")}),
    ],
    4: [
        ("sasrec_binary", {"pipeline": 4, "microbatch": 1, "sets": ("model.trunk.layers=4",)}),
        ("hstu_sampled", {"pipeline": 2, "tensor": 2, "microbatch": 1, "sets": ("model.tables.0.dim=6",)}),
        ("hstu_sampled", {"pipeline": 2, "tensor": 2, "sequence_parallel": True, "optimizer": "adam"}),
        ("hstu_sampled", {"pipeline": 2, "context": 2, "schedule": "gpipe"}),
        ("sasrec_binary", {"pipeline": 2, "data": 2, "zero": 1, "optimizer": "adam",
                           "embedding_sharding": "table_wise"}),
    ],
    8: [("hstu_sampled", {"pipeline": 2, "tensor": 2, "data": 2, "sequence_parallel": True, "microbatch": 1})],
}  # fmt: skip

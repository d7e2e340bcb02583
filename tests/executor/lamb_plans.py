"""Plans whose parameters' norms are over shards of tensor ranks and of replicas (`plans.py`), by number of ranks."""

from __future__ import annotations

LAMB = {"optimizer": "lamb"}

LAMB_PLANS = {
    2: [
        ("gpt", {"data": 2, **LAMB, "bucket_mib": 0.004}),
        ("llama", {"data": 2, **LAMB, "zero": 1, "bucket_mib": 0.004}),
        ("gpt", {"data": 2, **LAMB, "zero": 3}),
        ("bert", {"tensor": 2, **LAMB}),
        ("hstu", {"tensor": 2, "sequence_parallel": True, **LAMB}),
        ("sasrec", {"pipeline": 2, **LAMB}),
        ("llama_lora", {"tensor": 2, **LAMB}),
    ],
    4: [
        ("gpt", {"tensor": 2, "data": 2, "zero": 1, **LAMB, "sequence_parallel": True}),
        ("llama", {"pipeline": 2, "context": 2, "zero": 1, **LAMB}),
    ],
}

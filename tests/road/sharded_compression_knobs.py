"""Knobs of compression under ZeRO, as rows for `test_knobs.Knob`; what is looked at by name."""

from __future__ import annotations

from compression_knobs import KEY, SLOW_NET, SLOW_NODES
from knob_settings import EVEN

METHODS = ("fp16", "bf16", "int8", "onebit", "topk", "topk_sampled", "randomk", "dgc", "powersgd")
BLOCKS = "; plan.bucket_mib=null"
ONE = "; plan.global_batch=16"
"""One microbatch on each of 16 GPUs."""

SHARDED_COMPRESSION = [
    *(("gpt", f"{KEY}.method", method, "none", "step", "<", f"{SLOW_NET}; plan.zero=1") for method in METHODS),
    *(("gpt", f"{KEY}.method", method, "none", "step", "<", f"{SLOW_NET}; plan.zero=3{BLOCKS};"
       "plan.global_batch=4") for method in METHODS if method not in ("powersgd", "dgc")),
    # each of a node's 8 GPUs sends half of its byte an entry to the other node: 4 bytes, as a ring of fp32 does once.
    # That is why ZeRO++ exchanges inside the nodes first
    ("gpt", f"{KEY}.method", "int8", "none", "step", ">=", f"{SLOW_NODES}{ONE}; plan.zero=1"),
    *(("gpt", f"{KEY}.method", method, "none", "sent reduce_scatter", "<", "plan.zero=2; plan.global_batch=4")
      for method in METHODS),
    *(("gpt", f"{KEY}.method", method, "none", "time_of compression", ">", f"plan.zero=3{BLOCKS}; plan.global_batch=4")
      for method in METHODS),
    # a smaller message still waits for what the next forward needs first
    ("gpt", "plan.aggregation.order", "priority", "backward", "step", "<", f"{EVEN}; {KEY}.method=bf16"),
    ("gpt", "plan.aggregation.order", "priority", "backward", "sent reduce", "=", f"{EVEN}; {KEY}.method=bf16"),
    ("gpt", "plan.aggregation.order", "priority", "backward", "memory buffers", ">=", f"{EVEN}; {KEY}.method=int8"),
    ("gpt", f"{KEY}.inside", "8", "null", "step", "<", f"{SLOW_NODES}{ONE}; plan.zero=1; {KEY}.method=int8"),
    ("gpt", f"{KEY}.inside", "8", "null", "step", "<", f"{SLOW_NODES}{ONE}; plan.zero=3{BLOCKS}; {KEY}.method=onebit"),
    ("gpt", f"{KEY}.inside", "8", "null", "memory buffers", ">", f"{SLOW_NODES}{ONE}; plan.zero=1; {KEY}.method=int8"),
    ("gpt", f"{KEY}.inside", "2", "null", "timeline", "=", f"plan.zero=1; plan.tensor=4; {KEY}.method=int8"),  # all
    ("gpt", f"{KEY}.error_feedback", "true", "false", "memory buffers", ">", f"plan.zero=1; {KEY}.method=int8"),
    ("gpt", f"{KEY}.error_feedback", "true", "false", "memory buffers", ">", f"plan.zero=3{BLOCKS}; {KEY}.method=topk;"
     "plan.global_batch=4"),
    # each of four microbatches sends its own
    ("gpt", "plan.zero", "2", "1", "sent reduce_scatter", ">", f"{KEY}.method=int8"),
    ("gpt", "plan.zero", "2", "1", "sent reduce_scatter", "=", f"{KEY}.method=int8; plan.global_batch=4"),
    # to owners alone there is one payload of the bucket instead of one from every other rank
    ("gpt", "plan.zero", "1", "0", "step", "<", f"{SLOW_NODES}{ONE}; {KEY}.method=int8"),
    ("gpt", "plan.aggregation.sparse", "balanced", "allgather", "step", "<",
     f"{SLOW_NODES}{ONE}; plan.zero=1; {KEY}.method=topk"),
    ("gpt", "plan.aggregation.sparse", "balanced", "allgather", "timeline", "=", f"plan.zero=1; {KEY}.method=int8"),
    *(("gpt", "plan.aggregation.sparse", "balanced", "allgather", "step", "<", f"{SLOW_NODES}{ONE}; {KEY}={method}")
      for method in ("{method: topk_sampled}", "{method: dgc}", "{method: randomk, shared_seed: false}")),
]  # fmt: skip

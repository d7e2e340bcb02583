"""Knobs of gradient compression, as rows for `test_knobs.Knob`; what is looked at by name."""

SLOW_NET = "cluster.nodes=2; cluster.nic_gbit_per_s=1; plan.tensor=8; plan.data=2"
SLOW_NODES = "cluster.nodes=2; plan.tensor=1; cluster.nic_gbit_per_s=10"
NVLINK = "plan.tensor=1; plan.data=8"
KEY = "plan.compression"
NAMED = ("fp16", "int8", "onebit", "topk_sampled", "randomk", "dgc")

ROWS = [
    *(("gpt", f"{KEY}.method", method, "none", "step", "<", SLOW_NET) for method in NAMED),
    *(("gpt", f"{KEY}.method", method, "none", "step", ">=", NVLINK) for method in NAMED[1:]),
    ("gpt", f"{KEY}.method", "fp16", "bf16", "timeline", "=", ""),  # the same passes and bytes
    ("gpt", f"{KEY}.method", "topk_sampled", "topk", "compression", "<", ""),  # selection is the dear part of top-k
    ("gpt", f"{KEY}.method", "topk_sampled", "topk", "sent", "=", ""),
    ("gpt", f"{KEY}.method", "randomk", "topk", "sent", "<", ""),  # values without places
    ("gpt", f"{KEY}.error_feedback", "true", "false", "step", ">", f"{SLOW_NET}; {KEY}.method=bf16"),
    ("gpt", f"{KEY}.block", "64", "1024", "sent", ">", f"{KEY}.method=int8"),
    ("gpt", f"{KEY}.sample", "0.5", "0.01", "compression", ">", f"{KEY}.method=topk_sampled"),
    ("gpt", f"{KEY}.sample", "0.5", "0.01", "sent", "=", f"{KEY}.method=topk_sampled"),
    ("gpt", f"{KEY}.momentum", "0.5", "0.9", "timeline", "=", f"{KEY}.method=dgc"),  # other numbers, the same passes
    ("gpt", f"{KEY}.shared_seed", "false", "true", "sent", ">", f"{KEY}.method=randomk"),  # places travel too
    ("gpt", f"{KEY}.shared_seed", "false", "true", "step", ">", f"{SLOW_NODES}; {KEY}.method=randomk"),
    ("gpt", f"{KEY}.clipping", "1", "null", "compression", ">", f"{KEY}.method=dgc"),
    ("gpt", f"{KEY}.warm_up", "4", "0", "timeline", "=", f"{KEY}.method=dgc"),  # the step behind it is simulated
    ("gpt", f"{KEY}.error_feedback", "true", "false", "buffers", ">", f"{KEY}.method=dgc"),
    ("gpt", f"{KEY}.min_bytes", "1000000000000", "0", "sent", ">", f"{KEY}.method=topk"),
    ("gpt", f"{KEY}.min_bytes", "1000000000000", f"0; {KEY}={{method: none}}", "timeline", "=", f"{KEY}.method=topk"),
    ("gpt", f"{KEY}.candidates", "[bf16]", "[bf16, topk, powersgd]", "step", ">", f"{SLOW_NET}; {KEY}.method=adaptive"),
    ("gpt", f"{KEY}.candidates", "[topk]", f"[bf16]; {KEY}={{method: topk}}", "timeline", "=",
     f"{SLOW_NET}; {KEY}.method=adaptive"),
    ("gpt", f"{KEY}.decided", "{0.b0: topk}", "{0.b0: none}", "sent", "<", f"{KEY}.method=adaptive"),
    ("gpt", f"{KEY}.decided", "{}", f"null; {KEY}={{method: none}}", "timeline", "=", f"{KEY}.method=adaptive"),
    *(("gpt", "plan.aggregation.sparse", "balanced", "allgather", "step", "<", f"{SLOW_NODES}; {KEY}.method={method}")
      for method in ("int8", "onebit")),
    ("gpt", "plan.aggregation.sparse", "balanced", "allgather", "timeline", "=", f"{KEY}.method=randomk"),
]  # fmt: skip

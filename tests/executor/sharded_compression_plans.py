"""Plans of the executor's tests whose reductions are compressed and go to owners (ZeRO), or are carried over."""

from __future__ import annotations

SMALL = {"bucket_mib": 0.004}
CARRIED = {"bucket_mib": 0.002, "aggregation": {"order": "priority"}}


def _of(method: str, zero: int, model: str = "llama", sparse: str | None = None, **keys):
    own = {key: keys.pop(key) for key in ("density", "rank", "block", "error_feedback", "shared_seed", "min_bytes",
                                          "decided", "sample", "inside") if key in keys}  # fmt: skip
    plan = {"compression": {"method": method, **own}, "zero": zero, "data": 2, **({} if zero == 3 else SMALL), **keys}
    return model, plan | ({"aggregation": {"sparse": sparse}} if sparse else {})


EVERYTHING_SENT = [
    _of("topk", 1, density=1.0),
    _of("topk", 1, "gpt", "balanced", density=1.0, overlap={"grad_reduce": False}),
    _of("topk", 2, "gpt", density=1.0),
    _of("topk", 3, "llama", "balanced", density=1.0),
    _of("topk_sampled", 3, "bert", "balanced", density=1.0, sample=1.0, overlap={"grad_reduce": False}),
    _of("randomk", 1, "gpt", density=1e-9, min_bytes=10**9),
]
"""Top-k of all entries, or nothing that is large enough: no compression, but for values that travel in fp32."""

SHARDED_COMPRESSED = {
    2: [
        *EVERYTHING_SENT,
        _of("bf16", 1, optimizer="adam"),
        _of("fp16", 2, error_feedback=True),
        _of("bf16", 3, optimizer="adamw"),
        _of("int8", 1, block=64),
        _of("int8", 2, "gpt", block=64, recompute="full"),
        _of("int8", 3, optimizer="adam"),
        _of("onebit", 1, "bert"),
        _of("onebit", 3, "sasrec", microbatch=1),
        _of("topk", 1, "llama", density=0.1),
        _of("topk", 2, "llama", "balanced", density=0.1),
        _of("topk_sampled", 1, "gpt", "balanced", density=0.1),
        _of("randomk", 1, "llama", density=0.1),
        _of("randomk", 3, "llama", density=0.1),
        _of("randomk", 2, "gpt", shared_seed=False, density=0.1),
        _of("dgc", 1, "gpt", density=0.1, min_bytes=3000),
        _of("dgc", 3, "llama", "balanced", density=0.1, microbatch=4),
        _of("powersgd", 1, "llama", rank=2),
        _of("powersgd", 3, "llama", rank=2, microbatch=4),
        _of("powersgd", 2, "hstu", rank=2, error_feedback=False),
        _of("adaptive", 1, decided={"0.b0": "int8", "0.b1": "none", "0.b2": "topk", "0.b3": "powersgd",
                                    "0.b4": "bf16"}),
        _of("topk", 0, density=1.0, **CARRIED),
        _of("topk", 0, "gpt", density=1.0, optimizer="sgd", overlap={"grad_reduce": False}, **CARRIED),
        *(_of(method, 0, "gpt", overlap={"grad_reduce": False}, **CARRIED) for method in ("bf16", "int8", "powersgd")),
        _of("dgc", 0, density=0.1, **CARRIED),
        *(("gpt", {"data": 2, "compression": {"method": method, "density": 0.1}, "aggregation": {"sparse": "balanced"},
                   **SMALL}) for method in ("topk_sampled", "dgc")),
        ("gpt", {"data": 2, "compression": {"method": "randomk", "density": 0.1, "shared_seed": False},
                 "aggregation": {"sparse": "balanced"}}),
    ],
    4: [
        _of("topk", 1, "gpt", pipeline=2, density=1.0, bucket_mib=0.003),
        _of("int8", 1, "gpt", pipeline=2, bucket_mib=0.003),
        _of("int8", 1, "llama", data=4, microbatch=1, optimizer="adam"),
        _of("int8", 3, "llama", data=4, microbatch=1),
        _of("topk", 3, "gpt", "balanced", pipeline=2, density=1.0, reshard_after_forward=False),
        _of("onebit", 2, "gpt", tensor=2, sequence_parallel=True),
        _of("int8", 1, "gpt", data=4, microbatch=1, inside=2, block=64),
        _of("int8", 3, "llama", data=4, microbatch=1, inside=2, optimizer="adam"),
        _of("powersgd", 1, "gpt", pipeline=2, rank=2),
        _of("topk", 1, "llama", "balanced", data=4, microbatch=1, density=0.05),
    ],
    8: [
        _of("int8", 1, "gpt", tensor=2, pipeline=2, microbatch=1, sequence_parallel=True),
        _of("topk", 3, "llama", "balanced", data=8, microbatch=1, density=1.0),
        _of("bf16", 2, "llama", data=8, microbatch=1),
        _of("int8", 2, "llama", data=8, microbatch=1, inside=4),
    ],
}  # fmt: skip

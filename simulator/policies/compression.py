"""Gradient compressors by the plan's words: the one table that the simulator and the executor look in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.policies.casts import Bf16, Fp16
from simulator.policies.codecs import Codec, Int8, Sign
from simulator.policies.compressor import Compressor
from simulator.policies.low_rank import PowerSgd
from simulator.policies.quantized import Balanced, Gathered
from simulator.policies.random_k import RandomK, RandomPairs
from simulator.policies.sampled import Dgc, SampledTopK
from simulator.policies.sparse import BalancedTopK, TopK

if TYPE_CHECKING:
    from simulator.plans import Compression, Plan


@dataclass(frozen=True, slots=True)
class NoCompression(Compressor):
    """Gradients as they are."""


def _quantized(codec: Codec, plan: Compression, sparse: str, ranks: int) -> Compressor:
    if sparse == "balanced":
        return Balanced(codec, ranks, plan.error_feedback)
    return Gathered(codec, plan.error_feedback)


def _topk(plan: Compression, sparse: str, ranks: int) -> Compressor:
    if sparse == "balanced":
        return BalancedTopK(plan.density, ranks, plan.error_feedback)
    return TopK(plan.density, plan.error_feedback)


COMPRESSORS: dict[str, Callable[..., Compressor]] = {
    "none": lambda plan, sparse, ranks: NoCompression(),
    "fp16": lambda plan, sparse, ranks: Fp16(plan.error_feedback),
    "bf16": lambda plan, sparse, ranks: Bf16(plan.error_feedback),
    "int8": lambda plan, sparse, ranks: _quantized(Int8(plan.block), plan, sparse, ranks),
    "onebit": lambda plan, sparse, ranks: _quantized(Sign(), plan, sparse, ranks),
    "topk": _topk,
    "topk_sampled": lambda plan, sparse, ranks: SampledTopK(plan.density, plan.error_feedback, plan.sample),
    "randomk": lambda plan, sparse, ranks: (RandomK if plan.shared_seed else RandomPairs)(
        plan.density, plan.error_feedback
    ),
    "dgc": lambda plan, sparse, ranks: Dgc(
        plan.density, plan.error_feedback, plan.sample, plan.momentum, plan.clipping, plan.warm_up, ranks
    ),
    "powersgd": lambda plan, sparse, ranks: PowerSgd(plan.rank, plan.error_feedback),
}


def make_compressor(plan: Compression, sparse: str = "allgather", ranks: int = 1) -> Compressor:
    """The compressor that a plan's `compression` names.

    sparse: the plan's `aggregation.sparse`, of payloads that cannot be summed. ranks: how many reduce together.
    """
    return COMPRESSORS[plan.method](plan, sparse, ranks)


def compressor_of(plan: Plan, method: str) -> Compressor:
    """The compressor of this name in a whole resolved plan: with its keys of `compression` and `aggregation.sparse`,
    over its data x context ranks."""
    return make_compressor(plan.compression.of(method), plan.aggregation.sparse, plan.replicas)


def methods_of(plan: Plan) -> tuple[str, ...]:
    """What a plan's buckets may be compressed by."""
    compression = plan.compression
    if compression.method != "adaptive":
        return (compression.method,)
    return ("none", *compression.candidates, *(method for _, method in compression.decided or ()))


def collectives_of(plan: Plan) -> tuple[str, ...]:
    """The collectives that reduce a plan's buckets, each once."""
    found = [op for method in methods_of(plan) for op in compressor_of(plan, method).collectives]
    return tuple(dict.fromkeys(found + (["all_reduce"] if plan.compression.min_bytes else [])))


def method_of(plan: Plan, pipeline_rank: int, bucket: str, size_bytes: int) -> str:
    """How one bucket is compressed. Adaptive compression that has decided nothing yet compresses nothing."""
    compression = plan.compression
    if compression.method == "none" or size_bytes < compression.min_bytes:
        return "none"
    if compression.method == "adaptive":
        return dict(compression.decided or ()).get(f"{pipeline_rank}.{bucket}", "none")
    return compression.method

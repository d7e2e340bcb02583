"""Gradient compressors by the plan's words: the one table that the simulator and the executor look in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.errors import NotSupportedYet
from simulator.policies.casts import Bf16, Fp16
from simulator.policies.codecs import Codec, Int8, Sign
from simulator.policies.compressor import Compressor
from simulator.policies.low_rank import PowerSgd
from simulator.policies.quantized import Balanced, Gathered
from simulator.policies.random_k import RandomK
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
    "randomk": lambda plan, sparse, ranks: RandomK(plan.density, plan.error_feedback),
    "dgc": lambda plan, sparse, ranks: Dgc(
        plan.density, plan.error_feedback, plan.sample, plan.momentum, plan.clipping, plan.warm_up, ranks
    ),
    "powersgd": lambda plan, sparse, ranks: PowerSgd(plan.rank, plan.error_feedback),
}


def make_compressor(plan: Compression, sparse: str = "allgather", ranks: int = 1) -> Compressor:
    """The compressor that a plan's `compression` names.

    sparse: the plan's `aggregation.sparse`, of payloads that cannot be summed. ranks: how many reduce together.
    """
    if plan.method not in COMPRESSORS:
        raise NotSupportedYet(
            f"{plan.method} is not supported yet; use one of {', '.join(COMPRESSORS)}", key="plan.compression.method"
        )
    return COMPRESSORS[plan.method](plan, sparse, ranks)


def compressor_of(plan: Plan) -> Compressor:
    """The compressor of a whole resolved plan: its `compression`, `aggregation.sparse`, and data x context ranks."""
    return make_compressor(plan.compression, plan.aggregation.sparse, plan.data * plan.context)


def leaves_alone(plan: Plan, size_bytes: int) -> bool:
    """Whether a bucket of so many bytes is sent as it is."""
    return plan.compression.method == "none" or size_bytes < plan.compression.min_bytes

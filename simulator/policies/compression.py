"""Gradient compressors by the plan's words: the one table that the simulator and the executor look in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.policies.balanced import BalancedPairs
from simulator.policies.casts import Bf16, Fp16
from simulator.policies.codecs import Codec, Int8, Sign
from simulator.policies.compressor import Compressor
from simulator.policies.low_rank import PowerSgd
from simulator.policies.owners import (
    CastToOwners,
    GatheredPairsToOwners,
    PairsToOwners,
    RandomKToOwners,
)
from simulator.policies.quantized import Balanced, Gathered
from simulator.policies.quantized_owners import CodecInTwoHops, CodecToOwners
from simulator.policies.random_k import RandomK, RandomPairs
from simulator.policies.sampled import Dgc, SampledTopK
from simulator.policies.sparse import TopK

if TYPE_CHECKING:
    from simulator.plans import Compression, Plan


@dataclass(frozen=True, slots=True)
class NoCompression(Compressor):
    """Gradients as they are."""


def _codec(plan: Compression) -> Codec:
    return Int8(plan.block) if plan.method == "int8" else Sign()


def _picks(plan: Compression, ranks: int) -> TopK:
    """How a sparse method picks the entries that it sends as pairs."""
    stated = plan.density, plan.error_feedback
    if plan.method == "topk_sampled":
        return SampledTopK(*stated, plan.sample)
    if plan.method == "dgc":
        return Dgc(*stated, plan.sample, plan.momentum, plan.clipping, plan.warm_up, ranks)
    return RandomPairs(*stated) if plan.method == "randomk" else TopK(*stated)


def _quantized(plan: Compression, sparse: str, ranks: int) -> Compressor:
    if sparse == "balanced":
        return Balanced(_codec(plan), ranks, plan.error_feedback)
    return Gathered(_codec(plan), plan.error_feedback)


def _pairs(plan: Compression, sparse: str, ranks: int) -> Compressor:
    return BalancedPairs(_picks(plan, ranks), ranks) if sparse == "balanced" else _picks(plan, ranks)


def _random(plan: Compression, sparse: str, ranks: int) -> Compressor:
    return RandomK(plan.density, plan.error_feedback) if plan.shared_seed else _pairs(plan, sparse, ranks)


COMPRESSORS: dict[str, Callable[[Compression, str, int], Compressor]] = {
    "none": lambda plan, sparse, ranks: NoCompression(),
    "fp16": lambda plan, sparse, ranks: Fp16(plan.error_feedback),
    "bf16": lambda plan, sparse, ranks: Bf16(plan.error_feedback),
    "int8": _quantized,
    "onebit": _quantized,
    "topk": _pairs,
    "topk_sampled": _pairs,
    "randomk": _random,
    "dgc": _pairs,
    "powersgd": lambda plan, sparse, ranks: PowerSgd(plan.rank, plan.error_feedback),
}
"""Of all-reduces: every rank gets the whole sum."""


def _pairs_to_owners(plan: Compression, sparse: str, ranks: int) -> Compressor:
    form = PairsToOwners if sparse == "balanced" else GatheredPairsToOwners
    return form(_picks(plan, ranks), ranks)


def _random_to_owners(plan: Compression, sparse: str, ranks: int) -> Compressor:
    if plan.shared_seed:
        return RandomKToOwners(RandomK(plan.density, plan.error_feedback), ranks)
    return _pairs_to_owners(plan, sparse, ranks)


def _codec_to_owners(plan: Compression, sparse: str, ranks: int) -> Compressor:
    if plan.inside and 1 < plan.inside < ranks:
        return CodecInTwoHops(_codec(plan), ranks, plan.inside, plan.error_feedback)
    return CodecToOwners(_codec(plan), ranks, plan.error_feedback)


TO_OWNERS: dict[str, Callable[[Compression, str, int], Compressor]] = {
    "fp16": lambda plan, sparse, ranks: CastToOwners(Fp16(plan.error_feedback), ranks),
    "bf16": lambda plan, sparse, ranks: CastToOwners(Bf16(plan.error_feedback), ranks),
    "int8": _codec_to_owners,
    "onebit": _codec_to_owners,
    "topk": _pairs_to_owners,
    "topk_sampled": _pairs_to_owners,
    "randomk": _random_to_owners,
    "dgc": _pairs_to_owners,
}
"""Of reduce-scatters. What is not here (PowerSGD, whose factors are small) is reduced to all; each keeps its part."""


def make_compressor(
    plan: Compression, sparse: str = "allgather", ranks: int = 1, *, sharded: bool = False
) -> Compressor:
    """The compressor that a plan's `compression` names.

    sparse: the plan's `aggregation.sparse`, of payloads that cannot be summed. ranks: how many reduce together.
    sharded: the sum of each part is needed by its owner alone (ZeRO).
    """
    table = {**COMPRESSORS, **TO_OWNERS} if sharded else COMPRESSORS
    return table[plan.method](plan, sparse, ranks)


def compressor_of(plan: Plan, method: str) -> Compressor:
    """The compressor of this name in a whole resolved plan: with its keys of `compression` and `aggregation.sparse`,
    over its data x context ranks."""
    stated, sparse = plan.compression.of(method), plan.aggregation.sparse
    return make_compressor(stated, sparse, plan.replicas, sharded=plan.shards > 1)


def methods_of(plan: Plan) -> tuple[str, ...]:
    """What a plan's buckets may be compressed by."""
    compression = plan.compression
    if compression.method != "adaptive":
        return (compression.method,)
    return ("none", *compression.candidates, *(method for _, method in compression.decided or ()))


def collectives_of(plan: Plan) -> tuple[str, ...]:
    """The collectives that reduce a plan's buckets, each once."""
    plain, found = "reduce_scatter" if plan.shards > 1 else "all_reduce", []
    for method in methods_of(plan):
        found += [plain] if method == "none" else compressor_of(plan, method).collectives
    return tuple(dict.fromkeys(found + ([plain] if plan.compression.min_bytes else [])))


def method_of(plan: Plan, pipeline_rank: int, bucket: str, size_bytes: int) -> str:
    """How one bucket is compressed. Adaptive compression that has decided nothing yet compresses nothing."""
    compression = plan.compression
    if compression.method == "none" or size_bytes < compression.min_bytes:
        return "none"
    if compression.method == "adaptive":
        return dict(compression.decided or ()).get(f"{pipeline_rank}.{bucket}", "none")
    return compression.method

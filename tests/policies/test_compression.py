"""Compressors: bytes on the wire and passes over memory."""

from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import kinds
from simulator.model.work import Kernel
from simulator.policies.balanced import BalancedPairs
from simulator.policies.casts import Bf16, Fp16
from simulator.policies.codecs import Int8, Sign
from simulator.policies.compression import COMPRESSORS, NoCompression, make_compressor
from simulator.policies.compression_settings import Compression
from simulator.policies.compressor import elements
from simulator.policies.low_rank import PowerSgd
from simulator.policies.quantized import Balanced, Gathered
from simulator.policies.random_k import RandomK
from simulator.policies.sampled import Dgc, SampledTopK
from simulator.policies.sparse import TopK

LAYER = ((4096, 1024), (4096,), (1024, 4096), (1024,))
COUNT = 2 * 4096 * 1024 + 4096 + 1024
SHAPES = st.lists(
    st.one_of(st.tuples(st.integers(1, 5000)), st.tuples(st.integers(1, 3000), st.integers(1, 3000))),
    min_size=1,
    max_size=5,
).map(tuple)
ALL = [
    NoCompression(),
    Bf16(),
    Bf16(True),
    Fp16(),
    Gathered(Int8(256)),
    Gathered(Sign(), False),
    Balanced(Int8(7), 8),
    Balanced(Sign(), 8, False),
    RandomK(0.01),
    SampledTopK(0.01),
    SampledTopK(0.2, False, 0.5),
    Dgc(0.01),
    Dgc(0.001, False, 0.01, 0.0, 1.0, 4, 8),
    TopK(0.01),
    TopK(0.3, error_feedback=False),
    BalancedPairs(TopK(0.02), 8),
    PowerSgd(4),
    PowerSgd(1, False),
]


def sent(compressor, shapes=LAYER, dtype="fp32"):
    return [phase.wire_bytes for phase in compressor.phases(shapes, dtype)]


def moved(kernels):
    return sum(kernel.bytes_moved for kernel in kernels)


def test_nothing_is_done_without_compression():
    for dtype, size in (("fp32", 4), ("bf16", 2)):
        assert sent(NoCompression(), dtype=dtype) == [COUNT * size]
    assert NoCompression().phases(LAYER, "fp32")[0].encode == NoCompression().decode(LAYER, "fp32", 8) == ()


def test_bf16_halves_a_full_precision_reduction():
    (phase,) = Bf16().phases(LAYER, "fp32")
    assert phase.wire_bytes == COUNT * 2
    assert moved(phase.encode) == moved(Bf16().decode(LAYER, "fp32", 8)) == 6 * COUNT  # reads 4, writes 2, and back
    (already,) = Bf16().phases(LAYER, "bf16")
    assert (already.wire_bytes, already.encode) == (COUNT * 2, ())


@pytest.mark.parametrize("ranks", [2, 8, 64])
@pytest.mark.parametrize("density", [0.001, 0.01, 0.5])
def test_topk_gathers_2_k_numbers_from_every_other_rank(ranks, density):
    compressor = TopK(density)
    kept = max(1, round(density * COUNT))
    (payload,) = sent(compressor)
    received = (ranks - 1) * payload / 4  # in 4-byte numbers
    assert received == 2 * kept * (ranks - 1)
    assert not compressor.all_reducible


@pytest.mark.parametrize("density", [0.001, 0.01, 0.5])
def test_balanced_topk_sends_4_k_numbers_whatever_the_ranks(density):
    """Two exchanges of 2k(P-1)/P numbers each: within Ok-Topk's 6k(P-1)/P, and flat where gathering grows with P."""
    numbers = {}
    for ranks in (2, 8, 64, 512):
        compressor = BalancedPairs(TopK(density), ranks)
        to_all, own = sent(compressor)
        kept = ranks * compressor.kept(COUNT)
        assert kept == pytest.approx(density * COUNT, rel=0.5 * ranks / (density * COUNT) + 1e-12)
        numbers[ranks] = (to_all * (ranks - 1) / ranks + own * (ranks - 1)) / 4
        assert numbers[ranks] == 4 * kept * (ranks - 1) / ranks < 6 * kept * (ranks - 1) / ranks
        gathered = sent(TopK(density))[0] * (ranks - 1) / 4
        assert (numbers[ranks] < gathered) == (ranks > 2)
    assert numbers[512] < 2.1 * numbers[2]
    assert not compressor.all_reducible


def test_balanced_topk_passes_over_memory():
    first, second = BalancedPairs(TopK(0.25), 4).phases(((1000,),), "fp32")
    # residual added 12 n, magnitudes 8 n, selection 4 n, 4 x 62 pairs gathered, the residual's copy 8 n
    assert [(kernel.op, kernel.bytes_moved) for kernel in first.encode] == [
        ("elementwise", 12_000), ("elementwise", 8_000), ("topk", 4_000), ("scatter_add", 248 * 16), ("copy", 8_000),
    ]  # fmt: skip
    # 250 sums zeroed, 248 pairs added, magnitudes and selection of 250, 62 pairs gathered
    assert [(kernel.op, kernel.bytes_moved) for kernel in second.encode] == [
        ("elementwise", 1_000), ("scatter_add", 248 * 16), ("elementwise", 2_000), ("topk", 1_000),
        ("scatter_add", 62 * 16),
    ]  # fmt: skip
    decoded = BalancedPairs(TopK(0.25), 4).decode(((1000,),), "fp32", 4)
    assert [kernel.bytes_moved for kernel in decoded] == [4_000, 248 * 8, 248 * 12, 248 * 12]
    assert len(BalancedPairs(TopK(0.25, False), 4).decode(((1000,),), "fp32", 4)) == 2


def test_topk_keeps_at_least_one_entry():
    assert sent(TopK(0.0001), ((3,),)) == [8]


def test_topk_passes_over_memory():
    (phase,) = TopK(0.25).phases(((1000,),), "fp32")
    # residual added 12 n, magnitudes 8 n, selection 4 n, residual copied 8 n; 250 entries gathered and zeroed
    assert [(kernel.op, kernel.bytes_moved) for kernel in phase.encode] == [
        ("elementwise", 12_000), ("elementwise", 8_000), ("topk", 4_000), ("scatter_add", 250 * 16), ("copy", 8_000),
        ("scatter_add", 250 * 8),
    ]  # fmt: skip
    forgetful = TopK(0.25, error_feedback=False).phases(((1000,),), "fp32")[0].encode
    assert [kernel.op for kernel in forgetful] == ["elementwise", "topk", "scatter_add"]
    assert [kernel.bytes_moved for kernel in TopK(0.25).decode(((1000,),), "fp32", 8)] == [4_000, 8 * 250 * 16]


def test_topk_decoding_grows_with_the_ranks_and_powersgds_does_not():
    sparse, low_rank = TopK(0.01), PowerSgd(4)
    assert moved(sparse.decode(LAYER, "fp32", 64)) > 2 * moved(sparse.decode(LAYER, "fp32", 8))
    assert low_rank.decode(LAYER, "fp32", 64) == low_rank.decode(LAYER, "fp32", 8)
    assert low_rank.all_reducible


def test_powersgd_sends_two_factors_and_all_vectors():
    # two matrices, rank 4: P has 4096 and 1024 rows, Q 1024 and 4096; the 5120 biases travel with P
    assert sent(PowerSgd(4)) == [4 * (4 * (4096 + 1024) + 5120), 4 * 4 * (1024 + 4096)]
    first, second = PowerSgd(4).phases(LAYER, "fp32")
    products = [kernel.shape for kernel in first.encode + second.encode if kernel.op == "gemm"]
    assert products == [(4096, 4, 1024), (1024, 4, 4096), (1024, 4, 4096), (4096, 4, 1024)]
    assert [kernel.op for kernel in second.encode] == ["orthogonalize", "gemm"] * 2
    rebuilt = [kernel.shape for kernel in PowerSgd(4).decode(LAYER, "fp32", 8) if kernel.op == "gemm"]
    assert rebuilt == [(4096, 1024, 4), (1024, 4096, 4)]


def test_powersgd_leaves_small_tensors_alone():
    # (8 + 8) x 4 x 2 is not below 64: factors would not be half as large
    assert sent(PowerSgd(4), ((8, 8), (100,))) == [4 * 164]
    assert PowerSgd(4).phases(((8, 8), (100,)), "fp32")[0].encode == ()
    assert PowerSgd(4).factors(((64, 32, 32),)) == [(64, 1024, 4)]  # convolutions are matrices of their first dimension


@given(st.sampled_from(ALL), SHAPES, st.sampled_from(["fp32", "bf16"]))
def test_payloads_that_can_be_summed_are_no_larger_than_the_gradient(compressor, shapes, dtype):
    phases = compressor.phases(shapes, dtype)
    size = elements(shapes) * (4 if dtype == "fp32" else 2)
    if compressor.all_reducible:
        assert sum(phase.wire_bytes for phase in phases) <= size
    assert len(phases) <= len(compressor.collectives)
    assert all(phase.op == op for phase, op in zip(phases, compressor.collectives, strict=False))
    kernels = [kernel for phase in phases for kernel in phase.encode] + list(compressor.decode(shapes, dtype, 4))
    assert all(isinstance(kernel, Kernel) and kernel.kind == kinds.COMPRESSION for kernel in kernels)
    assert all(kernel.bytes_moved > 0 for kernel in kernels)


def test_the_plan_names_the_compressor():
    plan = SimpleNamespace(method="topk", density=0.01, rank=None, error_feedback=True)
    assert make_compressor(plan) == TopK(0.01)
    assert make_compressor(plan, "balanced", 16) == BalancedPairs(TopK(0.01), 16)
    for name in COMPRESSORS:
        for sparse, sharded in product(("allgather", "balanced"), (False, True)):
            assert make_compressor(Compression(method=name), sparse, 4, sharded=sharded).name == name

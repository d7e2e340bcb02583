"""Quantized, random and sampled compressors: bytes of the payload, passes over memory, growth with the ranks."""

import pytest

from simulator.policies.codecs import Int8, Sign
from simulator.policies.compression import make_compressor
from simulator.policies.compression_settings import Compression
from simulator.policies.quantized import Balanced, Gathered
from simulator.policies.random_k import RandomK
from simulator.policies.sampled import Dgc, SampledTopK
from simulator.policies.sparse import number_of

FLAT = ((1000,),)


def listed(kernels):
    return [(kernel.op, kernel.bytes_moved) for kernel in kernels]


def test_int8_is_a_byte_an_entry_and_four_for_each_block():
    (phase,) = Gathered(Int8(256)).phases(FLAT, "fp32")
    assert phase.wire_bytes == 1000 + 4 * 4
    assert listed(phase.encode) == [
        ("elementwise", 12_000), ("elementwise", 4_016), ("quantize", 5_016), ("dequantize", 9_016),
    ]  # fmt: skip
    assert listed(Gathered(Int8(256)).decode(FLAT, "fp32", 8)) == [("elementwise", 4_000), ("dequantize", 8 * 9_016)]


def test_onebit_is_a_bit_an_entry_and_one_scale():
    (phase,) = Gathered(Sign(), error_feedback=False).phases(((1001,),), "fp32")
    assert phase.wire_bytes == 4 + 126
    assert listed(phase.encode) == [("elementwise", 4_004), ("pack_signs", 4_004 + 130)]
    assert listed(Gathered(Sign()).decode(FLAT, "fp32", 8)) == [("elementwise", 4_000), ("unpack_signs", 8 * 8_129)]


@pytest.mark.parametrize("codec", [Int8(256), Sign()], ids=lambda codec: codec.name)
def test_spread_over_the_ranks_a_quantized_sum_is_two_payloads_whatever_their_number(codec):
    received = {}
    for ranks in (2, 16, 128):
        to_all, own = Balanced(codec, ranks).phases(((1_000_000,),), "fp32")
        region = codec.payload_bytes(-(-1_000_000 // ranks))
        assert (to_all.wire_bytes, own.wire_bytes) == (ranks * region, region)
        received[ranks] = 2 * region * (ranks - 1)
        gathered = Gathered(codec).phases(((1_000_000,),), "fp32")[0].wire_bytes * (ranks - 1)
        assert (received[ranks] < gathered) == (ranks > 2)
    assert received[128] < 2.1 * received[2]


def test_random_k_sends_values_only_and_is_summed_on_the_way():
    (phase,) = RandomK(0.05).phases(FLAT, "bf16")
    assert (phase.op, phase.wire_bytes) == ("all_reduce", 50 * 2)
    assert RandomK(0.05).all_reducible
    assert listed(RandomK(0.05, False).phases(FLAT, "fp32")[0].encode) == [("random_places", 400), ("scatter_add", 600)]


def test_a_sampled_threshold_selects_over_the_sample_and_over_what_passed():
    (exact,) = make_compressor(Compression(method="topk", density=0.05)).phases(FLAT, "fp32")
    (sampled,) = SampledTopK(0.05, True, 0.1).phases(FLAT, "fp32")
    assert sampled.wire_bytes == exact.wire_bytes == 50 * 8
    assert listed(sampled.encode) == [
        ("elementwise", 12_000), ("elementwise", 8_000), ("scatter_add", 800), ("topk", 400), ("threshold", 6_000),
        ("topk", 200), ("scatter_add", 800), ("copy", 8_000), ("scatter_add", 400),
    ]  # fmt: skip


def test_dgc_keeps_momentum_and_velocity():
    (phase,) = Dgc(0.05, True, 0.1, clipping=1.0).phases(FLAT, "fp32")
    assert listed(phase.encode)[:4] == [("elementwise", bytes_) for bytes_ in (4_000, 8_000, 12_000, 12_000)]
    assert listed(phase.encode)[-2:] == [("scatter_add", 400)] * 2
    assert (Dgc(0.05).remembered(1000), Dgc(0.05, False).remembered(1000)) == (2000, 1000)
    densities = [Dgc(0.01, warm_up=4).density_at(step) for step in (0, 2, 4, 99)]
    assert [number_of(density, 10_000) for density in densities] == [2500, 500, 100, 100]


def test_keys_of_the_plan_reach_the_compressor():
    assert make_compressor(Compression(method="int8", block=64)).codec.block == 64
    dgc = Compression(method="dgc", momentum=0.5, clipping=2.0, warm_up=3, sample=0.5)
    assert make_compressor(dgc, ranks=8) == Dgc(0.01, True, 0.5, 0.5, 2.0, 3, 8)

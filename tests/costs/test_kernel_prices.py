"""Kernel prices: laws of physics, and the word for where each number comes from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs.pricer import Pricer, straggler_pace
from simulator.errors import ScenarioError
from simulator.model.work import Kernel
from simulator.registry import topology
from simulator.units import DTYPE_BYTES

MEASURING_ACCIDENT = 1.5
"""Published points that took longer than 1.5 times what a larger product took were left out (published/build.py)."""

DIMENSION = st.integers(1, 70_000)
TILED = st.integers(64, 20_000)
GROWTH = st.integers(1, 8)
BYTES = st.integers(1, 2**36)
MEMORY_OPS = st.sampled_from(
    ["elementwise", "copy", "cast", "optimizer", "layernorm", "softmax", "cross_entropy", "reduction", "topk",
     "scatter_add", "orthogonalize", "embedding_lookup", "embedding_lookup_zipf",
     "embedding_update", "row_update_adam", "embedding_lookup_host"]
)  # fmt: skip
MACHINES = ("a100_sxm4_80gb", "h100_sxm5_80gb")


def gemm(m, n, k, dtype="bf16"):
    return Kernel("gemm", (m, n, k), dtype, 2 * m * n * k, DTYPE_BYTES[dtype] * (m * k + k * n + m * n))


def attention(op="attention_forward", batch=4, heads=16, kv_heads=16, seq=2048, head_dim=128, causal=1):
    return Kernel(op, (batch, heads, kv_heads, seq, seq, head_dim, causal), "bf16")


def memory(op, num_bytes):
    return Kernel(op, (num_bytes,), "bf16", 0, num_bytes)


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


# laws


@given(DIMENSION, DIMENSION, DIMENSION, st.sampled_from(["bf16", "fp16", "tf32", "fp32"]), st.sampled_from(MACHINES))
def test_no_gemm_beats_the_roofline(isolated, m, n, k, dtype, machine):
    pricer = isolated[machine]
    device = pricer.cluster.node_type.device
    kernel = gemm(m, n, k, dtype)
    bound_ns = 1e9 * max(kernel.flops / device.peak(dtype), kernel.bytes_moved / device.memory_bandwidth_bytes_per_s)
    assert pricer.kernel(kernel).duration_ns >= bound_ns * (1 - 1e-8) - 1


@given(st.tuples(DIMENSION, DIMENSION, DIMENSION), st.tuples(GROWTH, GROWTH, GROWTH), st.sampled_from(MACHINES))
def test_a_gemm_as_large_in_each_dimension_never_costs_less_than_the_quantisation_in_the_data(
    isolated, shape, growth, machine
):
    """cuBLAS changes kernels, so published times do fall here and there; nowhere by more than 1.5."""
    larger = tuple(size * factor for size, factor in zip(shape, growth, strict=True))
    prices = [isolated[machine].kernel(gemm(*dimensions)).duration_ns for dimensions in (shape, larger)]
    assert prices[0] <= MEASURING_ACCIDENT * prices[1]


@given(st.tuples(TILED, TILED, TILED), st.sampled_from(MACHINES))
def test_four_times_in_each_dimension_costs_more(isolated, shape, machine):
    larger = tuple(4 * size for size in shape)
    assert isolated[machine].kernel(gemm(*larger)).duration_ns > isolated[machine].kernel(gemm(*shape)).duration_ns


@given(MEMORY_OPS, BYTES, BYTES, st.sampled_from(MACHINES))
def test_more_bytes_never_cost_less(pricers, op, one, other, machine):
    low, high = sorted((one, other))
    assert pricers[machine].kernel(memory(op, low)).duration_ns <= pricers[machine].kernel(memory(op, high)).duration_ns


@given(MEMORY_OPS, BYTES, st.sampled_from(MACHINES))
def test_no_memory_bound_kernel_beats_its_bus(pricers, op, num_bytes, machine):
    device = pricers[machine].cluster.node_type.device
    host = op.endswith("_host")
    rate = device.host_link_bytes_per_s if host else device.memory_bandwidth_bytes_per_s
    assert pricers[machine].kernel(memory(op, num_bytes)).duration_ns >= 1e9 * num_bytes / rate * (1 - 1e-8) - 1


@given(
    st.integers(1, 64), st.sampled_from([4, 8, 32, 64]), st.integers(64, 20_000), st.sampled_from([64, 128, 256]),
    st.sampled_from(MACHINES),
)  # fmt: skip
def test_attention_stays_under_its_peak_and_grows_with_length(isolated, batch, heads, seq, head_dim, machine):
    pricer = isolated[machine]
    short, long = (pricer.kernel(attention(batch=batch, heads=heads, kv_heads=heads, seq=s, head_dim=head_dim))
                   for s in (seq, 2 * seq))  # fmt: skip
    flops = 2 * batch * heads * seq**2 * head_dim
    assert short.duration_ns >= 1e9 * flops / pricer.cluster.node_type.device.peak("bf16") * (1 - 1e-8) - 1
    assert long.duration_ns > short.duration_ns


def test_backward_of_attention_costs_two_and_a_half_forwards_and_more(isolated, machine):
    forward, backward = (isolated[machine].kernel(attention(op)) for op in ("attention_forward", "attention_backward"))
    assert 2.5 < backward.duration_ns / forward.duration_ns < 3.5


def test_a_causal_mask_saves_less_than_half(isolated, machine):
    causal, full = (isolated[machine].kernel(attention(causal=flag)).duration_ns for flag in (1, 0))
    assert 1.5 < full / causal < 2


def test_grouped_queries_are_no_dearer(isolated, machine):
    grouped, full = (isolated[machine].kernel(attention(heads=32, kv_heads=count)).duration_ns for count in (8, 32))
    assert grouped <= full


def test_a_step_is_no_faster_than_isolated_kernels(pricers, isolated, machine):
    for kernel in (gemm(4096, 4096, 4096), attention(), memory("elementwise", 10**9)):
        assert pricers[machine].kernel(kernel).duration_ns >= isolated[machine].kernel(kernel).duration_ns


def test_clock_under_load_slows_compute_and_not_memory(pricers, isolated):
    machine = "h100_sxm5_80gb"
    profile = pricers[machine].profile
    clock, pace = profile.constant("clock_under_load"), straggler_pace(profile, pricers[machine].cluster.nodes)
    ratio = [pricers[machine].kernel(k).duration_ns / isolated[machine].kernel(k).duration_ns / pace
             for k in (gemm(8192, 8192, 8192), gemm(16, 16384, 16384))]  # fmt: skip
    assert ratio[0] == pytest.approx(clock, rel=1e-4)
    assert 1.0 <= ratio[1] < 1 + (clock - 1) / 5


def test_operands_measured_in_the_cache_come_from_memory_in_a_step(profiles, isolated):
    """Some published products read their operands out of the L2 cache, faster than memory: they cost the bound."""
    profile = profiles["h100_sxm5_80gb"]
    table = profile.kernels["gemm", "bf16"]
    m, n, k = (table.columns[axis] for axis in "mnk")
    bound_s = 2 * (m * k + k * n + m * n) / profile.device.memory_bandwidth_bytes_per_s
    faster = np.flatnonzero(table.median_s < bound_s)
    assert 0 < len(faster) < len(m) / 100
    for row in faster:
        price = isolated["h100_sxm5_80gb"].kernel(gemm(int(m[row]), int(n[row]), int(k[row])))
        assert price.duration_ns == pytest.approx(bound_s[row] * 1e9, abs=1) and price.source == "datasheet"


# provenance


def test_a_published_shape_is_published_to_the_nanosecond(profiles, isolated, machine):
    table = profiles[machine].kernels["gemm", "bf16"]
    for row in range(1000, len(table.median_s), 611):
        m, n, k = (int(table.columns[axis][row]) for axis in "mnk")
        price = isolated[machine].kernel(gemm(m, n, k))
        if price.source != "datasheet":  # faster than memory allows: operands were in the L2 cache
            assert price.source == "published"
            assert price.duration_ns == round(table.median_s[row] * 1e9)


@pytest.mark.parametrize(
    ("kernel", "source"),
    [
        (gemm(2048, 4096, 4096), "published"),
        (gemm(2048, 4096, 4096, "fp16"), "published"),
        (gemm(3000, 4000, 5000), "interpolated"),
        (gemm(100_000, 4096, 4096), "extrapolated"),
        (gemm(2048, 4096, 4096, "tf32"), "extrapolated"),
        (attention(batch=1, heads=32, kv_heads=32), "published"),
        (attention(seq=1800), "interpolated"),
        (attention(seq=100_000), "extrapolated"),
        (attention("attention_backward"), "extrapolated"),
        (memory("elementwise", 10**9), "interpolated"),
        (memory("topk", 10**9), "datasheet"),
    ],
)
def test_the_source_of_each_kind_of_price(isolated, kernel, source):
    assert isolated["a100_sxm4_80gb"].kernel(kernel).source == source


def test_h100_borrows_its_memory_bound_families_and_says_so(isolated):
    assert isolated["h100_sxm5_80gb"].kernel(memory("elementwise", 10**9)).source == "extrapolated"


def test_fp8_has_its_own_table_on_h100_and_no_arithmetic_on_a100(isolated):
    h100 = isolated["h100_sxm5_80gb"]
    fast, slow = (h100.kernel(gemm(8192, 8192, 8192, dtype)) for dtype in ("fp8", "bf16"))
    assert fast.source == "published" and 1.3 < slow.duration_ns / fast.duration_ns < 2
    with pytest.raises(ScenarioError, match="no fp8 arithmetic; use one of bf16"):
        isolated["a100_sxm4_80gb"].kernel(gemm(64, 64, 64, "fp8"))


def test_an_unknown_kernel_is_named(isolated):
    with pytest.raises(ValueError, match=r"no cost for kernel 'gem'; known: .*gemm"):
        isolated["a100_sxm4_80gb"].kernel(Kernel("gem", (1, 1, 1), "bf16"))


def test_each_op_class_warns_once(profiles, clusters):
    pricer = Pricer(profiles["a100_sxm4_80gb"], clusters["a100_sxm4_80gb"])
    for rows in range(10_000, 20_000, 1000):
        pricer.kernel(gemm(rows, 4096, 4096))
    assert len(pricer.warnings) == 1
    assert "gemm.bf16 lies outside what was measured" in pricer.warnings[0] and "10000x4096x4096" in pricer.warnings[0]


def test_a_sibling_scales_memory_and_extrapolates(profiles):
    big, small = topology("dgx_a100"), topology("dgx_a100_40gb")
    profile = profiles["a100_sxm4_80gb"]
    ours, sibling = (Pricer(profile, cluster).kernel(memory("elementwise", 10**10)) for cluster in (big, small))
    assert sibling.duration_ns / ours.duration_ns == pytest.approx(2039 / 1555, rel=1e-3)
    assert (ours.source, sibling.source) == ("extrapolated", "extrapolated")
    assert Pricer(profile, small).kernel(gemm(2048, 4096, 4096)).source == "extrapolated"
    compute_bound = [Pricer(profile, cluster).kernel(gemm(8192, 8192, 8192)).duration_ns for cluster in (big, small)]
    assert compute_bound[0] <= compute_bound[1] <= 1.002 * compute_bound[0]


# without a profile


@pytest.mark.parametrize("name", ["single_gpu", "cpu_host"])
def test_a_device_without_a_profile_is_priced_from_its_datasheet_with_one_warning(name):
    pricer = Pricer(None, topology(name))
    dtype = "bf16" if name == "single_gpu" else "fp32"
    for kernel in (gemm(512, 512, 512, dtype), memory("elementwise", 10**6)):
        price = pricer.kernel(kernel)
        assert price.source == "datasheet" and price.duration_ns > 0 and price.fit_error > 0
    assert len(pricer.warnings) == 1 and "no cost profile" in pricer.warnings[0]


def test_a_datasheet_is_within_a_factor_two_of_the_published_profile(isolated):
    machine = "a100_sxm4_80gb"
    datasheet = Pricer(None, isolated[machine].cluster)
    for kernel in (gemm(4096, 4096, 4096), attention(seq=4096), memory("elementwise", 10**9)):
        assert 0.5 < datasheet.kernel(kernel).duration_ns / isolated[machine].kernel(kernel).duration_ns < 2


# samples


def test_a_sample_moves_all_prices_of_a_class_by_one_factor(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    drawn = pricer.sampled(0, 3)
    ratios = [drawn.kernel(gemm(*s)).duration_ns / pricer.kernel(gemm(*s)).duration_ns
              for s in ((2048, 4096, 4096), (8192, 4096, 4096))]  # fmt: skip
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-5) and ratios[0] != 1.0
    again = pricer.sampled(0, 3).kernel(gemm(2048, 4096, 4096))
    assert again == drawn.kernel(gemm(2048, 4096, 4096))
    assert pricer.sampled(0, 4).kernel(gemm(2048, 4096, 4096)) != again


def test_an_apex_norm_of_wide_rows_is_slower_than_one_of_narrow_rows(isolated, machine):
    pricer = isolated[machine]
    elements = 2**25
    narrow, wide = (
        pricer.kernel(Kernel("layernorm_apex", (elements // width, width), "fp16", 0, 4 * elements)).duration_ns
        for width in (4096, 16384)
    )
    assert narrow == pricer.kernel(Kernel("layernorm", (elements,), "fp16", 0, 4 * elements)).duration_ns
    assert 1.7 < wide / narrow < 1.9

"""What a software stack or a sibling device changes in a profile, and what the slowest of many nodes costs."""

from dataclasses import replace

import pytest

from simulator.costs.pricer import Pricer, straggler_pace
from simulator.costs.profile_entries import Constant
from simulator.kinds import DATA, TENSOR
from simulator.model.work import Kernel
from simulator.registry import topology
from simulator.units import FULL_RATE

GEMM = Kernel("gemm", (8192, 8192, 8192), "bf16", 2 * 8192**3, 6 * 8192**2)
FLASH = Kernel("attention_forward", (4, 16, 16, 2048, 2048, 128, 1), "bf16")
FLASH_BACKWARD = replace(FLASH, op="attention_backward")


def having(profile, **values):
    added = {name.replace("__", "@"): Constant(value, "1", "fitted", "by hand") for name, value in values.items()}
    return replace(profile, constants={**profile.constants, **added})


@pytest.fixture
def h100(profiles):
    return having(profiles["h100_sxm5_80gb"], straggler_per_doubling=0.0, clock_under_load=1.2)


def test_a_constant_of_a_variant_stands_in_for_the_plain_one(h100):
    profile = having(h100, clock_under_load__old=1.5, clock_under_load__small=1.7)
    assert profile.variant("other") is profile
    assert profile.variant("old").constant("clock_under_load") == 1.5
    assert profile.variant("old", "small").constant("clock_under_load") == 1.7, "the device's comes last"
    assert profile.variant("old").digest() == profile.digest(), "the file's"


def test_slower_attention_slows_forward_and_backward_and_nothing_else(h100):
    cluster = topology("dgx_h100")
    plain = Pricer(h100, cluster)
    slow = Pricer(having(h100, attention_slowdown__old=2.0).variant("old"), cluster)
    assert slow.kernel(GEMM) == plain.kernel(GEMM)
    for kernel in (FLASH, FLASH_BACKWARD):
        assert slow.kernel(kernel).duration_ns == pytest.approx(2 * plain.kernel(kernel).duration_ns, rel=1e-5)


def test_the_overlap_of_a_variant_slows_kernels_beside_data_parallel_messages_alone(h100):
    cluster = topology("dgx_h100")
    plain = Pricer(h100, cluster)
    slow = Pricer(having(h100, data_overlap_slowdown__old=1.6).variant("old"), cluster)
    assert slow.rates(DATA) == (round(FULL_RATE / 1.6), plain.rates(DATA)[1])
    assert slow.rates(TENSOR) == plain.rates(TENSOR)


def test_each_doubling_of_nodes_slows_kernels_by_as_much(h100):
    """Half a percent a doubling: 16 nodes take 2 % longer than one."""
    profile = having(h100, straggler_per_doubling=0.005)
    one, many = (Pricer(profile, topology("dgx_h100", nodes=nodes)) for nodes in (1, 16))
    assert many.kernel(GEMM).duration_ns == pytest.approx(1.02 * one.kernel(GEMM).duration_ns, rel=1e-5)
    span = topology("dgx_h100", nodes=16).span(range(8))
    assert many.collective("all_reduce", 2**26, span) == one.collective("all_reduce", 2**26, span)
    assert many.slowed(2.0).kernel(GEMM).duration_ns == pytest.approx(2 * many.kernel(GEMM).duration_ns, rel=1e-5)
    alone = Pricer(profile, topology("dgx_h100", nodes=16), under_load=False)
    assert alone.kernel(GEMM).duration_ns < one.kernel(GEMM).duration_ns, "isolated kernels wait for nobody"
    assert straggler_pace(h100, 1024) == 1.0

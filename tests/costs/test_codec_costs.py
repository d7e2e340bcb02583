"""What compression's own cost may be off by is part of the answer wherever nobody measured it."""

import pytest

from simulator import kinds, scenario_from, simulate
from simulator.costs.pricer import Pricer
from simulator.model.work import Kernel
from simulator.policies.compressor import memory_kernel
from simulator.registry import load_profile_for

BASE = {
    "schema_version": 1,
    "name": "slow-net",
    "model": {"trunk": {"block": "gpt", "layers": 4, "hidden": 1024, "heads": 16, "vocab": 32000, "seq": 512}},
    "cluster": {"preset": "dgx_a100", "nodes": 2, "nic_gbit_per_s": 10},
    "plan": {"tensor": 8, "microbatch": 1, "global_batch": 16},
}


def result(*sets):
    return simulate(scenario_from(BASE, sets))


@pytest.mark.parametrize("method", ["topk", "int8", "onebit", "randomk", "topk_sampled", "dgc", "powersgd"])
def test_a_step_at_half_and_double_the_cost_of_encoding_brackets_the_answer(method):
    found = result(f"plan.compression.method={method}")
    span = found.codec_range
    assert span.half_ns < found.timeline.step_ns < span.double_ns
    printed = found.to_dict()
    assert printed["compression_cost"]["source"] == "datasheet"
    assert printed["compression_cost"]["step_time_s_at_double"] > printed["step_time_s"]
    assert printed["warnings"][0].startswith("slow-net: encoding and decoding are priced by passes over memory")


def test_alone_on_the_device_half_and_double_are_half_and_double_of_compression():
    """Without overlap nothing hides behind anything: the step moves by what encoding and decoding take."""
    found = result("plan.compression.method=topk", "plan.overlap.grad_reduce=false")
    cost = found.breakdown["compression"]
    span = found.codec_range
    assert found.timeline.step_ns - span.half_ns == pytest.approx(cost / 2, rel=1e-3)
    assert span.double_ns - found.timeline.step_ns == pytest.approx(cost, rel=1e-3)


def test_nothing_is_said_where_nothing_is_assumed():
    assert result().codec_range is None and result().to_dict()["compression_cost"] is None
    # a cast is an elementwise pass, whose bandwidth is published for this chip
    assert result("plan.compression.method=bf16").codec_range is None


def test_only_compressors_kernels_are_recoded():
    scenario = scenario_from(BASE)
    pricer = Pricer(load_profile_for(scenario), scenario.cluster)
    codec = memory_kernel("elementwise", 10**7, 12)
    other = Kernel(codec.op, codec.shape, codec.dtype, 0, codec.bytes_moved, kinds.COMPUTE)
    doubled = pricer.recoded(2.0)
    assert doubled.kernel(codec).duration_ns == pytest.approx(2 * pricer.kernel(codec).duration_ns, abs=1)
    assert doubled.kernel(other) == pricer.kernel(other) == pricer.kernel(codec)

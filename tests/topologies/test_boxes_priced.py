"""A box whose GPU was never measured says so: a sibling's profile is extrapolated, a datasheet warns."""

import pytest

from simulator import scenario_from, simulate
from simulator.errors import ScenarioError

SMALL = {
    "schema_version": 1,
    "name": "two boxes",
    "dtype": "fp16",
    "model": {"trunk": {"block": "gpt", "layers": 2, "hidden": 1024, "heads": 16, "vocab": 32000, "seq": 1024}},
    "plan": {"tensor": 8, "microbatch": 1, "global_batch": 32},
}


def result_on(preset, **keys):
    return simulate(scenario_from(SMALL | keys | {"cluster": {"preset": preset, "nodes": 2}})).to_dict()


def test_h200_is_priced_from_its_sibling_and_never_as_measured():
    """The same chip with faster memory: no slower than an H100, and no price of a kernel counts as measured."""
    h100, h200 = result_on("dgx_h100"), result_on("dgx_h200")
    assert h200["step_time_s"] < h100["step_time_s"]
    assert h200["provenance"]["interpolated"] == h200["provenance"]["measured"] == 0
    assert h200["provenance"]["extrapolated"] > h100["provenance"]["extrapolated"]
    assert h200["memory_bytes"]["limit"] > h100["memory_bytes"]["limit"]


@pytest.mark.parametrize(("preset", "device"), [("dgx_b200", "b200_sxm_180gb"), ("dgx2_v100", "v100_sxm3_32gb")])
def test_a_gpu_without_a_profile_is_priced_from_its_datasheet_with_a_warning(preset, device):
    result = result_on(preset)
    assert result["provenance"]["datasheet"] == 1.0
    assert any(f"{device} has no cost profile: priced from its datasheet" in words for words in result["warnings"])


def test_a_dtype_that_the_gpu_does_not_have_is_refused():
    with pytest.raises(ScenarioError, match="v100_sxm3_32gb has no bf16 arithmetic; use one of fp16, fp32"):
        result_on("dgx2_v100", dtype="bf16")


@pytest.mark.parametrize(("fewer_nics", "more_nics"), [("p4d", "dgx_a100_40gb"), ("dgx2_v100", "dgx_b200")])
def test_a_box_with_fewer_nics_takes_longer_over_the_network(fewer_nics, more_nics):
    """p4d has a quarter of a DGX A100's rate out of the node, so its gradients take about four times as long."""
    slow, fast = result_on(fewer_nics), result_on(more_nics)
    assert slow["step_time_s"] > fast["step_time_s"]
    assert slow["breakdown_s"]["data_comm"] > 2 * fast["breakdown_s"]["data_comm"]

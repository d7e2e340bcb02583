"""`simulate --missing` writes what no profile has measured, and `calibrate --missing` reads it."""

import json

from scenario_texts import GPT3

from calibration.points import COLLECTIVE, KERNEL
from calibration.scenarios import wanted_by


def test_what_was_extrapolated_is_written_once_and_read_back(rehearse, write, tmp_path):
    out = tmp_path / "m.json"
    code, printed, _ = rehearse("simulate", write(GPT3), write(GPT3, "again.yaml"), "--json", "--missing", out)
    assert code == 0
    rows = json.loads(out.read_text())
    assert len({json.dumps(row) for row in rows}) == len(rows)
    warned = json.loads(printed.splitlines()[0])["warnings"]
    assert any("batched_gemm" in warning for warning in warned) and any(row["op"] == "batched_gemm" for row in rows)
    assert not any(row.get("nodes") == 1 for row in rows)  # published curves hold the messages inside a node
    points = wanted_by(str(out))
    assert {point.what for point in points} <= {KERNEL, COLLECTIVE}
    kernels = [row for row in rows if "shape" in row]
    assert sum(point.what == KERNEL for point in points) == len(kernels) > 5


def test_a_datasheet_has_measured_nothing(rehearse, write, tmp_path):
    out = tmp_path / "m.json"
    code, _, _ = rehearse(
        "simulate", write(GPT3.replace("dgx_a100", "dgx2_v100")), "--set", "dtype=fp16", "--json", "--missing", out
    )
    rows = json.loads(out.read_text())
    assert code == 0
    assert {"gemm", "all_reduce"} <= {row["op"] for row in rows}


def test_a_profile_that_covers_everything_asks_for_nothing(tmp_path):
    """A sampled or a slowed pricer asks in the name of the one it was made of."""
    from simulator.costs.pricer import Pricer
    from simulator.costs.profile import load_profile
    from simulator.model.work import Kernel
    from simulator.registry import profile_path, topology

    prices = Pricer(load_profile(profile_path("a100_sxm4_80gb")), topology("dgx_a100"))
    prices.kernel(Kernel("gemm", (4096, 4096, 4096), "bf16"))
    assert prices.unmeasured == ()
    prices.sampled(0, 0).slowed(1.5).kernel(Kernel("topk", (1024,), "fp32", bytes_moved=4096))
    assert prices.unmeasured == ({"op": "topk", "shape": (1024,), "dtype": "fp32", "bytes_moved": 4096},)

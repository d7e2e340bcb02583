"""A compressor's pieces are measured as the executor runs them: to all, to owners, and carried into the next step."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from calibration.measure.pieces import make_job
from calibration.pieces import BUCKET, jobs_of_scenario
from simulator import scenario_from

PLANS = {
    "to all": {"compression": {"method": "int8"}, "bucket_mib": 0.05},
    "to owners": {"compression": {"method": "int8"}, "zero": 1, "bucket_mib": 0.05},
    "of each microbatch": {"compression": {"method": "topk"}, "zero": 2, "microbatch": 1, "bucket_mib": 0.05},
    "of blocks": {"compression": {"method": "randomk"}, "zero": 3},
    "in two phases": {"compression": {"method": "powersgd"}, "zero": 2, "microbatch": 1, "bucket_mib": 0.05},
    "carried": {"compression": {"method": "powersgd"}, "aggregation": {"order": "priority"}, "bucket_mib": 0.05},
}


@pytest.mark.parametrize("plan", PLANS)
def test_each_bucket_is_encoded_phase_by_phase_and_decoded_once(plan):
    scenario = scenario_from({
        "schema_version": 1, "name": plan, "dtype": "fp32",
        "model": {"trunk": {"block": "gpt", "layers": 2, "hidden": 64, "heads": 2, "vocab": 100, "seq": 16}},
        "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
        "plan": {"data": 2, "microbatch": 2, "global_batch": 4, **PLANS[plan]},
    })  # fmt: skip
    jobs = [job for job in jobs_of_scenario(scenario) if job.what == BUCKET]
    assert jobs
    method = PLANS[plan]["compression"]["method"]
    phases = [f"{method}.encode", f"{method}.encode.1"] if method == "powersgd" else [f"{method}.encode"]
    for job in jobs:
        piece_job = make_job(json.loads(json.dumps(job.to_record())), "cpu")
        for _ in range(2):
            stages = [stage for stage, call in piece_job.rounds() if call() is None]
        assert stages == list(range(len(phases) + 1))
        assert [piece.name for piece in job.pieces] == [*phases, f"{method}.decode"]

"""Pieces of tables that pool, or lie in host memory, are measured as in a run: a vector a sample, equal shares."""

from __future__ import annotations

import json
from importlib.util import find_spec
from math import prod

import pytest

pytestmark = pytest.mark.skipif(not find_spec("torch"), reason="pieces are torch's")
TABLES = [
    {"name": "item", "rows": 53, "dim": 16, "placement": "host", "cache_fraction": 0.2},
    {"name": "tags", "rows": 29, "dim": 8, "pooling": "sum", "lookups_per_sample": 3},
]
DEGREES = ({"data": 2}, {"tensor": 2}, {"tensor": 2, "sequence_parallel": True}, {"context": 2})


@pytest.mark.parametrize("what", ["tables", "unit"])
@pytest.mark.parametrize("degrees", DEGREES, ids=str)
def test_a_piece_runs(degrees, what):
    from calibration.measure.pieces import make_job

    ranks = prod(value for value in degrees.values() if value is not True)
    text = {
        "schema_version": 1, "name": "pieces", "cluster": {"preset": "cpu_host", "gpus_per_node": ranks},
        "model": {"trunk": {"block": "hstu", "layers": 1, "hidden": 16, "heads": 2, "seq": 8}, "tables": TABLES},
        "plan": {"data": 1, "microbatch": 3, "global_batch": 6 * degrees.get("data", 1),
                 "embedding_sharding": "row_wise", **degrees},
    }  # fmt: skip
    job = make_job({"scenario": json.dumps(text), "place": 0, "attention": "flash", "what": what, "which": "0"}, "cpu")
    stages = []
    for stage, call in job.rounds():
        call()
        stages.append(stage)
    assert stages == ([0, 1, 0, 1, 2] if what == "tables" else [0, 0, 0, 1, 1, 1])

"""What a rank does with tables is measured as one piece, whether ids travel or every rank holds all rows."""

import pytest

pytest.importorskip("torch")

from calibration.measure.fleet import Fleet
from calibration.pieces import jobs_of_scenario
from simulator import scenario_from

MODEL = {
    "trunk": {"block": "sasrec", "layers": 1, "hidden": 32, "heads": 2, "seq": 8},
    "tables": [{"name": "item", "rows": 53, "dim": 32}],
    "head": {"kind": "sampled_softmax", "table": "item", "negatives": 4},
}


@pytest.mark.parametrize("kind", ["data_parallel", "row_wise", "table_wise", "column_wise"])
def test_a_piece_of_tables_can_be_measured(kind):
    built = scenario_from(
        {"schema_version": 1, "name": "small", "model": MODEL, "dtype": "fp32",
         "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
         "plan": {"microbatch": 2, "global_batch": 4, "embedding_sharding": kind, "embedding_columns": 4}}
    )  # fmt: skip
    (job,) = [job for job in jobs_of_scenario(built) if job.what == "tables"]
    with Fleet(2) as fleet:
        answers = fleet.piece(job, 2, 1_000_000)
    assert len(answers) == 2 and all(ns > 0 for answer in answers for samples in answer["staged"] for ns, *_ in samples)

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


def test_ids_of_a_piece_fall_on_rows_as_the_tables_do():
    """Uniform ids of a table of 2,000 touch twice as many of its rows as Zipf ids of exponent 1.05 do."""
    import numpy as np
    import torch

    from calibration import typical
    from calibration.measure.pieces import Rank, _ids_of
    from simulator.model.ids import expected_unique

    for own in typical.scenarios("fp32", 2):
        (table,) = own.model.tables
        if own.model.head.kind != "sampled_softmax":
            continue
        rank = Rank.of(own.canonical_json(), 0, "cpu", "flash")
        ids = next(_ids_of(table, 1024, rank))
        assert len(torch.unique(ids)) == pytest.approx(expected_unique(table.ids, table.rows, 1024), rel=0.05)
        assert np.array_equal(ids, next(_ids_of(table, 1024, rank)))


def test_every_optimizer_of_rows_is_measured_with_zipf_ids_and_one_with_uniform_ones():
    from calibration import typical

    tables = [one.model.tables[0] for one in typical.scenarios("fp32", 2) if one.model.head.kind == "sampled_softmax"]
    assert {table.optimizer for table in tables} == {"adam", "adagrad", "rowwise_adagrad", "sgd"}
    assert {table.ids.kind for table in tables} == {"zipf", "uniform"}

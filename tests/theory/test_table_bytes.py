"""Bytes of every way of sharding a table, from closed forms, and what no sharding may change.

G ranks in N nodes of L. A rank asks for n ids of a table of `dim` columns in fp32, in s samples; c column pieces.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import scenario_from
from simulator.model import tables
from simulator.model.placements import placements
from simulator.program.lowering import lower

L, ROWS, SEQ, BATCH, FP32, ID = 4, 1000, 16, 8, 4, 8
KINDS = ("data_parallel", "row_wise", "table_wise", "column_wise", "table_row_wise", "grid")


def stated(kind, *found, nodes=2, microbatches=1, per_node=L):
    rows = [{"name": f"t{place}", "rows": ROWS, "dim": 64} | keys for place, keys in enumerate(found)]
    model = {"trunk": {"block": "hstu", "layers": 1, "hidden": 64, "heads": 2, "seq": SEQ}, "tables": rows}
    return scenario_from({
        "schema_version": 1, "name": "tables", "model": model, "dtype": "fp32",
        "cluster": {"preset": "dgx_h100", "nodes": nodes, "gpus_per_node": per_node},
        "plan": {"microbatch": BATCH, "global_batch": BATCH * nodes * per_node * microbatches,
                 "embedding_sharding": kind, "embedding_columns": 16},
    })  # fmt: skip


def sizes(scenario):
    """Bytes of each message of the first microbatch, by verb."""
    launches = lower(scenario).ranks[0].launches
    return {one.action.verb: one.action.size_bytes for one in launches if one.stream == "embedding"}


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_a_vector_for_each_id_comes_straight_from_its_owner(nodes):
    """What the busiest rank sends or receives: an owner's ids from all, or everyone's own; pieces multiply the ids."""
    group, n, vector = nodes * L, BATCH * SEQ, 64 * FP32
    pieces, spread = min(4, group), min(4, nodes)  # of at least 16 columns; of a grid, one for each node
    ids = {"row_wise": n, "table_wise": group * n, "column_wise": group * n,
           "table_row_wise": group * n // L, "grid": max(group * n // L, spread * n)}  # fmt: skip
    owner = {"row_wise": n, "table_wise": group * n, "column_wise": group * n / pieces,
             "table_row_wise": group * n / L, "grid": group * n / L / spread}  # fmt: skip
    for kind, count in ids.items():
        vectors = max(owner[kind], n) * vector
        assert sizes(stated(kind, {}, nodes=nodes)) == {
            "exchange ids": count * ID, "exchange vectors": vectors, "exchange gradients": vectors,
        }, kind  # fmt: skip
    assert sizes(stated("data_parallel", {}, nodes=nodes)) == {"reduce": ROWS * 64 * FP32}


@pytest.mark.parametrize("nodes", [1, 2, 4])
@pytest.mark.parametrize("lookups", [1, 20])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_pooled_vectors_are_one_for_each_sample_however_many_ids(nodes, lookups, pooling):
    group, vector, n = nodes * L, 64 * FP32, BATCH * lookups
    pieces, spread = 4, min(4, nodes)
    table = {"pooling": pooling, "lookups_per_sample": lookups}
    whole = group * BATCH * vector  # one vector for every sample of the group
    expected = {
        "table_wise": {"exchange ids": group * n * ID, "exchange vectors": whole, "exchange gradients": whole},
        "column_wise": {"exchange ids": group * n * ID, "exchange vectors": max(whole // pieces, BATCH * vector),
                        "exchange gradients": max(whole // pieces, BATCH * vector)},
        "row_wise": {"exchange ids": n * ID, "reduce vectors": whole, "gather gradients": whole},
        "table_row_wise": {"exchange ids": group * n // L * ID,
                           "reduce node vectors": whole, "gather node gradients": whole},
        "grid": {"exchange ids": max(group * n // L, spread * n) * ID,
                 "reduce node vectors": whole // spread, "gather node gradients": whole // spread},
        "data_parallel": {"reduce": ROWS * 64 * FP32},
    }  # fmt: skip
    if nodes > 1:  # a member passes on its place's share of the samples, and gets its own whole
        for kind, parts in (("table_row_wise", 1), ("grid", spread)):
            across = max(whole // parts // L, BATCH * vector)
            expected[kind] |= {"exchange node vectors": across, "exchange node gradients": across}
    for kind, messages in expected.items():
        assert sizes(stated(kind, table, nodes=nodes)) == messages, kind


def test_tables_of_one_way_share_a_message_and_others_have_their_own():
    found = ({}, {"pooling": "sum", "lookups_per_sample": 3}, {"pooling": "mean", "lookups_per_sample": 2, "dim": 32})
    apart = [sizes(stated("row_wise", table)) for table in found]
    together = sizes(stated("row_wise", *found))
    for verb in together:
        assert together[verb] == sum(one.get(verb, 0) for one in apart)
    assert set(together) == {"exchange ids", "exchange vectors", "exchange gradients", "reduce vectors",
                             "gather gradients"}  # fmt: skip


def test_one_rank_sends_nothing():
    for kind in KINDS:
        for table in ({}, {"pooling": "sum", "lookups_per_sample": 3}):
            assert sizes(stated(kind, table, nodes=1, per_node=1)) == {}


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS[1:]), rows=st.integers(1, 5000), dim=st.sampled_from([32, 64, 128]),
    nodes=st.sampled_from([1, 2, 4]), bag=st.none() | st.integers(1, 9), dtype=st.sampled_from(["fp32", "bf16"]),
)  # fmt: skip
def test_owners_together_read_what_was_asked_for_and_hold_the_table(kind, rows, dim, nodes, bag, dtype):
    """Over all ranks: vector bytes that leave owners are those that ids ask for (where rows are summed, a partial sum
    for each owner of rows), and the rows held are the table's, up to rounding up in each owner."""
    pooled = {"pooling": "sum", "lookups_per_sample": bag} if bag else {}
    scenario = stated(kind, {"rows": rows, "dim": dim, "dtype": dtype} | pooled, nodes=nodes)
    (part,), (place,) = tables.parts(scenario), placements(scenario)
    owners, group = len(place.owners), nodes * L
    asked = group * part.own_vectors * dim * {"fp32": 4, "bf16": 2}[dtype]
    partial = place.rows_over if bag else 1
    made = owners * part.made * part.row_bytes
    assert asked * partial <= made < asked * partial + owners * part.row_bytes
    assert rows * dim <= owners * part.rows * part.columns < (rows + place.rows_over) * dim
    assert group * part.own_ids * place.pieces <= owners * part.read < group * part.own_ids * place.pieces + owners

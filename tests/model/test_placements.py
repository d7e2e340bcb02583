"""Who holds what: every row and column of a table has one owner, and nobody is given more than his turn."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import scenario_from
from simulator.errors import ScenarioError
from simulator.model.placements import members_by_node, placements

KINDS = ("row_wise", "table_wise", "column_wise", "table_row_wise", "grid")


def stated(sharding, tables=({"dim": 64},), *, nodes=2, gpus=4, **plan):
    model = {
        "trunk": {"block": "hstu", "layers": 2, "hidden": 64, "heads": 2, "seq": 16},
        "tables": [{"name": f"t{place}", "rows": 1000} | keys for place, keys in enumerate(tables)],
    }
    degrees = {"microbatch": 2, "global_batch": 2 * nodes * gpus, **plan}
    return scenario_from({
        "schema_version": 1, "name": "tables", "model": model,
        "cluster": {"preset": "dgx_h100", "nodes": nodes, "gpus_per_node": gpus},
        "plan": {**degrees, "embedding_sharding": sharding},
    })  # fmt: skip


def test_nodes_hold_their_own_members():
    assert members_by_node(stated("row_wise")) == (range(0, 4), range(4, 8))
    # stage 0 of two is the first node
    assert members_by_node(stated("row_wise", pipeline=2, global_batch=8)) == (range(0, 4),)


def test_each_kind_has_its_owners():
    found = {kind: placements(stated(kind))[0] for kind in ("data_parallel", "row_wise", "table_wise")}
    assert {kind: tuple(place.owners) for kind, place in found.items()} == {
        "data_parallel": (), "row_wise": tuple(range(8)), "table_wise": (0,),
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.integers(1, 40), dim=st.sampled_from([8, 24, 64]), nodes=st.integers(1, 3), gpus=st.sampled_from([1, 4]))
def test_every_row_of_every_column_has_one_owner(kind, rows, dim, nodes, gpus):
    scenario = stated(kind, ({"rows": rows, "dim": dim},), nodes=nodes, gpus=gpus, embedding_columns=4)
    (place,) = placements(scenario)
    assert dim % place.pieces == 0
    held = Counter()
    for member in range(nodes * gpus):
        if (kept := place.rows_of(member)) is not None:
            held.update((place.piece_of(member), row) for row in range(rows)[kept])
            assert member in place.owners_of(place.piece_of(member))
    assert held == Counter({(piece, row): 1 for piece in range(place.pieces) for row in range(rows)})


def test_pieces_are_as_many_as_fit_and_no_narrower_than_stated():
    assert placements(stated("column_wise", ({"dim": 128},)))[0].pieces == 4
    assert placements(stated("column_wise", ({"dim": 128},), embedding_columns=16))[0].pieces == 8
    assert placements(stated("column_wise", ({"dim": 24},), embedding_columns=4))[0].pieces == 6
    assert placements(stated("grid", ({"dim": 128},), nodes=3))[0].pieces == 2  # 3 pieces of 128 are not equal


@pytest.mark.parametrize("kind, owners", [("column_wise", 1), ("grid", 4)])
def test_a_table_that_is_too_narrow_to_cut_is_one_piece_beside_others_that_are_cut(kind, owners):
    """As in TorchRec, where one kind may be stated for tables of all widths."""
    wide, narrow, odd = placements(stated(kind, ({"dim": 128}, {"dim": 32}, {"dim": 6}), nodes=2, gpus=4))
    assert wide.pieces > 1 and narrow.pieces == odd.pieces == 1
    assert len(narrow.owners) == len(odd.owners) == owners


def test_the_largest_goes_first_to_whoever_has_least():
    # 8 members: one table of 128 columns, then eight of 64: the last one joins a member that holds 64, not the 128
    tables = ({"dim": 64},) * 8 + ({"dim": 128},)
    owners = [place.owners[0] for place in placements(stated("table_wise", tables))]
    assert owners == [1, 2, 3, 4, 5, 6, 7, 1, 0]


def test_nodes_take_turns():
    owners = [tuple(place.owners) for place in placements(stated("table_row_wise", ({"dim": 64},) * 3))]
    assert owners == [(0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 2, 3)]
    (grid,) = placements(stated("grid"))
    assert tuple(grid.owners_of(1)) == (4, 5, 6, 7)


def test_uneven_nodes_are_refused_where_rows_stay_in_one():
    # stage 0 of 2 stages on 3 nodes of 4: 6 members, 4 and 2
    with pytest.raises(ScenarioError, match="hold 4, 2 of them"):
        placements(stated("table_row_wise", nodes=3, pipeline=2, global_batch=12))


def test_of_tables_that_are_asked_for_alike_the_largest_are_held_apart():
    rows = [{"rows": count, "dim": 64} for count in (100, 1000, 90, 900)]
    found = placements(stated("table_wise", rows, nodes=1, gpus=2))
    assert [place.owners for place in found] == [(1,), (0,), (0,), (1,)]


def test_criteos_tables_fit_sixteen_gpus_of_32_gb():
    """NVIDIA's DLRM ran there (DeepLearningExamples, 2021): no member holds much beside the 25 GB of the largest."""
    scenario = scenario_from({
        "schema_version": 1, "name": "dlrm", "model": {"preset": "dlrm_dot_criteo"}, "dtype": "fp16",
        "cluster": {"preset": "dgx2_v100"},
        "plan": {"microbatch": 4096, "global_batch": 65536, "embedding_sharding": "table_wise",
                 "bottom_mlp": "one_rank"},
    })  # fmt: skip
    held = Counter()
    for table, place in zip(scenario.model.tables, placements(scenario), strict=True):
        held[place.owners[0]] += 4 * table.rows * table.dim
    assert 0 not in held and max(held.values()) == max(4 * table.rows * table.dim for table in scenario.model.tables)

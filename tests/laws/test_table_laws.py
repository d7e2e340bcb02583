"""What no way of sharding tables may break, on drawn tables, clusters and plans."""

from __future__ import annotations

from dataclasses import asdict

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import scenario_from
from simulator.model import tables
from simulator.model.placements import placements
from simulator.plans import SHARDINGS

TABLES = st.lists(
    st.fixed_dictionaries(
        {"rows": st.integers(1, 10**6), "dim": st.sampled_from([32, 64, 128]),
         "ids": st.sampled_from([{"kind": "uniform"}, {"kind": "zipf", "alpha": 1.05}, {"kind": "zipf", "alpha": 2.0}]),
         "optimizer": st.sampled_from(["sgd", "rowwise_adagrad", "adam"]), "dtype": st.sampled_from(["fp32", "bf16"])},
        optional={"pooling": st.just("sum"), "lookups_per_sample": st.integers(1, 50)},
    ).filter(lambda keys: "pooling" not in keys or "lookups_per_sample" in keys),
    min_size=1, max_size=5,
)  # fmt: skip
ROOMS = st.sampled_from([(1, 1), (1, 4), (2, 4), (4, 2), (3, 4)])


def stated(found, room, kinds, **plan):
    nodes, gpus = room
    named = [{"name": f"t{place}", **keys} for place, keys in enumerate(found)]
    model = {"trunk": {"block": "hstu", "layers": 1, "hidden": 64, "heads": 2, "seq": 16}, "tables": named}
    chosen = {"microbatch": 4, "global_batch": 4 * nodes * gpus, "embedding_columns": 16, **plan}
    chosen["embedding_sharding"] = {table["name"]: kind for table, kind in zip(named, kinds, strict=True)}
    return scenario_from({
        "schema_version": 1, "name": "laws", "model": model, "plan": chosen,
        "cluster": {"preset": "dgx_h100", "nodes": nodes, "gpus_per_node": gpus},
    })  # fmt: skip


@st.composite
def cases(draw):
    found = draw(TABLES)
    return found, draw(ROOMS), [draw(st.sampled_from(SHARDINGS)) for _ in found]


def moved(scenario):
    """Bytes that kernels of one step move on the busiest rank."""
    steps = (*tables.lookup_forward(scenario), *tables.lookup_backward(scenario), *tables.optimizer(scenario))
    return sum(kernel.bytes_moved for kernel in steps)


@given(cases())
def test_one_table_more_never_makes_anything_less(case):
    """Wherever the first table goes when there are others, its owner still does all that it did."""
    found, room, kinds = case
    whole, fewer = stated(found, room, kinds), stated(found[:1], room, kinds[:1])
    for name, size in asdict(tables.traffic(fewer)).items():
        if size and name not in ("node_members", "deduplicates"):
            assert getattr(tables.traffic(whole), name) >= size, name
    assert tables.held(whole).total >= tables.held(fewer).total


@given(cases())
def test_a_distinct_id_is_sent_once_and_never_costs_bytes_on_the_wire(case):
    found, room, kinds = case
    often, once = (tables.traffic(stated(found, room, kinds, embedding_dedup=asked))
                   for asked in (False, any("pooling" not in table for table in found)))  # fmt: skip
    assert once.ids <= often.ids and once.vectors <= often.vectors
    assert (once.reduced, once.node_reduced, once.across) == (often.reduced, often.node_reduced, often.across)


@given(cases())
def test_updating_in_the_backward_pass_moves_and_holds_no_more(case):
    """Nothing is saved where every row is touched by one id only: then the sums are not smaller than the rows."""
    found, room, kinds = case
    last, fused = (stated(found, room, kinds, embedding_fused_optimizer=asked) for asked in (False, True))
    assert moved(fused) <= moved(last)
    assert tables.held(fused).total <= tables.held(last).total
    assert tables.traffic(fused) == tables.traffic(last)


@settings(max_examples=settings.default.max_examples // 2)
@given(cases(), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_larger_cache_holds_more_and_misses_less(case, first, second):
    found, room, kinds = case
    small, large = (
        stated([{**table, "placement": "host", "cache_fraction": share} for table in found], room, kinds)
        for share in sorted((first, second))
    )
    assert tables.held(small).total <= tables.held(large).total
    missed = [sum(kernel.bytes_moved for kernel in tables.lookup_forward(run) if kernel.op.endswith("_host"))
              for run in (small, large)]  # fmt: skip
    assert missed[0] >= missed[1]


@given(cases())
def test_no_member_owns_a_table_twice_and_pieces_are_alike(case):
    found, room, kinds = case
    for keys, place in zip(found, placements(stated(found, room, kinds)), strict=True):
        assert len(set(place.owners)) == len(place.owners) <= room[0] * room[1]
        assert keys["dim"] % place.pieces == 0
        runs = [tuple(place.owners_of(piece)) for piece in range(place.pieces)]
        if place.kind in ("table_row_wise", "grid"):
            assert {len({owner // room[1] for owner in run}) for run in runs} == {1}  # one node each

"""Owners of dealt rows under Zipf ids: what the busiest is asked for is what ids that are drawn say, and it shows."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import scenario_from, simulate
from simulator.executor.batches import draw_ids
from simulator.model import tables
from simulator.model.placements import placements

RANKS = 8


def scenario(*sets: str, rows: int = 200_000, count: int = 1, alpha: float = 1.05):
    names = [chr(ord("a") + place) for place in range(count)]
    return scenario_from(
        {
            "schema_version": 1,
            "name": "hot",
            "model": {
                "trunk": {"block": "hstu", "layers": 1, "hidden": 128, "heads": 2, "seq": 512},
                "tables": [
                    {"name": name, "rows": rows, "dim": 128, "ids": {"kind": "zipf", "alpha": alpha}} for name in names
                ],
                "head": {"kind": "binary"},
            },
            "cluster": {"preset": "dgx_h100", "gpus_per_node": RANKS},
            "plan": {"microbatch": 8, "global_batch": 8 * RANKS, "embedding_sharding": "row_wise"},
        },
        sets,
    )


def drawn_by_member(stated, table, placed, times: int) -> np.ndarray:
    """Ids that each member is asked for, the mean of so many microbatches."""
    generator = np.random.Generator(np.random.Philox(key=[7, 0]))
    ids = draw_ids(generator, table.ids, table.rows, (times, RANKS, 8 * 512))
    if stated.plan.embedding_dedup:
        ids = np.concatenate([np.unique(own) for step in ids for own in step])
    owner = np.array(placed.owners)[(ids.reshape(-1) + placed.turn) % placed.rows_over]
    return np.bincount(owner, minlength=RANKS) / times


@pytest.mark.parametrize("alpha", [0.8, 1.05, 1.3])
@pytest.mark.parametrize("dedup", ["false", "true"])
def test_every_owner_is_asked_for_what_is_drawn(alpha, dedup):
    stated = scenario(f"plan.embedding_dedup={dedup}", alpha=alpha)
    (table,), (placed,), (by_row,) = stated.model.tables, placements(stated), tables.hottest(stated)
    drawn = drawn_by_member(stated, table, placed, times=40)
    expected = [tables.of_owner(by_row, placed, member).read for member in range(RANKS)]
    np.testing.assert_allclose(drawn, expected, rtol=0.02)


def test_the_exchange_is_as_long_as_the_busiest_owner():
    """At alpha 1.05 over 200,000 rows the first row is asked for by one id in eleven."""
    even, hot = scenario("model.tables.0.ids={kind: uniform}"), scenario()
    (table,), (placed,) = hot.model.tables, placements(hot)
    drawn = drawn_by_member(hot, table, placed, times=40).max()
    assert tables.traffic(even).ids == 8 * 8 * 512
    assert tables.traffic(hot).ids == pytest.approx(8 * drawn, rel=0.02)
    assert tables.traffic(hot).vectors == pytest.approx(4 * 128 * drawn, rel=0.02)
    assert drawn > 1.4 * 8 * 512
    shown = simulate(hot)
    assert shown.timeline.step_ns > simulate(even).timeline.step_ns
    perf = [rank["perf_s"]["forward_comms"] for rank in shown.to_dict()["embedding_plan"]["ranks"]]
    asked = [rank["input_bytes"] for rank in shown.to_dict()["embedding_plan"]["ranks"]]
    assert perf[0] == max(perf) > 1.4 * np.mean(perf) and asked[0] == max(asked)


def test_memory_is_the_fullest_owners_own():
    """Rows and gradients lie evenly; ids and vectors of the exchange are those of whoever owns the first row."""
    even, hot = scenario("model.tables.0.ids={kind: uniform}"), scenario()
    (table,), (placed,) = hot.model.tables, placements(hot)
    own = 8 * 512
    exchanged = {name: tables.held(one).buffers - own * (8 + 4 * 128) for name, one in (("even", even), ("hot", hot))}
    assert exchanged["even"] == own * (8 + 4 * 128)  # a rank asks for as many as it is asked for
    drawn = drawn_by_member(hot, table, placed, times=40).max()
    assert exchanged["hot"] == pytest.approx(drawn * (8 + 4 * 128), rel=0.02)
    assert tables.held(hot).stored == tables.held(even).stored
    shown = simulate(hot)
    more = shown.memory.tightest.peak - simulate(even).memory.tightest.peak
    assert more == pytest.approx(exchanged["hot"] - exchanged["even"] - _waiting(even) + _waiting(hot), rel=1e-9)


def _waiting(stated) -> int:
    return tables.held(stated).waiting


def test_distinct_rows_lie_evenly_however_hot_a_row_is():
    """So row gradients and updates are those of a mean owner, to one row."""
    stated = scenario(rows=5_000, alpha=1.3)
    (table,), (placed,), (load,) = stated.model.tables, placements(stated), tables.parts(stated)
    generator = np.random.Generator(np.random.Philox(key=[7, 0]))
    counts = np.zeros(RANKS)
    for _ in range(200):
        rows = np.unique(draw_ids(generator, table.ids, table.rows, (RANKS * 8 * 512,)))
        counts += np.bincount((rows + placed.turn) % placed.rows_over, minlength=RANKS)
    assert np.ptp(counts / 200) < 3
    np.testing.assert_allclose(counts / 200, load.unique(1), atol=2)


def test_tables_have_their_first_rows_with_different_owners():
    """Eight tables on eight ranks: each has one of the hot rows, so that all are about as busy."""
    stated = scenario(count=RANKS)
    assert [placed.turn for placed in placements(stated)] == list(range(RANKS))
    reads = [sum(load.read for load in tables.loads_of(stated, member)) for member in range(RANKS)]
    assert max(reads) - min(reads) <= RANKS  # rounded up, table by table
    alone = [sum(load.read for load in tables.loads_of(scenario(), member)) for member in range(RANKS)]
    assert max(alone) > 1.7 * min(alone)


def test_every_row_is_held_once_and_where_it_is_sent():
    for placed in placements(scenario(count=3, rows=100)):
        held = [set(range(100)[placed.rows_of(member)]) for member in placed.owners]
        assert sorted(row for own in held for row in own) == list(range(100))
        for row in range(100):
            (owner,) = placed.owners_of_row(row)
            assert row in held[owner]


def test_negatives_of_a_sampled_head_are_drawn_evenly():
    sets = ("model.head={kind: sampled_softmax, table: a, negatives: 98}",)
    shares = [one.read / one.mean_read for one in tables.hottest(scenario(*sets))[0]]
    plain = [one.read / one.mean_read for one in tables.hottest(scenario())[0]]
    assert shares[0] - 1 == pytest.approx((plain[0] - 1) * 2 / 100, rel=0.02)


def test_auto_cuts_columns_where_rows_have_a_hot_spot():
    """On 64 ranks the owner of row 0 is asked for six times the mean; pieces of the columns share what it sends."""
    sets = (
        "cluster.nodes=8",
        "cluster.gpus_per_node=8",
        "plan.data=64",
        "plan.global_batch=512",
        "model.trunk.seq=4096",
    )
    hot = scenario(*sets, "plan.embedding_sharding=auto", rows=5_000_000)
    even = scenario(*sets, "plan.embedding_sharding=auto", "model.tables.0.ids={kind: uniform}", rows=5_000_000)
    assert [placed.kind for placed in placements(even)] == ["row_wise"]
    assert [placed.kind for placed in placements(hot)] == ["grid"]
    dealt = scenario(*sets, rows=5_000_000)
    assert simulate(hot).timeline.step_ns < simulate(dealt).timeline.step_ns

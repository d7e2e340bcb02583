"""A DLRM's step: what runs beside what, and laws that no price may break."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from road_scenarios import DLRM, answer, scenario, step_ns

from simulator import scenario_from, simulate
from simulator.memory import measure_memory
from simulator.model import tables
from simulator.model.placements import placements
from simulator.model.tables import bottom
from simulator.program.cuts import cut_of
from simulator.program.lowering import lower
from simulator.program.program import check_program
from simulator.road import Road

NO_BOTTOM = "model.dense.bottom=[]"
WIDE_BOTTOM = "model.dense.bottom=[2048, 2048, 64]"


def spans(result, action: str) -> list[tuple[int, int]]:
    """(start, end) of every op of an action of the first rank."""
    frame = result.timeline.to_frame()
    words = frame["action"].str.replace(r" \d+([KMG]i)?B( |$).*", "", regex=True)
    own = frame[(words == action) & (frame["rank"] == 0)]
    return list(zip(own["start_ns"], own["end_ns"], strict=True))


def test_the_bottom_runs_while_vectors_travel_and_its_gradients_while_theirs_do():
    result = answer("dlrm")
    for exchange, own in (("exchange vectors 0F0", "0F0.0"), ("exchange gradients 0B0", "0B0.1")):
        (begin, end), *_ = spans(result, exchange)
        assert all(begin <= start < end for start, _ in spans(result, own)), f"{own} beside {exchange}"
    (_, arrived), *_ = spans(result, "exchange vectors 0F0")
    assert min(start for start, _ in spans(result, "0F0.1")) >= arrived


def test_a_bottom_that_is_shorter_than_the_exchange_is_free_in_forward():
    """Its time is hidden; what is left of it is its part of the interaction, the update and the bucket."""
    slow = "cluster={preset: cpu_host, gpus_per_node: 2}; model.dense.interaction=cat; model.dense.top=[1]"
    sets = (*slow.split("; "), "plan.global_batch=1024")
    result = answer("dlrm", *sets, "model.dense.bottom=[8]")
    (begin, end), *_ = spans(result, "exchange vectors 0F0")
    (first, _), *_, (_, last) = spans(result, "0F0.0") * 2
    assert begin <= first and last <= end


def test_without_a_bottom_nothing_is_cut():
    (own,) = lower(scenario_from(DLRM, set=(NO_BOTTOM,))).ranks
    names = [launch.action.name for launch in own.launches]
    assert "0F0" in names and "0F0.0" not in names


def test_the_tops_bucket_is_reduced_beside_the_bottoms_backward():
    (own,) = lower(scenario_from(DLRM)).ranks
    after = {launch.action.name: launch.action.after for launch in own.launches}
    assert after["reduce b0"] == ("0B0.0",) and after["reduce b1"] == ("0B0.1",)
    assert after["exchange gradients 0B0"] == ("0B0.0",)


def one_rank(*sets: str):
    return scenario("dlrm", "plan.bottom_mlp=one_rank", "cluster.gpus_per_node=8", "plan.global_batch=4096", *sets)


@pytest.mark.parametrize("zero", [0, 3])
def test_a_bucket_neither_crosses_where_vectors_enter_nor_is_empty(zero):
    """dot has no parameters: however small buckets are, it is reduced (or gathered) with the top."""
    size = "plan.bucket_mib=0.001" if zero == 0 else "plan.bucket_mib=null"
    (own,) = lower(scenario("dlrm", f"plan.zero={zero}", size)).ranks
    assert [(bucket.first, bucket.last) for bucket in own.buckets] == [(1, 2), (0, 0)]
    assert all(bucket.numel for bucket in own.buckets)
    (own,) = lower(scenario("dlrm", f"plan.zero={zero}", size, "model.dense.interaction=dcn_v2")).ranks
    assert [(bucket.first, bucket.last) for bucket in own.buckets] == [(2, 2), (1, 1), (0, 0)]


@pytest.mark.parametrize(
    "sets", [(), ("cluster.nodes=2", "plan.global_batch=8192"), (WIDE_BOTTOM,), (WIDE_BOTTOM, "plan.zero=2")], ids=str
)
def test_a_bottom_on_one_rank_is_a_class_of_its_own_and_folds_exactly(sets):
    built = one_rank(*sets)
    program = lower(built)
    check_program(program)
    assert [list(own.members) for own in program.ranks] == [[0], list(range(1, built.layout.ranks))]
    road = Road(built)
    folded, whole, plain = (
        road.timeline(road.expanded(road.prices, **keys)) for keys in ({}, {"whole": True}, {"contracted": False})
    )
    assert folded.digest() == whole.digest() and folded.step_ns == whole.step_ns == plain.step_ns


def test_its_rank_computes_where_others_look_up_and_all_wait_for_the_slower():
    frame = simulate(one_rank(WIDE_BOTTOM)).timeline.to_frame()
    looked = frame[frame["action"] == "lookup 0F0"]
    first, others = (looked[looked["rank"].isin(ranks)] for ranks in ({0}, {1}))
    assert {"gemm", "lookup"} >= set(first["op"]) and "gemm" not in set(others["op"])
    exchange = frame[frame["action"].str.startswith("exchange vectors 0F0")]["start_ns"].min()
    assert exchange >= first["end_ns"].max() > others["end_ns"].max()


def test_its_rank_holds_no_table_and_its_memory_is_its_own():
    built = one_rank()
    assert all(0 not in placed.owners for placed in placements(built))
    first, others = measure_memory(lower(built), built, cut_of(built)).per_rank
    assert dict(first.by_kind)["embeddings"] < dict(others.by_kind)["embeddings"]
    small = scenario("dlrm", "plan.bottom_mlp=one_rank")  # of four ranks it takes its share
    assert any(0 in placed.owners for placed in placements(small))


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_what_one_rank_has_for_itself_zero_does_not_divide(zero):
    """The bottom's states and update are whole on its rank, and in nobody's bucket; the top's are divided by 8."""
    plain, divided = one_rank(WIDE_BOTTOM), one_rank(WIDE_BOTTOM, f"plan.zero={zero}")
    cuts = cut_of(plain), cut_of(divided)
    assert bottom.held_bytes(divided, cuts[1]) == bottom.held_bytes(plain, cuts[0]) > 0
    assert bottom.update_steps(divided, cuts[1]) == bottom.update_steps(plain, cuts[0])
    whole, parts = (measure_memory(lower(built), built, cut) for built, cut in zip((plain, divided), cuts, strict=True))
    for before, after in zip(whole.per_rank, parts.per_rank, strict=True):
        held, shared = dict(before.by_kind), dict(after.by_kind)
        assert shared["embeddings"] == held["embeddings"]
        assert shared["optimizer"] * 8 == pytest.approx(held["optimizer"], abs=1024)  # shares are padded
    units = {unit for own in lower(divided).ranks for b in own.buckets for unit in range(b.first, b.last + 1)}
    assert units == {1, 2}  # interaction and head; the bottom is unit 0


def test_its_rank_runs_and_sends_the_rows_of_all_replicas():
    """8 replicas of 512 rows; the bottom's vectors are bf16, the tables' fp32."""
    wide = one_rank("model.dense.interaction=cat", "model.dense.bottom=[1024]")
    (forward,) = (kernel for kernel in bottom.lookup_steps(wide, cut_of(wide), "F") if kernel.op == "gemm")
    (backward,) = (kernel for kernel in bottom.lookup_steps(wide, cut_of(wide), "B") if kernel.op == "gemm")
    assert forward.shape == (8 * 512, 1024, 13) and backward.shape == (1024, 13, 8 * 512)
    assert tables.traffic(wide).vectors == 8 * 512 * 1024 * 2
    four = scenario("dlrm", "plan.bottom_mlp=one_rank")
    beside = sum(0 in placed.owners for placed in placements(four))
    assert beside and tables.traffic(four).vectors == 4 * 512 * 64 * (4 * beside + 2)


@pytest.mark.parametrize("kind", ["row_wise", "table_wise", "data_parallel"])
@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 12), dim=st.sampled_from([16, 64]), lookups=st.integers(1, 20))
def test_one_more_table_never_makes_a_step_faster(kind, count, dim, lookups):
    def step(tables: int) -> int:
        table = {"rows": 1000, "dim": dim, "lookups_per_sample": lookups, "pooling": "sum"}
        model = {
            "trunk": {"block": "none"},
            "tables": [{"name": f"c{place}", **table} for place in range(tables)],
            "dense": {"bottom": [dim], "top": [64, 1], "interaction": "cat"},
        }
        plan = {**DLRM["plan"], "embedding_sharding": kind}
        return simulate(scenario_from({**DLRM, "model": model, "plan": plan})).timeline.step_ns

    assert step(count + 1) >= step(count)


def test_a_wider_interaction_or_a_deeper_cross_is_never_faster():
    steps = [step_ns("dlrm", "model.dense.interaction=dcn_v2", f"model.dense.cross_layers={n}") for n in (1, 2, 3)]
    assert steps == sorted(steps)
    assert step_ns("dlrm", "model.dense.interaction=cat") < steps[0]


def test_a_preset_of_26_tables_fits_and_takes_a_few_ops_a_table():
    model = {"preset": "dlrm_v2_mlperf"}
    plan = {"microbatch": 8192, "global_batch": 65536}
    cluster = {"preset": "dgx_a100"}
    result = simulate(
        scenario_from({"schema_version": 1, "name": "v2", "model": model, "cluster": cluster, "plan": plan})
    )
    assert result.feasible and len(result.graph) < 10 * 26

"""embedding_sharding auto in whole scenarios, and the table that shows where tables are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator import scenario_from, simulate
from simulator.embedding_plan import ABBREVIATIONS, PERF
from simulator.model import tables
from simulator.model.placements import placements
from simulator.plans import SHARDINGS
from simulator.report.tables import as_text, simulation_table
from simulator.table_choices import planned, problem_of

SIZES = (30_000_000, 4_000_000, 800_000, 120_000, 9_000, 2_000, 500, 40)


def dlrm(sharding="auto", *, sets=(), nodes=2, rows=SIZES, **keys):
    found = [
        {"name": f"t{place}", "rows": count, "dim": 128, "pooling": "sum", "lookups_per_sample": 1 + 7 * (place % 3)}
        | keys
        for place, count in enumerate(rows)
    ]
    return scenario_from({
        "schema_version": 1, "name": "dlrm",
        "model": {"tables": found, "dense": {"bottom": [256, 128], "top": [256, 1], "interaction": "cat"}},
        "cluster": {"preset": "dgx_a100", "nodes": nodes},
        "plan": {"microbatch": 2048, "global_batch": 2048 * 8 * nodes, "embedding_sharding": sharding},
    }, set=tuple(sets))  # fmt: skip


def kinds(scenario):
    return {placed.table: placed.kind for placed in placements(scenario)}


@pytest.fixture(scope="module")
def result():
    return simulate(dlrm())


def test_auto_is_no_slower_than_any_one_kind(result):
    """The planner adds bandwidths only; launches and latencies are the engine's, so within 2 %."""
    for kind in SHARDINGS:
        other = simulate(dlrm(kind))
        if other.feasible:
            assert result.step_time_s <= 1.02 * other.step_time_s, kind


def test_auto_mixes_kinds_and_a_tiny_table_is_copied(result):
    found = kinds(result.scenario)
    assert found["t7"] == "data_parallel" and len(set(found.values())) > 1
    assert found["t0"] != "data_parallel"  # 30 million rows would be reduced at every step


def test_a_table_whose_kind_is_stated_keeps_it():
    stated = {"t0": "row_wise", "t3": "table_wise", "t7": "table_wise"}
    found = kinds(dlrm(stated))
    assert {name: found[name] for name in stated} == stated
    assert set(found) == {f"t{place}" for place in range(8)}


def test_kinds_that_are_all_stated_are_placed_as_before():
    assert kinds(dlrm({f"t{place}": "table_wise" for place in range(8)})) == kinds(dlrm("table_wise"))


@pytest.mark.parametrize("gib", [18, 6, 3])
def test_no_rank_holds_more_than_its_device(gib):
    """Smaller devices: the same tables go on fitting, by other kinds, as long as there is room at all."""
    device = replace(dlrm().cluster.groups[0][0].device, memory_bytes=gib * 2**30)
    scenario = dlrm()
    node, count = scenario.cluster.groups[0]
    small = replace(
        scenario, stated=scenario.stated.model_copy(update={"name": f"small{gib}"}),
        cluster=replace(scenario.cluster, groups=((replace(node, device=device), count),)),
    )  # fmt: skip
    found = simulate(small)
    assert planned(small).sharding.fits and found.feasible
    assert found.memory.tightest.peak <= found.memory.tightest.limit


def test_what_fits_nowhere_is_told_with_what_would_fit():
    huge = simulate(dlrm(rows=(9_000_000_000, 5_000)))
    assert not huge.feasible and not planned(huge.scenario).sharding.fits
    assert "embeddings" in huge.reason and "--set" in huge.reason


def test_perf_of_tables_is_that_of_ranks_and_of_the_step(result):
    plan = result.to_dict()["embedding_plan"]
    for part in ("total", *PERF):
        of_tables = sum(one["perf_s"][part] for one in plan["tables"])
        assert of_tables == pytest.approx(sum(one["perf_s"][part] for one in plan["ranks"])), part
    for one in (*plan["tables"], *plan["ranks"]):
        assert one["perf_s"]["total"] == pytest.approx(sum(one["perf_s"][part] for part in PERF))


def test_storage_of_all_ranks_is_that_of_all_tables(result):
    plan = result.embedding_plan
    assert sum(one["storage_bytes"]["hbm"] for one in plan["tables"]) == sum(one["hbm_bytes"] for one in plan["ranks"])
    held = max(one["hbm_bytes"] for one in plan["ranks"])
    assert held <= tables.held(result.scenario).total  # which adds what every rank sends and gets


def test_abbreviations_and_kernels_are_torchrecs():
    found = simulate(dlrm({"t0": "row_wise", "t1": "column_wise", "t2": "table_row_wise", "t3": "grid",
                           "t4": "table_wise", "t5": "data_parallel"}))  # fmt: skip
    rows = {one["table"]: one for one in found.embedding_plan["tables"]}
    assert [rows[f"t{place}"]["sharding"] for place in range(6)] == ["RW", "CW", "TWRW", "GRID", "TW", "DP"]
    assert (rows["t0"]["compute_kernel"], rows["t5"]["compute_kernel"]) == ("fused", "dense")
    assert rows["t0"]["ranks"] == "0-15" and rows["t1"]["shard_dim"] == 32
    hosted = simulate(dlrm("row_wise", placement="host", cache_fraction=0.1)).embedding_plan["tables"][0]
    assert hosted["compute_kernel"] == "fused_uvm_caching" and hosted["storage_bytes"]["ddr"] > 0
    assert set(ABBREVIATIONS) == set(SHARDINGS)


def test_a_terminal_shows_what_costs_most_and_the_gap(result):
    text = as_text(simulation_table(result))
    assert "embedding table" in text and "of what no plan can beat" in text
    assert max(map(len, text.splitlines())) <= 80
    stated = as_text(simulation_table(simulate(dlrm("table_wise"))))
    assert "Sharding as the plan states it." in stated


def test_the_report_has_a_map_of_tables_over_ranks(result):
    from simulator.report.html import report_html

    page = report_html(result)
    assert "Embedding tables</h2>" in page and "r0-sharding" in page and "Compute Kernel" in page


def test_a_model_without_tables_has_no_plan_of_them():
    gpt = scenario_from({
        "schema_version": 1, "name": "x", "cluster": {"preset": "single_gpu"},
        "model": {"trunk": {"block": "gpt", "layers": 1, "hidden": 64, "heads": 2, "vocab": 100, "seq": 8}},
        "plan": {"microbatch": 1, "global_batch": 1},
    })  # fmt: skip
    assert simulate(gpt).to_dict()["embedding_plan"] is None


def test_choices_cost_what_their_placements_cost():
    """A member's bytes in the planner are the bytes of `memory/`: the fullest member of the plan found."""
    scenario = dlrm()
    problem, found = problem_of(scenario), planned(scenario).sharding
    sizes = [0] * problem.members
    for choice, places in found.chosen:
        owners = set(problem.owners(choice, places))
        for member in range(problem.members):
            sizes[member] += choice.everywhere.size_bytes + (member in owners) * choice.owner.size_bytes
    assert max(sizes) == tables.held(scenario).total

"""How fast tables are planned. Figures, never assertions on time: `make bench` prints them."""

from __future__ import annotations

import random
import time

import pytest

from simulator import scenario_from
from simulator.table_choices import planned

TABLES, MEMBERS = 1000, 128


def thousand_tables():
    draw = random.Random(0)
    tables = [
        {"name": f"t{place}", "rows": int(1e3 * 10 ** min(5.0, draw.expovariate(0.7))),
         "dim": draw.choice((32, 64, 128)), "pooling": "sum", "lookups_per_sample": draw.choice((1, 1, 5, 20))}
        for place in range(TABLES)
    ]  # fmt: skip
    return scenario_from({
        "schema_version": 1, "name": "thousand",
        "model": {"trunk": {"block": "hstu", "layers": 1, "hidden": 64, "heads": 2, "seq": 10}, "tables": tables},
        "cluster": {"preset": "dgx_h100", "nodes": MEMBERS // 8},
        "plan": {"microbatch": 512, "global_batch": 512 * MEMBERS},
    })  # fmt: skip


def test_the_benchmark_is_what_it_says():
    scenario = thousand_tables()
    assert (len(scenario.model.tables), scenario.layout.ranks) == (TABLES, MEMBERS)


@pytest.mark.benchmark_suite
def test_seconds_to_plan_a_thousand_tables(capsys):
    scenario = thousand_tables()
    started = time.perf_counter()
    found = planned(scenario).sharding
    wall_s = time.perf_counter() - started
    with capsys.disabled():
        print(f"\n{TABLES:,} tables on {MEMBERS} members: {wall_s:.1f} s, {found.gap:.2%} above the bound")

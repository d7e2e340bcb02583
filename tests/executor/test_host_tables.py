"""Tables in host memory: rows of a static hot set are found on the device as often as is priced, the others updated
where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_plans import ON_HOST
from measured_runs import alone, job_of, runs
from plans import PLANS
from small_scenarios import scenario

from simulator.errors import ScenarioError
from simulator.executor.batches import draw_ids
from simulator.executor.executable import check_memory
from simulator.executor.execution import Execution
from simulator.executor.row_store import RowStore
from simulator.model import tables
from simulator.model.ids import kept_rows
from simulator.program.lowering import lower

IDS = ({"kind": "uniform"}, {"kind": "zipf", "alpha": 1.05}, {"kind": "zipf", "alpha": 1.6})
CACHES = (0.05, 0.3)


def hosted(ids: dict, fraction: float) -> tuple[str, ...]:
    said = "{" + ", ".join(f"{key}: {value}" for key, value in ids.items()) + "}"
    keys = ("rows=500", "placement=host", f"cache_fraction={fraction}", f"ids={said}")
    return tuple(f"model.tables.0.{key}" for key in keys)


@pytest.mark.parametrize("model", ["hstu", "hstu_sampled"])
@pytest.mark.parametrize("ids", IDS, ids=str)
@pytest.mark.parametrize("fraction", CACHES)
def test_a_run_finds_rows_on_the_device_as_often_as_is_priced(model, ids, fraction):
    """A sampled head's 5 negatives are drawn evenly; its inputs and positives as the table's ids."""
    job = job_of(model, {"global_batch": 512, "microbatch": 512, "sets": hosted(ids, fraction)})
    record = alone(job)
    cache = Execution(job.scenario, job.program, "gloo", 0, (record,)).table_cache()["item"]
    assert cache["lookups"] == job.steps * 512 * 8 * (7 if model == "hstu_sampled" else 1)
    rate = cache["expected_hit_rate"]
    assert 0.04 < rate < 0.99
    four_deviations = 4 * (rate * (1 - rate) / cache["lookups"]) ** 0.5
    assert cache["hit_rate"] == pytest.approx(rate, abs=four_deviations)


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_distinct_ids_are_found_less_often_as_is_priced(ids):
    built = scenario("hstu", data=2, microbatch=32, global_batch=64, embedding_dedup=True, sets=hosted(ids, 0.1))
    load = tables.parts(built)[0]
    store = RowStore(torch.zeros(500, 4), kept_rows(load.table), "sgd", torch.float32, torch.device("cpu"))
    generator = np.random.Generator(np.random.Philox(key=5))
    for _ in range(200):
        store.read(torch.from_numpy(np.unique(draw_ids(generator, load.table.ids, 500, load.own_ids))))
    assert store.hits / store.reads == pytest.approx(load.hit_rate, rel=0.02)
    assert store.reads / 200 == pytest.approx(load.sent, rel=0.02)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_every_lookup_is_counted_once_on_its_owner(ranks):
    number = next(n for n, (_, keys) in enumerate(PLANS[ranks]) if keys.get("sets", ())[:2] == ON_HOST[:2])
    job, records = runs(ranks)[number]
    execution = Execution(job.scenario, job.program, "gloo", 0, tuple(records))
    asked = {"item": 8, "tags": 3, "shops": 5}  # of one sample
    found = execution.table_cache()
    assert {name: cache["lookups"] for name, cache in found.items()} == {
        name: 2 * job.scenario.plan.global_batch * each for name, each in asked.items()
    }
    assert found["shops"]["hit_rate"] == 0 and found["item"]["hit_rate"] > 0


def test_an_owner_keeps_its_share_of_the_frequent_rows():
    """103 rows over 4 owners, 10 of them kept: owners 0 and 1 keep 3, the others 2; the priced one is the fullest."""
    sets = ("model.tables.0.rows=103", "model.tables.0.placement=host", "model.tables.0.cache_fraction=0.1")
    built = scenario("hstu", data=4, sets=sets)
    load = tables.parts(built)[0]
    kept = [len(range(kept_rows(load.table))[load.placed.rows_of(member)]) for member in range(4)]
    assert kept == [3, 3, 2, 2] and load.kept == max(kept)
    assert tables.on_host(load) == (26 - 3) * load.stored_bytes


def test_rows_of_the_host_count_against_this_machines_memory(monkeypatch):
    """10^7 rows of 16 fp32 and a state: 0.63 GiB beside two processes of 0.34."""
    monkeypatch.setattr("simulator.executor.executable.available_bytes", lambda: 2**30)
    for rows, fits in ((500, True), (10**7, False)):
        sets = (*hosted({"kind": "uniform"}, 0.001), f"model.tables.0.rows={rows}",
                "model.tables.0.optimizer=rowwise_adagrad")  # fmt: skip
        built = scenario("hstu", data=2, sets=sets)
        if fits:
            check_memory(built, lower(built))
            continue
        with pytest.raises(ScenarioError, match=r"2 processes need 1\.3 GiB"):
            check_memory(built, lower(built))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
@pytest.mark.parametrize("kept", [0, 1, 5, 12])
def test_where_rows_lie_changes_nothing_that_is_learnt(optimizer, kept):
    """Adam's steps are counted for the table, also in a step that touches rows of one memory only."""
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    split, whole = (RowStore(start, n, optimizer, torch.float64, torch.device("cpu")) for n in (kept, 12))
    for touched in ([0, 3, 11], [9, 10], [0, 1], [2, 6, 8]):
        rows, gradients = torch.tensor(touched), torch.randn(len(touched), 3, generator=generator, dtype=torch.float64)
        for store in (split, whole):
            store.update(rows, gradients, 0.1)
    asked, bags = torch.tensor([3, 3, 0, 11, 7, 5]), torch.tensor([0, 0, 2, 2, 2, 3])
    torch.testing.assert_close(split.whole(), whole.whole(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(split.read(asked), whole.read(asked), rtol=1e-12, atol=1e-14)
    sums = split.read_bags(asked, bags, 5)
    torch.testing.assert_close(sums, whole.read_bags(asked, bags, 5), rtol=1e-12, atol=1e-14)
    assert not sums[1].any() and not sums[4].any()  # bags of no ids
    assert not torch.equal(split.whole(), start)

"""The table of the sparse tables is priced as the step is, whatever software runs it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from road_scenarios import scenario

from simulator import simulate
from simulator.embedding_plan import embedding_plan
from simulator.model import tables
from simulator.program.lowering import lower
from simulator.road import Prices
from simulator.table_choices import problem_of
from simulator.units import ns_to_seconds

STACKS = ("deeplearning_examples", "torch")
PLAIN = [f"model.tables.{place}.lookups_per_sample=1" for place in range(8)]


def built(stack, *sets):
    return scenario("dlrm", f"software.stack={stack}", "dtype=fp16", "precision.vectors=fp16", *PLAIN, *sets)


@pytest.mark.parametrize("stack", STACKS)
def test_perf_of_the_busiest_rank_is_that_of_its_kernels_in_the_step(stack):
    stated = built(stack)
    prices = Prices.of(stated)
    pricer, sparse = prices.pricer_of(0), prices.cut.sparse_gradients
    plan = embedding_plan(stated, lower(stated), pricer, prices.cut)
    own = plan["ranks"][tables.busiest(stated)]["perf_s"]

    def seconds(*steps):
        return ns_to_seconds(sum(pricer.kernel(step).duration_ns for step in steps))

    assert own["forward_compute"] == pytest.approx(seconds(*tables.lookup_forward(stated, None, sparse)))
    backward = (*tables.lookup_backward(stated, None, sparse), *tables.optimizer(stated, None, sparse))
    assert own["backward_compute"] == pytest.approx(seconds(*backward))


def test_a_gradient_for_each_id_takes_more_time_and_memory_than_one_for_each_row():
    """Ids of a power law: most repeat within a microbatch."""
    examples, torch = (simulate(built(stack)) for stack in STACKS)
    of_tables = [sum(one["perf_s"]["backward_compute"] for one in found.embedding_plan["tables"])
                 for found in (examples, torch)]  # fmt: skip
    assert of_tables[0] > of_tables[1]
    stated = examples.scenario
    waiting = [tables.held(stated, sparse=sparse).waiting for sparse in (True, False)]
    most = max(own["hbm_bytes"] for own in examples.embedding_plan["ranks"])
    assert most - max(own["hbm_bytes"] for own in torch.embedding_plan["ranks"]) == waiting[0] - waiting[1]
    read = sum(load.read * load.columns * 4 for load in tables.loads(stated))
    assert waiting[0] == read > waiting[1]
    assert examples.memory.tightest.peak > torch.memory.tightest.peak


def test_auto_counts_what_a_stated_stack_does():
    """Owners do more under sparse gradients; the executor, which knows no profile, plans alike."""
    dear, cheap = (problem_of(built(stack, "plan.embedding_sharding=auto")) for stack in STACKS)
    pairs = [(one, other) for ours, theirs in zip(dear.choices, cheap.choices, strict=True)
             for one, other in zip(ours, theirs, strict=True) if one.kind == "table_wise"]  # fmt: skip
    assert pairs and all(one.owner.time_ps > other.owner.time_ps for one, other in pairs)
    assert all(one.owner.size_bytes >= other.owner.size_bytes for one, other in pairs)


class Together:
    """Prices of a profile that has measured lookups together: forward takes twice its kernels, the update thrice."""

    def __init__(self, pricer):
        self._pricer = pricer

    def __getattr__(self, name):
        return getattr(self._pricer, name)

    def piece(self, kernels, name):
        factor = 2 if name.endswith("lookup.F") else 3 if name.endswith("table_optimizer") else 1
        prices = self._pricer.piece(kernels, name)
        return tuple(replace(price, duration_ns=factor * price.duration_ns) for price in prices)


def test_perf_is_that_of_lookups_that_were_measured_together():
    stated = built("torch")
    prices = Prices.of(stated)
    pricer, program = prices.pricer_of(0), lower(stated)
    alone, together = (
        embedding_plan(stated, program, one, prices.cut)["ranks"][tables.busiest(stated)]["perf_s"]
        for one in (pricer, Together(pricer))
    )
    assert together["forward_compute"] == pytest.approx(2 * alone["forward_compute"])
    update = ns_to_seconds(sum(pricer.kernel(step).duration_ns for step in tables.optimizer(stated)))
    assert together["backward_compute"] == pytest.approx(alone["backward_compute"] + 2 * update)
    assert together["forward_comms"] == alone["forward_comms"]

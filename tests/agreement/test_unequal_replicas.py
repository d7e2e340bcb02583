"""Replicas that run unequal numbers of microbatches fold like others: with those that run as many, and exactly."""

import json
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_folding_and_contraction import agreeing, scenarios, timeline

from simulator.errors import ScenarioError
from simulator.policies.replica_counts import in_lockstep
from simulator.program.lowering import lower
from simulator.program.program import Program, check_program
from simulator.scenario.loader import scenario_from


@st.composite
def dealt(draw):
    base = draw(st.booleans().flatmap(lambda broken: scenarios(broken)))
    plan = base.plan
    assume(base.layout.ranks <= 32 and plan.data > 1 and not in_lockstep(base.model, plan))
    each = max(2, plan.microbatches)
    counts, half = [each] * plan.data, plan.data // 2
    for place in range(half):
        moved = draw(st.integers(0, each - 1)) if draw(st.booleans()) else each // 2
        counts[place] -= moved
        counts[half + place] += moved
    batch = f"plan.global_batch={each * plan.data}"
    balancer = f"plan.balancer={{kind: static, microbatches: {counts}}}"
    lengths = draw(st.sampled_from([(), ("data.lengths={kind: zipf, alpha: 1.5, max: 2, layout: padded}",)]))
    stages = plan.pipeline * plan.virtual_stages
    partition = f"plan.partition={[base.model.trunk.num_layers // stages] * stages}"
    try:
        return scenario_from(json.loads(base.canonical_json()), set=(partition, batch, balancer, *lengths))
    except ScenarioError:
        assume(False)


@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=[HealthCheck.filter_too_much])
@given(dealt())
def test_folding_and_contraction_change_nothing_for_unequal_replicas(scenario):
    agreeing(scenario)


@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=[HealthCheck.filter_too_much])
@given(dealt())
def test_each_rank_runs_the_microbatches_of_its_replica(scenario):
    program = lower(scenario)
    check_program(program)
    assert Program.from_text(program.to_text()) == program
    for own in program.ranks:
        numbers = {launch.action.microbatch for launch in own.launches if launch.action.verb == "F"}
        for rank in own.members:
            assert numbers == set(range(scenario.plan.microbatches_of(scenario.layout.coordinates(rank)[1])))


@pytest.mark.parametrize("seed", range(3))
def test_replicas_of_as_many_microbatches_fold_and_others_do_not(seed):
    counts = random.Random(seed).sample([2, 2, 2, 2, 6, 6, 6, 6], 8)
    file = {
        "schema_version": 1, "name": "x", "cluster": {"preset": "dgx_h100", "nodes": 1},
        "model": {"trunk": {"block": "gpt", "layers": 2, "hidden": 256, "heads": 4, "seq": 128, "vocab": 100}},
        "plan": {"microbatch": 1, "global_batch": 32, "balancer": {"kind": "static", "microbatches": counts}},
    }  # fmt: skip
    found = timeline(scenario_from(file), folded=True, contracted=True)
    assert found.multiplicity == (4, 4)

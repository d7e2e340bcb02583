"""What a compressor holds beside the gradient: payloads of all ranks until they are decoded, and what it remembers."""

from __future__ import annotations

import pytest
from road_scenarios import answer

from simulator.memory.coded import coded_buckets
from simulator.model.blocks import units
from simulator.program.lowering import lower
from simulator.program.parameters import local_numel

METHOD = "plan.compression"
TWO_NODES = ("cluster.nodes=2", "plan.tensor=1", "plan.global_batch=16", "plan.microbatch=1")


def coded(*sets: str):
    scenario = answer("gpt", *TWO_NODES, *sets).scenario
    (own,) = lower(scenario).ranks
    count = sum(local_numel(scenario, unit) for unit in range(len(units(scenario.model))))
    return coded_buckets(own, scenario), count


def test_gathered_payloads_of_all_ranks_are_there_at_once():
    """16 ranks' bytes and the own ones: four times the fp32 gradient."""
    found, count = coded(f"{METHOD}={{method: int8, block: 1048576}}")
    assert sum(one.messages for one in found.values()) == pytest.approx(17 * count, rel=1e-3)
    assert not any(one.copy for one in found.values())  # gradients are fp32 as the reduction is


def test_to_owners_a_byte_an_entry_goes_and_as_many_come():
    found, count = coded(f"{METHOD}={{method: int8, block: 1048576}}", "plan.zero=1")
    assert sum(one.messages for one in found.values()) == pytest.approx(2 * count, rel=1e-3)


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_step_is_fuller_by_what_its_payloads_hold(zero):
    sets = (*TWO_NODES, f"plan.zero={zero}")
    plain = answer("gpt", *sets).memory.tightest
    own = answer("gpt", *sets, f"{METHOD}={{method: int8, error_feedback: false}}").memory.tightest
    remembers = answer("gpt", *sets, f"{METHOD}={{method: int8}}").memory.tightest
    assert remembers.peak > own.peak >= plain.peak


def test_what_is_remembered_is_a_whole_gradient_whatever_is_sharded():
    without, with_feedback = (
        answer("gpt", "plan.tensor=2", "plan.zero=3", "plan.bucket_mib=null",
               f"{METHOD}={{method: int8, error_feedback: {one}}}")
        for one in ("false", "true")
    )  # fmt: skip
    scenario = with_feedback.scenario
    count = sum(local_numel(scenario, unit) for unit in range(len(units(scenario.model))))
    difference = with_feedback.memory.tightest.peak - without.memory.tightest.peak
    assert difference == pytest.approx(4 * count, rel=1e-3)

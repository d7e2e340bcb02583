"""Layers move between running processes, and training goes on as if they had always been there. float64."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from time import thread_time

import numpy as np
import pytest
from assembled import losses, whole_model
from measured_runs import job_of
from small_scenarios import scenario

from simulator.executor.execution import Execution
from simulator.executor.launcher import launch
from simulator.executor.slow_rank import SlowRank
from simulator.policies.decisions import Decision
from simulator.policies.stage_balancer import MoveCost
from simulator.stage_balance import with_partition

ADAPTIVE = {"balancer": {"kind": "adaptive", "window": 2}}
LIVE = {"balancer": {"kind": "adaptive", "window": 3, "threshold": 0.3}}
MOVES = (Decision(1, "adaptive", (2, 2), (3, 1), 0.1), Decision(3, "adaptive", (3, 1), (1, 3), 0.1))
CHUNK_MOVES = (
    Decision(1, "adaptive", (1, 1, 1, 1), (2, 1, 1, 0), 0.1), Decision(3, "adaptive", (2, 1, 1, 0), (0, 1, 1, 2), 0.1)
)  # fmt: skip
"""Of two chunks on each of two ranks."""
PLANS = {
    2: [
        ("llama", {"pipeline": 2, "optimizer": "adam"}),
        ("gpt", {"pipeline": 2, "optimizer": "adagrad", "schedule": "gpipe", "recompute": "full"}),
        ("sasrec", {"pipeline": 2, "optimizer": "adamw"}),  # a table, and its copy in the head
        ("gpt", {"pipeline": 2, "optimizer": "adam", "schedule": "zb_h1"}),
        ("gpt", {"pipeline": 2, "optimizer": "adam", "schedule": "interleaved_1f1b", "virtual_stages": 2}),
        ("llama", {"pipeline": 2, "optimizer": "adam", "schedule": "zb_v", "virtual_stages": 2}),
    ],
    4: [
        ("llama", {"pipeline": 2, "data": 2, "optimizer": "adam", "bucket_mib": 0.004}),
        ("gpt", {"pipeline": 2, "tensor": 2, "optimizer": "adam", "sequence_parallel": True}),
        ("llama", {"pipeline": 2, "data": 2, "optimizer": "adam", "zero": 1, "bucket_mib": 0.004}),
        ("gpt", {"pipeline": 2, "data": 2, "optimizer": "adamw", "zero": 1, "overlap": {"param_gather": False}}),
        (
            "gpt",
            {"pipeline": 2, "data": 2, "optimizer": "adam", "bucket_mib": 0.001, "aggregation": {"order": "priority"}},
        ),
        (
            "llama",
            {"pipeline": 2, "data": 2, "optimizer": "adam", "compression": {"method": "bf16", "error_feedback": True}},
        ),
        ("llama_lora_all", {"pipeline": 2, "data": 2, "optimizer": "adam"}),
    ],
}
CASES = [(ranks, number) for ranks in PLANS for number in range(len(PLANS[ranks]))]


def moves_of(keys):
    return CHUNK_MOVES if keys.get("virtual_stages", 1) > 1 else MOVES


@lru_cache
def both(ranks: int):
    """[(job, records) that moves, (job, records) that does not] of every plan."""
    jobs = []
    for model, keys in PLANS[ranks]:
        job = replace(job_of(model, {**keys, **ADAPTIVE}), steps=6)
        jobs += [replace(job, decisions=moves_of(keys)), replace(job, decisions=())]
    found = list(zip(jobs, launch(jobs, ranks, timeout_s=200), strict=True))
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize(("ranks", "number"), CASES, ids=str)
def test_training_goes_on_as_if_nothing_had_moved(ranks, number):
    (job, moved), (_, still) = both(ranks)[number]
    assert all([step for step, _ in record.moves_ns] == [1, 3] for record in moved)
    assert not any(record.moves_ns for record in still)
    np.testing.assert_allclose(losses(moved), losses(still), rtol=1e-12)
    final = replace(job, scenario=with_partition(job.scenario, moves_of(PLANS[ranks][number][1])[-1].after))
    whole, expected = whole_model(final, moved), whole_model(job, still)
    assert whole.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-9, atol=1e-14, err_msg=name)


def test_a_layer_is_where_it_was_moved_and_its_actions_are_measured_there():
    (job, moved), (_, still) = both(2)[0]
    names = (
        [name.startswith("layer1.") for name in moved[0].weights],
        [name.startswith("layer1.") for name in still[0].weights],
    )
    assert not any(names[0]) and any(names[1])
    execution = Execution(job.scenario, job.program, "gloo", 0, tuple(moved))
    assert execution.decisions == MOVES and set(execution.moves_ns) == {1, 3}
    programs = [execution.program_of(step).digest() for step in range(6)]
    assert [programs.index(one) for one in programs] == [0, 1, 1, 3, 3, 3]
    for step in range(6):
        assert execution.timeline_of(step).program_digest == programs[step]
    assert execution.to_dict()["decisions"][1]["after"] == (1, 3)


def test_a_straggler_works_on_and_the_balancer_relieves_it_live():
    slow = ("faults.stragglers=[{rank: 1, factor: 6}]", "model.trunk.hidden=64", "model.trunk.seq=32")
    job = job_of("llama", {"pipeline": 2, "optimizer": "adam", "sets": slow, **LIVE})
    job = replace(job, steps=6, warmup=1, move_cost=MoveCost((1,) * 4, 0.0))
    records = launch([job], 2, timeout_s=100)[0]
    decisions = records[0].decisions
    assert decisions and decisions == records[1].decisions
    assert decisions[0].step >= 3 and decisions[0].after[0] > 2 and decisions[0].predicted_gain > 0
    replayed = launch([replace(job, decisions=tuple(decisions))], 2, timeout_s=100)[0]
    np.testing.assert_array_equal(losses(replayed), losses(records))


def test_repeated_work_makes_an_action_as_many_times_longer():
    slow, built = SlowRank(), scenario("llama", pipeline=2, sets=("faults.stragglers=[{rank: 1, factor: 1.5}]",))
    for rank, factor in ((0, 1.0), (1, 1.5)):
        slow.begin_step(built, rank, 0)
        started = thread_time()
        while thread_time() < started + 0.2:
            pass
        slow.repeat(200_000_000)
        assert 0.2 * factor <= thread_time() - started < 0.2 * factor + 0.05

"""State that no rank can hand over yet is refused before a process is started; what was decided elsewhere, too."""

import pytest
from small_scenarios import scenario

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.executor.executable import check_executable
from simulator.executor.execution import execute
from simulator.policies.decisions import Decision

ADAPTIVE = {"kind": "adaptive", "window": 2}


@pytest.mark.parametrize(
    ("model", "keys", "backend", "said"),
    [
        ("llama", {"data": 2, "zero": 3, "reshard_after_forward": False}, "gloo", "adaptive with zero 3 cannot be"),
        ("llama", {"data": 2, "compression": {"method": "powersgd"}}, "gloo", "adaptive with powersgd cannot be"),
        ("llama", {"data": 2, "zero": 1, "compression": {"method": "bf16"}}, "gloo", "adaptive with bf16 by owners"),
        (
            "llama",
            {"data": 2, "compression": {"method": "topk"}, "aggregation": {"sparse": "balanced"}},
            "gloo",
            "adaptive with topk by owners",
        ),
        (
            "llama",
            {"data": 2, "compression": {"method": "bf16"}, "aggregation": {"order": "priority"}},
            "gloo",
            "adaptive with bf16 and order priority cannot be",
        ),
        ("llama", {}, "nccl", "adaptive is run on CPUs over gloo"),
    ],
)
def test_what_cannot_move_yet_is_said(model, keys, backend, said):
    with pytest.raises(NotSupportedYet, match=said):
        check_executable(scenario(model, pipeline=2, balancer=ADAPTIVE, **keys), None, backend)
    check_executable(scenario(model, pipeline=2, **keys), None, backend)


def test_a_straggler_on_a_device_is_refused():
    slow = scenario("llama", pipeline=2, sets=("faults.stragglers=[{rank: 1, factor: 2}]",))
    check_executable(slow, None, "gloo")
    with pytest.raises(NotSupportedYet, match="stragglers are run on CPUs over gloo"):
        check_executable(slow, None, "nccl")


def test_decisions_of_another_policy_are_refused():
    with pytest.raises(ScenarioError, match="decided by the policy adaptive, which this scenario does not use"):
        execute(scenario("llama", pipeline=2), decisions=(Decision(1, "adaptive", (2, 2), (3, 1), 0.1),))


@pytest.mark.parametrize("after", [(3, 2), (4,), (2.0, 2), "even", (-1, 5)])
def test_what_is_replayed_must_be_a_partition_of_this_model(after):
    with pytest.raises(ScenarioError, match="does not deal 4 layers to 2 stages; replay what was decided for this"):
        execute(
            scenario("llama", pipeline=2, balancer=ADAPTIVE), decisions=(Decision(1, "adaptive", (2, 2), after, 0.1),)
        )

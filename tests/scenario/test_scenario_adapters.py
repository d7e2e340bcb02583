"""What an adapter cannot stand beside is refused with the names that it can."""

import pytest
from scenario_texts import GPT3, HSTU

LORA = "model.adapter={kind: lora, rank: 8, targets: [%s]}"


@pytest.mark.parametrize("targets", ["q", "q, v", "k, o, up, down"])
def test_an_adapter_is_accepted(load, targets):
    assert load(GPT3, LORA % targets).model.adapter.targets == tuple(targets.split(", "))


def test_the_default_targets_are_those_of_the_paper(load):
    assert load(GPT3, "model.adapter={kind: lora, rank: 4}").model.adapter.targets == ("q", "v")


@pytest.mark.parametrize(
    ("text", "targets", "said"),
    [
        (GPT3, "gate", "gate is no matrix of block gpt; name some of q, k, v, o, up, down"),
        (HSTU, "q, up", "up is no matrix of block hstu; name some of v, q, k, o"),
        (GPT3, "", "nothing has an adapter; name some of"),
        (GPT3, "q, v, q", "q is named 2 times; once is enough"),
    ],
)
def test_targets_that_are_not_there(refused, text, targets, said):
    found = refused(text, LORA % targets)
    assert "model.adapter.targets" in found and said in found


def test_a_misspelt_target_and_a_rank_of_nothing(refused):
    assert "qq" in refused(GPT3, LORA % "qq")
    assert "rank" in refused(GPT3, "model.adapter={kind: lora, rank: 0}")
    assert "rank" in refused(GPT3, "model.adapter={kind: lora}")


def test_a_first_stage_with_nothing_to_train(refused, load):
    """Its frozen embedding asks for no gradient, so nobody would wait for the message."""
    stages = "plan={tensor: 8, pipeline: 2, microbatch: 1, global_batch: 64, partition: [0, 96]}"
    load(GPT3, stages)
    found = refused(GPT3, stages, LORA % "q")
    assert "plan.partition" in found and "partition=balanced" in found

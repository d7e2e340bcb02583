"""Decisions as lines: what is written is read back; what is none is refused with its line."""

import pytest

from simulator.errors import ScenarioError
from simulator.policies.decisions import Decision, check_policies, decisions_text, in_force, read_decisions

DEAL = Decision(3, "length", ((0, 1), (2, 3)), ((0, 2), (1, 3)), 0.312345678)
CHOICE = Decision(0, "compression", {"b0": "none"}, {"b0": "topk"}, 0.05)


def test_a_decision_is_read_back_as_it_was_written():
    assert Decision.from_text(DEAL.text) == DEAL
    assert DEAL.text == (
        '{"step":3,"policy":"length","before":[[0,1],[2,3]],"after":[[0,2],[1,3]],"predicted_gain":0.312345678}'
    )
    assert read_decisions(decisions_text([DEAL, CHOICE]), "d.jsonl") == (CHOICE, DEAL)  # by step


@pytest.mark.parametrize("line, why", [
    ("[1]", "a decision has the keys step, policy, before, after, predicted_gain"),
    ('{"step": 1}', "a decision has the keys"),
    (DEAL.text.replace("3,", "-3,", 1), "step is a whole number"),
    (DEAL.text.replace("0.312345678", "true"), "predicted_gain is a number, not True"),
    ("step 3", "Expecting value"),
])  # fmt: skip
def test_another_line_is_refused_with_its_number(line, why):
    with pytest.raises(ScenarioError, match=r"d.jsonl line 2 is no decision") as caught:
        read_decisions(f"{CHOICE.text}\n{line}\n", "d.jsonl")
    assert why in str(caught.value)


def test_a_decision_holds_until_the_next_one_of_its_policy():
    later = Decision(5, "length", (), (), 0.0)
    made = (CHOICE, DEAL, later)
    assert [in_force(made, "length", step) for step in (2, 3, 4, 5, 9)] == [None, DEAL, DEAL, later, later]


def test_what_a_scenario_does_not_use_cannot_be_replayed():
    check_policies((DEAL,), ("length",))
    with pytest.raises(ScenarioError, match=r"step 3 is decided by the policy length, .* uses none that decides"):
        check_policies((DEAL,), ())

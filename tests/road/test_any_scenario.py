"""Whatever is asked, there is an answer that adds up or one sentence with the key; nothing in between."""

from __future__ import annotations

import json
import os

import pytest
from any_scenario import any_scenario

from simulator import scenario_from, simulate
from simulator.errors import RehearseError

COUNT = 600 if os.environ.get("REHEARSE_FULL") == "1" else 60
AT_A_TIME = 20
LONGEST_SENTENCE = 500


def answer(seed: int) -> dict | None:
    """What `simulate` says, None where it refuses (which it must do in one line)."""
    try:
        return simulate(scenario_from(any_scenario(seed))).to_dict()
    except RehearseError as error:
        said = str(error)
        assert error.key and "\n" not in said and len(said) < LONGEST_SENTENCE, said
        return None


@pytest.mark.parametrize("first", range(0, COUNT, AT_A_TIME))
def test_an_answer_adds_up(first):
    found = {seed: answer(seed) for seed in range(first, first + AT_A_TIME)}
    answers = {seed: one for seed, one in found.items() if one is not None}
    assert len(answers) >= AT_A_TIME / 5, "most are refused: the draw has drifted away from what can be run"
    for seed, one in answers.items():
        json.dumps(one, allow_nan=False)
        step_s, utilization = one["step_time_s"], one["utilization"]
        assert step_s > 0, seed
        assert abs(sum(one["breakdown_s"].values()) - step_s) < 2e-9, seed
        assert sum(one["memory_bytes"]["by_kind"].values()) == one["memory_bytes"]["peak_max"], seed
        assert sum(one["provenance"].values()) == pytest.approx(1), seed
        assert 0 <= utilization["compute"] <= utilization["busy"] <= 1, seed
        assert one["mfu"] is None or 0 <= one["mfu"] <= 1, seed
        assert one["feasible"] == (one["reason"] is None), seed

"""Schedules as action lists: what must hold of any of them, and the classic ones written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.program import pipeline_schedule
from simulator.program.pipeline import schedule_order

NAMES = {"gpipe": 1, "1f1b": 1, "interleaved_1f1b": 3}


def test_gpipe_runs_all_forwards_first():
    assert pipeline_schedule("gpipe", 2, 3)[1] == ["1F0", "1F1", "1F2", "1B0", "1B1", "1B2"]


def test_1f1b_of_four_stages_as_in_the_paper():
    """Narayanan et al. 2021 (arXiv 2104.04473), figure 4 top, m = 8: ranks 0 and 3."""
    first, *_, last = pipeline_schedule("1f1b", 4, 8)
    assert " ".join(first) == "0F0 0F1 0F2 0F3 0B0 0F4 0B1 0F5 0B2 0F6 0B3 0F7 0B4 0B5 0B6 0B7"
    assert last == [f"3{verb}{index}" for index in range(8) for verb in "FB"]


def test_interleaved_runs_microbatches_in_groups_of_the_pipeline():
    """Figure 4 bottom, two chunks, p = 4, m = 8: rank 0 warms up with 10 forwards."""
    first = pipeline_schedule("interleaved_1f1b", 4, 8, 2)[0]
    assert first[:10] == ["0F0", "0F1", "0F2", "0F3", "4F0", "4F1", "4F2", "4F3", "0F4", "0F5"]
    assert first[10:16] == ["0F6", "4B0", "0F7", "4B1", "4F4", "4B2"]


@given(st.sampled_from(sorted(NAMES)), st.integers(1, 6), st.integers(1, 5))
def test_every_stage_runs_every_microbatch_once_forward_before_backward(name, stages, groups):
    chunks, microbatches = NAMES[name], stages * groups
    for rank, actions in enumerate(schedule_order(name, stages, microbatches, chunks)):
        place = {action.name: index for index, action in enumerate(actions)}
        assert len(place) == len(actions) == 2 * chunks * microbatches
        for chunk in range(chunks):
            for index in range(microbatches):
                stage = chunk * stages + rank
                assert place[f"{stage}F{index}"] < place[f"{stage}B{index}"]


@given(st.integers(1, 6), st.integers(1, 24))
def test_1f1b_never_keeps_more_than_its_depth_alive(stages, microbatches):
    for rank, actions in enumerate(schedule_order("1f1b", stages, microbatches)):
        alive = peak = 0
        for action in actions:
            alive += 1 if action.verb == "F" else -1
            peak = max(peak, alive)
        assert peak == min(stages - rank, microbatches)


def test_interleaving_needs_whole_groups():
    with pytest.raises(ScenarioError, match="groups of pipeline = 4, and 6 is not a multiple of it; use 4 or 8"):
        pipeline_schedule("interleaved_1f1b", 4, 6, 2)


def test_what_is_not_there_is_said():
    with pytest.raises(NotSupportedYet, match="zb_v is not supported yet"):
        pipeline_schedule("zb_v", 4, 8)
    with pytest.raises(ScenarioError, match="unknown schedule 'zigzag'; one of gpipe, 1f1b"):
        pipeline_schedule("zigzag", 4, 8)
    with pytest.raises(ScenarioError, match="use interleaved_1f1b"):
        pipeline_schedule("1f1b", 4, 8, 2)

"""Schedules as action lists: what must hold of any of them, and the classic ones written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.program import pipeline_schedule
from simulator.program.pipeline import SCHEDULES, schedule_order

CHUNKS = {"interleaved_1f1b": 3, "zb_v": 2}
"""Of each rank; one where it is not said."""


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


def test_zb_h1_of_four_stages_as_in_the_paper():
    """Qi et al. 2024 (arXiv 2401.10241), figure 2, m = 8: 1F1B with W at once on rank 0, three microbatches late on
    rank 3."""
    first, *_, last = pipeline_schedule("zb_h1", 4, 8)
    assert " ".join(first) == (
        "0F0 0F1 0F2 0F3 0I0 0W0 0F4 0I1 0W1 0F5 0I2 0W2 0F6 0I3 0W3 0F7 0I4 0W4 0I5 0W5 0I6 0W6 0I7 0W7"
    )
    assert " ".join(last) == (
        "3F0 3I0 3F1 3I1 3F2 3I2 3F3 3I3 3W0 3F4 3I4 3W1 3F5 3I5 3W2 3F6 3I6 3W3 3F7 3I7 3W4 3W5 3W6 3W7"
    )


def test_zb_h2_runs_twice_as_far_ahead():
    """Figure 3: rank 0 of 4 runs seven forwards before its first backward, the last rank one."""
    first, *_, last = pipeline_schedule("zb_h2", 4, 8)
    assert first[:9] == [*(f"0F{index}" for index in range(7)), "0I0", "0W0"]
    assert last[:2] == ["3F0", "3I0"] and last.index("3W0") == last.index("3I6") + 1


def test_zb_v_of_two_stages_written_out():
    """Section 6: rank 0 holds stages 0 and 3, rank 1 stages 1 and 2."""
    first, second = pipeline_schedule("zb_v", 2, 4, 2)
    assert " ".join(first) == (
        "0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0F3 0I0 0W0 3F2 3I2 3W2 0I1 0W1 3F3 3I3 3W3 0I2 0W2 0I3 0W3"
    )
    assert " ".join(second) == (
        "1F0 2F0 1F1 2F1 2I0 2W0 1F2 1I0 1W0 2F2 2I1 2W1 1F3 1I1 1W1 2F3 2I2 2W2 1I2 2I3 1I3 1W2 2W3 1W3"
    )


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 6), st.integers(1, 20))
def test_every_stage_runs_every_microbatch_once_forward_before_backward(name, stages, microbatches):
    chunks, schedule = CHUNKS.get(name, 1), SCHEDULES[name]
    verbs = "FIW" if schedule.splits else "FB"
    for rank, actions in enumerate(schedule_order(name, stages, microbatches, chunks)):
        place = {action.name: index for index, action in enumerate(actions)}
        held = [stage for stage in range(stages * chunks) if schedule.holder(stage, stages) == rank]
        assert len(held) == chunks
        assert len(place) == len(actions) == len(verbs) * chunks * microbatches
        for stage in held:
            for index in range(microbatches):
                places = [place[f"{stage}{verb}{index}"] for verb in verbs]
                assert places == sorted(places)
            for verb in verbs:  # microbatches come in order: the last one's W is the last W
                places = [place[f"{stage}{verb}{index}"] for index in range(microbatches)]
                assert places == sorted(places)


def peak_alive(actions) -> int:
    """Most chunks whose forward has run and whose last backward part has not."""
    alive = peak = 0
    for action in actions:
        alive += {"F": 1, "B": -1, "I": 0, "W": -1}[action.verb]
        peak = max(peak, alive)
    return peak


@given(st.sampled_from(["1f1b", "zb_h1", "zb_h2"]), st.integers(1, 8), st.integers(1, 40))
def test_no_rank_keeps_more_than_its_depth_alive(name, stages, microbatches):
    """1F1B: p - r. H1: p on every rank. H2: 2p - 1 on every rank."""
    for rank, actions in enumerate(schedule_order(name, stages, microbatches)):
        most = {"1f1b": stages - rank, "zb_h1": stages, "zb_h2": 2 * stages - 1}[name]
        assert peak_alive(actions) == min(most, microbatches)


@given(st.integers(1, 8), st.integers(1, 40))
def test_zb_v_keeps_as_much_alive_as_1f1b(stages, microbatches):
    """2p chunks, each half of what a rank of 1F1B holds of the model."""
    for actions in schedule_order("zb_v", stages, microbatches, 2):
        assert peak_alive(actions) <= min(2 * stages, 2 * microbatches)
        if microbatches >= 2 * stages - 1:
            assert peak_alive(actions) == 2 * stages


def test_interleaved_groups_of_uneven_microbatches():
    """Seven microbatches on three ranks: a group of four and one of three, each through chunk 0 and then chunk 1."""
    last = schedule_order("interleaved_1f1b", 3, 7, 2)[-1]
    forwards = [(action.stage, action.microbatch) for action in last if action.verb == "F"]
    assert forwards == [
        *((stage, index) for stage in (2, 5) for index in range(4)),
        *((stage, index) for stage in (2, 5) for index in range(4, 7)),
    ]


def test_a_schedule_of_two_chunks_needs_no_word_of_it():
    assert pipeline_schedule("zb_v", 3, 5) == pipeline_schedule("zb_v", 3, 5, 2)


def test_what_is_not_there_is_said():
    with pytest.raises(ScenarioError, match="unknown schedule 'zigzag'; one of gpipe, 1f1b"):
        pipeline_schedule("zigzag", 4, 8)
    with pytest.raises(ScenarioError, match=r"1f1b holds one chunk per rank.*use interleaved_1f1b"):
        pipeline_schedule("1f1b", 4, 8, 2)
    with pytest.raises(ScenarioError, match="zb_v holds 2 chunks per rank, and virtual_stages is 3"):
        pipeline_schedule("zb_v", 4, 8, 3)

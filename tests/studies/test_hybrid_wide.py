"""The wide mode's README rows are the command's: the quick set-ups are predicted again."""

from pathlib import Path

import pytest

from studies.hybrid_vs_single_mode import wide
from studies.hybrid_vs_single_mode.wide_plans import MODELS, QUICK, TAKEN_APART, SetUp, set_ups

README = (Path(wide.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize("set_up", QUICK)
def test_a_row_of_the_readme_is_what_the_command_predicts(set_up):
    assert wide.markdown(wide.compare(set_up)) in README


def test_the_policies_gain_what_the_readme_says():
    assert wide.markdown(wide.taken_apart(TAKEN_APART[0])) in README


def test_the_set_ups_span_the_sizes_and_the_quick_ones_are_among_them():
    found = list(set_ups())
    assert len(set(found)) == len(found) == 28
    assert {one.model for one in found} == set(MODELS) and {one.gpus for one in found} == {8, 64, 1024}
    assert set(QUICK) | set(TAKEN_APART) <= set(found)


@pytest.mark.parametrize("gpus", [8, 64, 1024])
def test_every_hybrid_fills_the_cluster_and_no_single_mode_mixes(gpus):
    set_up = SetUp("7B", "25 Gb/s a node", gpus)
    for plan in set_up.hybrids():
        assert plan["tensor"] * plan["pipeline"] * plan["data"] == gpus
        assert (plan["tensor"], plan["pipeline"], plan["data"]).count(1) <= 1
    for plan in set_up.single_modes().values():
        assert sum(plan.get(key, 1) > 1 for key in ("tensor", "pipeline", "data")) == 1


def test_seventy_billion_parameters_fit_no_single_mode_on_one_node():
    set_up = SetUp("70B", "NVLink", 8)
    assert not any(set_up.fitting(plan) for plan in set_up.single_modes().values())


def test_the_deciding_term_is_the_one_that_makes_most_of_the_gap():
    slow = {"step_time_s": 5.0, "breakdown_s": {"compute": 1.0, "data_comm": 3.5, "bubble": 0.5}}
    fast = {"step_time_s": 3.0, "breakdown_s": {"compute": 1.0, "data_comm": 0.5, "bubble": 1.5}}
    assert wide.deciding_term(fast, slow) == "data_comm 3.5 -> 0.5 s"
    assert wide.deciding_term(slow, fast) == "data_comm 0.5 -> 3.5 s"  # behind, and for this reason

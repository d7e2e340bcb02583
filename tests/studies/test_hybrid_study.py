"""The README's figures are the command's: the quick rows are predicted again."""

from pathlib import Path

import pytest

from studies.hybrid_vs_single_mode import plans, run

README = (Path(run.__file__).parent / "README.md").read_text()
FAST, SLOW = plans.NETWORKS


@pytest.mark.parametrize("model, network", [("0.1B", FAST), ("0.1B", SLOW), ("1B", FAST), ("7B", FAST)])
def test_the_best_single_mode_is_as_fast_as_the_readme_says(model, network):
    plan = plans.single_modes(model)["data only, zero 1"]
    entry = run.best("data only, zero 1", list(plans.tunings(model, network, plan)), 5)
    assert f"data only, zero 1: {entry.samples_per_s:,.0f} |" in README


def test_seven_billion_parameters_do_not_fit_without_zero():
    plan = plans.single_modes("7B")["data only, zero 0"]
    entry = run.best("data only, zero 0", list(plans.tunings("7B", FAST, plan)), 5)
    assert entry.result is None and "GiB short" in entry.reason


def test_every_hybrid_fills_the_cluster_and_mixes_two_degrees():
    for model in plans.MODELS:
        for plan in plans.hybrids(model):
            degrees = (plan["tensor"], plan["pipeline"], plan["data"])
            assert degrees[0] * degrees[1] * degrees[2] == plans.GPUS
            assert sum(degree > 1 for degree in degrees) >= 2


def test_single_modes_are_at_their_largest_legal_degree():
    assert plans.single_modes("7B")["tensor only"]["tensor"] == 32
    assert plans.single_modes("1B")["tensor only"]["tensor"] == 8  # 8 key-value heads
    assert plans.single_modes("0.1B")["pipeline only"]["pipeline"] == 4  # 12 layers

"""The bare pieces that take a schedule's numbers from a caller's own code refuse what is no count and no time."""

import numpy as np
import pytest

from simulator import pipeline_step
from simulator.errors import ScenarioError
from simulator.program import pipeline_schedule


@pytest.mark.parametrize("counts", [(2.0, 4), ("2", 4), (2, None), (True, 4), (0, 4), (2, -1), (2**60, 2)])
def test_counts_that_are_no_counts_are_refused_in_a_sentence(counts):
    with pytest.raises(ScenarioError):
        pipeline_schedule("1f1b", *counts)


@pytest.mark.parametrize("forward", [float("nan"), float("inf"), -1, "1", None, [1.0, 2.0], [1.0, 2.0, float("nan")]])
def test_times_that_are_no_times_are_refused_in_a_sentence(forward):
    with pytest.raises(ScenarioError):
        pipeline_step("1f1b", 3, 4, forward, 1.0, 1.0, 0.0)
    with pytest.raises(ScenarioError):
        pipeline_step("1f1b", 3, 4, 1.0, 1.0, 1.0, forward)


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1.0, 1e15, 1e200])
def test_the_unit_of_time_does_not_matter(unit):
    """1F1B with F = 1, B = 2: 3 (m + p - 1) of it, in whatever unit."""
    step = pipeline_step("1f1b", 4, 8, unit, unit, unit, 0.0)
    assert step.total == pytest.approx(33 * unit, rel=1e-9) and step.bubble_rate == pytest.approx(3 / 11, rel=1e-9)


def test_arrays_of_numpy_are_times_too():
    own = np.array([1, 2, 1], dtype=np.float32)
    assert pipeline_step("1f1b", 3, 4, own, own, own, 0.0) == pipeline_step(
        "1f1b", 3, 4, [1, 2, 1], [1, 2, 1], [1, 2, 1], 0.0
    )

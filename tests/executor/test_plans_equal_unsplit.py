"""Whatever the plan, losses and trained parameters are those of the unsplit model.

float64; SGD makes the change of a parameter its gradient, and biases start at 0, so that their values are gradients.
"""

from __future__ import annotations

import numpy as np
import pytest
from assembled import losses, whole_model
from measured_runs import runs, unsplit
from plans import PLANS, plan_id

from simulator.executor.weights import initial
from simulator.model import blocks

TOLERANCE = 1e-9


def is_place(text: str) -> bool:
    """Whether a setting says where rows are: the unsplit model has all of them in one tensor."""
    return ".placement=" in text or ".cache_fraction=" in text


@pytest.mark.parametrize(
    ("ranks", "number"),
    [(ranks, n) for ranks in PLANS for n, (_, keys) in enumerate(PLANS[ranks]) if "compression" not in keys],
    ids=str,
)
def test_plan_trains_the_same_model(ranks, number):
    model, keys = PLANS[ranks][number]
    job, records = runs(ranks)[number]
    sets = tuple(text for text in keys.get("sets", ()) if text.startswith(("model.", "data.")) and not is_place(text))
    alone, alone_records = unsplit(model, keys.get("optimizer", "sgd"), sets)
    np.testing.assert_allclose(losses(records), losses(alone_records), rtol=TOLERANCE)
    assert losses(records)[0] > 0
    whole, expected = whole_model(job, records), whole_model(alone, alone_records)
    assert whole.keys() == expected.keys()
    frozen = {one.name for unit in blocks.units(job.scenario.model)
              for one in blocks.parameters(job.scenario.model, unit) if one.frozen}  # fmt: skip
    for name, value in expected.items():
        start = initial(job.scenario.seed, name, value.shape).numpy()
        change = value - start
        scale = np.abs(change).max()
        if name in frozen:
            assert scale == 0 and np.array_equal(whole[name], value), f"{name} is frozen"
            continue
        assert scale > 0, f"{name} is not trained"
        error = np.abs((whole[name] - start) - change).max() / scale
        assert error < TOLERANCE, f"{plan_id((model, keys))}: {name} is off by {error:.1e} of its change"

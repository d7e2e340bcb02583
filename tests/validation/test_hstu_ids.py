"""The HSTU run's ids: what numpy's unbounded Zipf draws, and what the case makes of it."""

from __future__ import annotations

import numpy as np

from simulator.model.ids import expected_unique
from simulator.model.spec import UniformIds, ZipfIds
from simulator.scenario.loader import scenario_from
from simulator.validation.sources.hstu_h100 import BEYOND, ITEMS, hstu_scenario

ROWS = 50_000_000
RANKS, SAMPLES = 16, 32


def test_a_third_of_the_drawn_ids_lie_beyond_the_rows_and_hardly_two_are_the_same():
    drawn = np.random.default_rng(0).zipf(1.05, size=400_000)
    beyond = drawn[drawn > ROWS]
    assert abs(len(beyond) / len(drawn) - BEYOND / ITEMS) < 0.003
    assert len(np.unique(beyond)) > 0.999 * len(beyond)


def test_the_case_asks_for_as_many_different_rows_as_are_drawn():
    """Of a global batch; a table of ids that nothing bounds has no size, so two stand for it."""
    count = RANKS * SAMPLES * ITEMS
    found = len(np.unique(np.random.default_rng(1).zipf(1.05, size=count)))
    share = BEYOND / ITEMS
    within = expected_unique(ZipfIds(kind="zipf", alpha=1.05), ROWS, round((1 - share) * count))
    later = expected_unique(UniformIds(kind="uniform"), ROWS, round(share * count))
    assert abs((within + later) / found - 1) < 0.01


def test_a_sample_asks_for_the_published_number_of_vectors():
    """2,048 items, as many actions, a user, an age, a category: 131,168 a rank, 65,568 of them in hash tables."""
    tables = {table.name: table.lookups_per_sample for table in scenario_from(hstu_scenario()).model.tables}
    assert SAMPLES * sum(tables.values()) == 131_168
    assert SAMPLES * sum(tables[name] for name in ("item", "beyond", "user")) == 65_568

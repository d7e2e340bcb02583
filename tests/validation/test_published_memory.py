"""Published memory of real runs: what the simulator counts is what the allocator held.

Qi et al. (ICLR 2024, arXiv 2401.10241), table 4: peak memory of 1F1B, interleaved 1F1B, ZB-1p and ZB-2p on 8 and 16
A100, read as 10^9 bytes. Nothing is fitted to it. ZB-1p and ZB-2p are searched schedules under the memory of 1F1B and
twice that; zb_h1 and zb_h2 stand in for them.
"""

import os

import pytest

from simulator.road import memory_of
from simulator.scenario.loader import scenario_from
from simulator.units import GIB
from simulator.validation import load_cases
from simulator.validation.cases import read_rows
from simulator.validation.sources import SOURCES

FULL = os.environ.get("REHEARSE_FULL") == "1"

MEASURED = [row for row in read_rows("zero_bubble.csv") if row["memory_GB"]]
CASES = list(zip(load_cases("zero_bubble"), MEASURED, strict=True))
WITHIN = 0.05


@pytest.mark.parametrize("case, row", CASES, ids=[case.name for case, _ in CASES])
def test_peak_memory_of_zero_bubble_pipelines(case, row):
    counted = memory_of(scenario_from(case.scenario)).tightest.peak / 1e9
    off = counted / float(row["memory_GB"]) - 1
    print(f"{case.name}: {counted:.1f} GB counted, {row['memory_GB']} measured, {off:+.1%}")
    assert abs(off) < (0.1 if row["schedule"] == "ZB-2p" else WITHIN)


def test_schedules_rank_as_they_were_measured():
    """1F1B least, ZB-2p most, on both models."""
    for model in ("1.5B", "14.6B"):
        own = [(case, row) for case, row in CASES if row["model"] == model and row["m"] in ("24", "48")]
        counted = [memory_of(scenario_from(case.scenario)).tightest.peak for case, _ in own]
        measured = [float(row["memory_GB"]) for _, row in own]
        order = range(len(own))
        assert sorted(order, key=lambda place: counted[place]) == sorted(order, key=lambda place: measured[place])


@pytest.mark.parametrize("source", SOURCES)
def test_what_was_run_fits(source):
    """Every published step ran, so none may be called too large (every fourth row; all under REHEARSE_FULL=1). Left
    out: rows that another plan stands in for."""
    cases = [case for case in load_cases(source) if not case.stand_in]
    for case in cases[:: 1 if FULL else 4]:
        over = memory_of(scenario_from(case.scenario)).over
        assert over is None, f"{case.name}: {over.peak / GIB:.1f} of {over.limit / GIB:.1f} GiB"

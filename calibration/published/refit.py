"""Fits the constants of `cluster_fits.py` anew and prints them: python -m calibration.published.refit

Gauss-Newton on the percent errors of the fit rows: predictions are nearly linear in the constants, so a few steps do.
A few rows alone can trade one constant for another, so each is also held, weakly, to the range that is plausible for
it, and answers to its own sources' rows alone: a row that is off by ROW_ERROR_PERCENT weighs as much as a constant
at an end of its range.
`without` leaves a source's rows out: what the constants would be if it had never been published.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from calibration.published.cluster_fits import FITTED, Fitted
from simulator.costs.profile import sealed
from simulator.registry import profile_path
from simulator.validation.cases import Case
from simulator.validation.compare_rows import predict_case, simulate_case
from simulator.validation.sources import load_cases

STEPS = 2
ROW_ERROR_PERCENT = 3.0
DIGITS = 3
SHARE_OF_RANGE = 0.05
"""Difference quotients are taken over this share of a constant's plausible range."""


def refit(profile: str, without: str | None = None, steps: int = STEPS) -> dict[str, float]:
    """name -> value of the fitted constants of a profile. without: a source that counts as unpublished: only constants
    that it helped to set are fitted anew, the others stay.

    A constant that only that source sets falls back on what it would be taken for (`Fitted.otherwise`). Values are
    clipped to what is plausible and rounded to three decimals of their range.
    """
    own = [one for one in FITTED if one.profile == profile and (without is None or without in one.sources)]
    fixed = {one.name: one.otherwise for one in own if set(one.sources) == {without}}
    free = [one for one in own if one.name not in fixed]
    if not free:
        return fixed
    wanted = dict.fromkeys(row for one in free for row in one.rows if row[0] != without)
    cases = [case_named(*row) for row in wanted]
    value = np.array([one.value for one in free])
    low, high = np.array([one.plausible for one in free]).T
    for _ in range(steps):
        before = errors(profile, cases, fixed | _named(free, value))
        slopes = []
        for place in range(len(free)):
            other = value.copy()
            other[place] += SHARE_OF_RANGE * (high - low)[place]
            moved = errors(profile, cases, fixed | _named(free, other))
            told = np.array([case.source in free[place].sources for case in cases])
            slopes.append(told * (moved - before) / (other - value)[place])
        middle, half = (low + high) / 2, (high - low) / 2
        matrix = np.vstack([np.array(slopes).T / ROW_ERROR_PERCENT, np.diag(1 / half)])
        missed = np.concatenate([before / ROW_ERROR_PERCENT, (value - middle) / half])
        value = np.clip(value - np.linalg.lstsq(matrix, missed, rcond=None)[0], low, high)
    step = 10.0 ** (np.floor(np.log10(high - low)) - DIGITS + 1)
    rounded = np.round(value / step) * step
    return fixed | {one.name: float(f"{number:.6g}") for one, number in zip(free, rounded, strict=True)}


@cache
def case_named(source: str, name: str) -> Case:
    """The case of a declared row."""
    return next(case for case in load_cases(source) if case.name == name and not case.stand_in)


def errors(profile: str, cases: list[Case], constants: Mapping[str, float]) -> np.ndarray:
    """Percent error of each case with these constants in a copy of a shipped profile, float64[n]."""
    record = json.loads(profile_path(profile).read_text(encoding="utf-8"))
    for name, value in constants.items():
        known = record["constants"].get(name, {"unit": "1", "kind": "fitted", "citation": "another fit"})
        record["constants"][name] = {**known, "value": value}
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{profile}.json"
        path.write_text(json.dumps(sealed(record)), encoding="utf-8")
        return np.array([predict_case(_priced(case, path), simulate_case).error_percent for case in cases])


def _priced(case: Case, profile: Path) -> Case:
    baseline = case.baseline and {**case.baseline, "profile": str(profile)}
    return replace(case, scenario={**case.scenario, "profile": str(profile)}, baseline=baseline)


def _named(free: list[Fitted], value: np.ndarray) -> dict[str, float]:
    return {one.name: float(number) for one, number in zip(free, value, strict=True)}


def main() -> int:
    """Prints what each constant is and what it would be fitted to now; of the profiles that are named, or of all."""
    for profile in sys.argv[1:] or dict.fromkeys(fitted.profile for fitted in FITTED):
        found = refit(profile)
        for fitted in FITTED:
            if fitted.profile == profile:
                print(f"{profile} {fitted.name}: is {fitted.value:g}, fits at {found[fitted.name]:g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

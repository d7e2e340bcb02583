"""What a source's rows are predicted as if it had never been published: python -m calibration.published.leave_one_out

The constants that its fit rows helped to set are fitted to the other sources' rows of the same generation, or, where
only it sets one, taken to be what they would be without (`Fitted.otherwise`). Then its validation rows are predicted
anew. The outcome is kept in left_out.json beside this file, which a test holds to the rule: at most half as much again.
An error of less than what the published digits leave open cannot be told: the rule is broken where it is for every
measurement that rounds to them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from calibration.published.cluster_fits import FITTED
from calibration.published.refit import errors, refit
from simulator.validation.sources import SOURCES, load_cases

ALLOWED_RISE = 1.5
STORED = "left_out.json"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Mean absolute percent errors of a source's validation rows with all constants and with those fitted without it.

    beyond_percent: by how much the error without is above half as much again, for the measurements within the published
    digits' rounding that are kindest to it; negative: below. constants: those that changed, name -> value.
    """

    source: str
    profile: str
    rows: int
    percent_with: float
    percent_without: float
    beyond_percent: float
    constants: dict[str, float]

    @property
    def is_within(self) -> bool:
        """Whether the error rises by at most half, as far as the published digits tell."""
        return self.beyond_percent <= 0


def sources_left_out() -> tuple[tuple[str, str], ...]:
    """(source, profile) of every source that set a constant and has rows that check."""
    found = dict.fromkeys((source, one.profile) for one in FITTED for source in one.sources)
    return tuple(pair for pair in sorted(found, key=lambda pair: SOURCES.index(pair[0])) if validation_cases(pair[0]))


def validation_cases(source: str) -> list:
    """Its rows that check: fitted to nothing, and of the plan that was measured."""
    return [case for case in load_cases(source) if not case.fitted and not case.stand_in]


def outcome(source: str, profile: str) -> LeftOut:
    """One source's outcome."""
    cases = validation_cases(source)
    constants = refit(profile, without=source, steps=1)
    known, unknown = (errors(profile, cases, values) for values in ({}, constants))
    beyond = least_excess(known, unknown, np.array([case.rounding_percent for case in cases]))
    known, unknown = (float(np.mean(np.abs(percents))) for percents in (known, unknown))
    return LeftOut(source, profile, len(cases), round(known, 2), round(unknown, 2), round(beyond, 2), constants)


def least_excess(known: np.ndarray, unknown: np.ndarray, rounding: np.ndarray) -> float:
    """Mean of |unknown| less ALLOWED_RISE times the mean of |known|, least over measurements that round as published.

    All in percent, float64[rows]. Another measurement moves both errors of a row alike, by at most its rounding; the
    least lies where one of them vanishes or at an end, row by row.
    """
    moves = np.clip(np.array([known, unknown, -rounding, rounding]), -rounding, rounding)
    excess = np.abs(unknown - moves) - ALLOWED_RISE * np.abs(known - moves)
    return float(excess.min(axis=0).mean())


def all_left_out() -> Iterator[LeftOut]:
    """Every source's outcome, one after another."""
    for pair in sources_left_out():
        yield outcome(*pair)


def stored() -> tuple[LeftOut, ...]:
    """What the last run of this module found."""
    return tuple(LeftOut(**row) for row in json.loads(_file().read_text(encoding="utf-8")))


def _file() -> Path:
    return Path(str(files("calibration.published").joinpath(STORED)))


def main() -> int:
    """Fits, predicts, prints and stores every outcome."""
    found = []
    for one in all_left_out():
        found.append(asdict(one))
        print(f"{one.source}: {one.percent_with} % with it, {one.percent_without} % without", flush=True)
    _file().write_text("[\n" + ",\n".join(" " + json.dumps(row) for row in found) + "\n]\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

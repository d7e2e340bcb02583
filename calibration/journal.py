"""Journal: every sample that was taken, by point and condition; kept inside the profile, so that a later run goes on.

Conditions: `together` (all ranks of the machine at once, the same op), `alone` (one rank, the others idle); a
collective has the one condition `together`; an overlap has `together` (the collective's ns) and `compute` (how much it
slowed compute, in millionths).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from calibration.pieces import Job, Named
from calibration.points import Point

TOGETHER, ALONE, COMPUTE = "together", "alone", "compute"
MOST_SAMPLES = 96
"""Kept for each point and condition; the oldest go first."""
ENOUGH_CLEAN = 3
"""From this many clean samples on, contaminated ones are left out."""
NUM_QUANTILES = 21


@dataclass
class Sampled:
    """Samples of one point under one condition: ns, 1 where contaminated; visits: in how many rounds."""

    ns: list[int] = field(default_factory=list)
    contaminated: list[int] = field(default_factory=list)
    visits: int = 0

    def add(self, pairs: list[list[int]]) -> None:
        """Samples of one visit, [ns, contaminated] each."""
        self.ns = [*self.ns, *(pair[0] for pair in pairs)][-MOST_SAMPLES:]
        self.contaminated = [*self.contaminated, *(pair[1] for pair in pairs)][-MOST_SAMPLES:]
        self.visits += 1

    @property
    def kept(self) -> np.ndarray:
        """The samples that count, in order of size."""
        ns, dirty = np.array(self.ns, dtype=np.float64), np.array(self.contaminated, dtype=bool)
        return np.sort(ns[~dirty] if (~dirty).sum() >= ENOUGH_CLEAN else ns)

    def quantiles(self) -> list[int]:
        """The whole sample as evenly spaced quantiles, ns; the middle one is the median."""
        return [round(value) for value in np.quantile(self.kept, np.linspace(0, 1, NUM_QUANTILES)).tolist()]


class Journal:
    """Samples by (point key, condition), and the same of pieces.

    sentinel: the sentinel's medians in the order of time. failed: what could not be measured here, and why.
    """

    def __init__(self):
        self.samples: dict[str, dict[str, Sampled]] = {}
        self.pieces: dict[str, dict[str, Sampled]] = {}
        self.sentinel: list[int] = []
        self.failed: dict[str, str] = {}

    def add(self, point: Point, condition: str, pairs: list[list[int]]) -> None:
        """Samples of one visit to a point, [ns, contaminated] each."""
        self.samples.setdefault(point.key, {}).setdefault(condition, Sampled()).add(pairs)

    def add_piece(self, piece: Named, condition: str, pairs: list[list[int]]) -> None:
        """Samples of one visit to a piece."""
        self.pieces.setdefault(piece.key, {}).setdefault(condition, Sampled()).add(pairs)

    def visits(self, what: Point | Job, condition: str) -> int:
        """In how many rounds this point (or this job's first piece) was measured."""
        found = self.samples.get(what.key) if isinstance(what, Point) else self.pieces.get(what.pieces[0].key)
        return found[condition].visits if found and condition in found else 0

    def points(self, condition: str) -> dict[Point, Sampled]:
        """The points that were measured under a condition, in order of first visit."""
        return {Point.of_key(key): found[condition] for key, found in self.samples.items() if condition in found}

    @property
    def num_samples(self) -> int:
        return sum(len(one.ns) for one in self._all())

    @property
    def contaminated_share(self) -> float:
        """Share of the samples that lost their core."""
        return sum(sum(one.contaminated) for one in self._all()) / max(1, self.num_samples)

    def _all(self) -> list[Sampled]:
        return [one for part in (self.samples, self.pieces) for found in part.values() for one in found.values()]

    def drift(self) -> float:
        """How far the sentinel strayed: (largest - smallest) / median of its visits; 0 before the second."""
        return (max(self.sentinel) - min(self.sentinel)) / float(np.median(self.sentinel)) if self.sentinel else 0.0

    def to_record(self) -> dict:
        return {"sentinel_ns": self.sentinel, "failed": self.failed,
                "samples": _to_rows(self.samples), "pieces": _to_rows(self.pieces)}  # fmt: skip

    @classmethod
    def from_record(cls, record: dict) -> Journal:
        made = cls()
        made.sentinel, made.failed = list(record["sentinel_ns"]), dict(record["failed"])
        made.samples, made.pieces = _from_rows(record["samples"]), _from_rows(record["pieces"])
        return made


def _to_rows(part: dict[str, dict[str, Sampled]]) -> dict:
    return {
        key: {condition: [one.visits, one.ns, one.contaminated] for condition, one in found.items()}
        for key, found in part.items()
    }


def _from_rows(rows: dict) -> dict[str, dict[str, Sampled]]:
    return {
        key: {condition: Sampled(list(ns), list(dirty), visits) for condition, (visits, ns, dirty) in found.items()}
        for key, found in rows.items()
    }

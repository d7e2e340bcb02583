"""Journal: every sample that was taken, by point and condition; kept inside the profile, so that a later run goes on.

Conditions: `together` (all ranks of the machine at once, the same op), `alone` (one rank, the others idle); a
collective has the one condition `together`; an overlap has `together` (ns of the collective or the copy beside
compute), `compute` (how much it slowed compute, in millionths) and, of a copy, `alone` (its ns by itself).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from calibration.pieces import Job, Named
from calibration.points import Point

TOGETHER, ALONE, COMPUTE = "together", "alone", "compute"
MOST_SAMPLES = 768
"""Kept for each point and condition; the oldest visits go first."""
NUM_QUANTILES = 21
FORMAT = 2
"""Of the record; another one is of another version."""


@dataclass
class Sampled:
    """Samples of one point under one condition. visits: the ns of each visit's samples, oldest first.

    lost: of each visit, the samples whose thread lost its core. seen: visits that were ever made.
    """

    visits: list[list[int]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    seen: int = 0

    def add(self, pairs: list[list[int]]) -> None:
        """Samples of one visit, [ns, 1 where the core was lost] each."""
        self.visits.append([pair[0] for pair in pairs])
        self.lost.append(sum(pair[1] for pair in pairs))
        self.seen += 1
        while len(self.visits) > 1 and self.num_samples > MOST_SAMPLES:
            del self.visits[0], self.lost[0]

    @property
    def num_samples(self) -> int:
        return sum(len(visit) for visit in self.visits)

    def level(self, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(the samples in order of size, brought to one level; the levels they had). float64[samples], float64[levels].

        What varies within a visit varies within a step, which takes its mean. What moves a whole visit (another
        process, a slower clock) moves whole steps, whose median knows nothing of the slowest: so visits are scaled to
        the median of their means. least: samples that a mean is judged on; visits in a row count as one until they
        hold so many.
        """
        groups: list[list[int]] = [[]]
        for visit in self.visits:
            if len(groups[-1]) >= least:
                groups.append([])
            groups[-1].extend(visit)
        if len(groups) > 1 and len(groups[-1]) < least:
            groups[-2].extend(groups.pop())
        means = np.array([np.mean(group) for group in groups])
        middle = float(np.median(means))
        parts = [np.array(group) * (middle / mean) for group, mean in zip(groups, means.tolist(), strict=True)]
        return np.sort(np.concatenate(parts)), means


def bin_means(ordered: np.ndarray, bins: int = NUM_QUANTILES) -> np.ndarray:
    """The means of equal shares of a sorted sample: quantiles whose own mean is exactly the sample's. float64[bins]."""
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    edges = np.interp(np.linspace(0, len(ordered), bins + 1), np.arange(len(ordered) + 1), sums)
    return np.diff(edges) * (bins / len(ordered))


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
        """Samples of one visit to a point, [ns, 1 where the core was lost] each."""
        self.samples.setdefault(point.key, {}).setdefault(condition, Sampled()).add(pairs)

    def add_piece(self, piece: Named, condition: str, pairs: list[list[int]]) -> None:
        """Samples of one visit to a piece."""
        self.pieces.setdefault(piece.key, {}).setdefault(condition, Sampled()).add(pairs)

    def visits(self, what: Point | Job, condition: str) -> int:
        """In how many rounds this point (or this job's first piece) was measured."""
        found = self.samples.get(what.key) if isinstance(what, Point) else self.pieces.get(what.pieces[0].key)
        return found[condition].seen if found and condition in found else 0

    def points(self, condition: str) -> dict[Point, Sampled]:
        """The points that were measured under a condition, in order of first visit."""
        return {Point.of_key(key): found[condition] for key, found in self.samples.items() if condition in found}

    @property
    def num_samples(self) -> int:
        return sum(one.num_samples for one in self._all())

    @property
    def contaminated_share(self) -> float:
        """Share of the samples that lost their core."""
        return sum(sum(one.lost) for one in self._all()) / max(1, self.num_samples)

    def _all(self) -> list[Sampled]:
        return [one for part in (self.samples, self.pieces) for found in part.values() for one in found.values()]

    def drift(self) -> float:
        """How far the sentinel strayed: (largest - smallest) / median of its visits; 0 before the second."""
        return (max(self.sentinel) - min(self.sentinel)) / float(np.median(self.sentinel)) if self.sentinel else 0.0

    def to_record(self) -> dict:
        return {"format": FORMAT, "sentinel_ns": self.sentinel, "failed": self.failed,
                "samples": _to_rows(self.samples), "pieces": _to_rows(self.pieces)}  # fmt: skip

    @classmethod
    def from_record(cls, record: dict) -> Journal:
        """Raises ValueError for the record of another version."""
        if record.get("format") != FORMAT:
            raise ValueError(f"format {record.get('format', 1)}, not {FORMAT}")
        made = cls()
        made.sentinel, made.failed = list(record["sentinel_ns"]), dict(record["failed"])
        made.samples, made.pieces = _from_rows(record["samples"]), _from_rows(record["pieces"])
        return made


def _to_rows(part: dict[str, dict[str, Sampled]]) -> dict:
    return {
        key: {condition: [one.seen, one.lost, one.visits] for condition, one in found.items()}
        for key, found in part.items()
    }


def _from_rows(rows: dict) -> dict[str, dict[str, Sampled]]:
    return {
        key: {condition: Sampled([list(ns) for ns in visits], list(lost), seen)
              for condition, (seen, lost, visits) in found.items()}
        for key, found in rows.items()
    }  # fmt: skip

"""Histories: what each user did, oldest first; split by time into what is trained on and the one item that is held out.

A seeded generator gives histories where there is no real data: lengths and popularities in MovieLens-100K's range, and
no order to learn beyond popularity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.costs.sampling import raw_integers

GENERATED_USERS, GENERATED_ITEMS = 943, 1682
SHORTEST, LONGEST = 20, 737
"""Users, items and lengths as in MovieLens-100K."""

LENGTH_EXPONENT = 1.6
"""Puts the median length at 65, MovieLens-100K's."""

POPULARITY_ALPHA = 1.05
"""Assumed exponent of the items' Zipf law: the default that `model/spec.py` gives tables."""


@dataclass(frozen=True, eq=False)
class Histories:
    """source: where they come from. items: ids are 1..items, 0 is padding. sequences: int64[n] of each user."""

    source: str
    items: int
    sequences: tuple[np.ndarray, ...]

    def training(self) -> tuple[np.ndarray, ...]:
        """All but each user's last item."""
        return tuple(sequence[:-1] for sequence in self.sequences)

    def held_out(self) -> np.ndarray:
        """int64[users]: each user's last item."""
        return np.array([sequence[-1] for sequence in self.sequences], dtype=np.int64)


def histories_of(source: str, items: int, user: np.ndarray, item: np.ndarray, time: np.ndarray) -> Histories:
    """Interactions (one entry each, in any order) by user and time; equal times keep the given order."""
    order = np.lexsort((np.arange(len(time)), time, user))
    bounds = np.flatnonzero(np.diff(user[order])) + 1
    return Histories(source, items, tuple(np.split(item[order], bounds)))


def generated(seed: int) -> Histories:
    """Zipf histories: lengths skewed over [SHORTEST, LONGEST], items by popularity, each drawn on its own."""
    share = _uniform(seed, "lengths", GENERATED_USERS)
    lengths = np.rint(SHORTEST * (LONGEST / SHORTEST) ** share**LENGTH_EXPONENT).astype(np.int64)
    mass = np.cumsum(np.arange(1, GENERATED_ITEMS + 1, dtype=np.float64) ** -POPULARITY_ALPHA)
    drawn = 1 + np.searchsorted(mass[:-1] / mass[-1], _uniform(seed, "items", int(lengths.sum())), side="right")
    return Histories("zipf", GENERATED_ITEMS, tuple(np.split(drawn, np.cumsum(lengths)[:-1])))


def _uniform(seed: int, name: str, count: int) -> np.ndarray:
    """float64[count] in (0, 1)."""
    return ((raw_integers(seed, "histories", name, 0, count) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

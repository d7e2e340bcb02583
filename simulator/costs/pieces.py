"""Pieces: kernels that were measured together, as the training code runs them one after another.

A unit's forward or backward, an optimizer step, a compressor's encoding: single kernels sum to less than such a piece
takes (reshapes, the framework's dispatch, autograd's own work), or to more (kernels that the host fuses). Where a
profile holds the piece, its kernels are stretched by one factor so that they sum to what was measured. The same
kernels under two names are two pieces (a message is cast into new memory, and back into old: 2:1 on a CPU); under a
name that was not measured they are the piece that was measured first. A piece of the same structure (the same ops in
the same order) but other shapes gets a factor between those of its measured likes, by the log of its kernels' sum:
those of its own name, where there are several, for SGD's update of rows has the structure of Adam's;
where the like was never measured, factors are 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np

from simulator.costs.profile import Profile
from simulator.costs.profile_entries import MeasuredPiece
from simulator.model.work import Kernel

Identity = tuple[tuple[str, tuple[int, ...], str, int], ...]
Seconds = Callable[[Kernel], float]
ALONE, TOGETHER = "alone", "together"
LEAST_OF_A_NAME = 2
EXACT, LIKE = "piece.", "piece_like."
"""Op classes: this very piece was measured; or pieces of its structure were."""


class Stretch(NamedTuple):
    """factor on every kernel of the piece; source, op class and repeat error of the prices that come of it."""

    factor: float
    source: str
    op_class: str
    repeat_error: float


def identity(kernels: Sequence[Kernel]) -> Identity:
    """What two pieces have in common that run the same kernels."""
    return tuple((kernel.op, kernel.shape, kernel.dtype, kernel.bytes_moved) for kernel in kernels)


def structure(kernels: Sequence[Kernel]) -> tuple[str, ...]:
    """What makes two pieces alike."""
    return tuple(kernel.op for kernel in kernels)


class MeasuredPieces:
    """The pieces of a profile. seconds: the price of one kernel by itself. alone: as for `measured.MeasuredKernels`."""

    def __init__(self, profile: Profile, seconds: Seconds, *, alone: bool = False):
        wanted = ALONE if alone else TOGETHER
        pieces = [piece for piece in profile.pieces if piece.source_key == wanted] or list(profile.pieces)
        self._seconds = seconds
        self._exact = {(piece.name, identity(piece.kernels)): piece for piece in pieces}
        self._same: dict[Identity, MeasuredPiece] = {}
        self._likes: dict[tuple[str, ...], list[MeasuredPiece]] = {}
        for piece in pieces:
            self._same.setdefault(identity(piece.kernels), piece)
            self._likes.setdefault(structure(piece.kernels), []).append(piece)
        self._lines: dict[tuple[str, tuple[str, ...]], tuple[np.ndarray, np.ndarray]] = {}

    def stretch(self, kernels: Sequence[Kernel], name: str) -> Stretch | None:
        """How to stretch the prices of these kernels of a piece; None where nothing like them was measured."""
        likes = likes_of(self._likes.get(structure(kernels), []), name)
        if not likes:
            return None
        total = sum(self._seconds(kernel) for kernel in kernels)
        same = identity(kernels)
        if found := self._exact.get((name, same)) or self._same.get(same):
            return Stretch(found.median_s / total, "measured", f"{EXACT}{found.name}", found.repeat_error)
        sums, factors = self._line((name, structure(kernels)), likes)
        inside = sums[0] <= log(total) <= sums[-1]
        factor = exp(float(np.interp(log(total), sums, factors)))
        repeat = float(np.median([piece.repeat_error for piece in likes]))
        return Stretch(factor, "interpolated" if inside else "extrapolated", f"{LIKE}{likes[0].name}", repeat)

    def _line(self, key: tuple[str, tuple[str, ...]], likes: list[MeasuredPiece]) -> tuple[np.ndarray, np.ndarray]:
        """(log of the kernels' sum, log of the factor) of the measured likes, by rising sum."""
        if key not in self._lines:
            self._lines[key] = factor_line(likes, self._seconds)
        return self._lines[key]


def likes_of(alike: Sequence[MeasuredPiece], name: str) -> list[MeasuredPiece]:
    """Of pieces of one structure those of this name, where there are several; else all."""
    own = [piece for piece in alike if piece.name == name]
    return own if len(own) >= LEAST_OF_A_NAME else list(alike)


def factor_line(pieces: Sequence[MeasuredPiece], seconds: Seconds) -> tuple[np.ndarray, np.ndarray]:
    """(log of the kernels' sum, log of measured over that sum) of each piece, by rising sum."""
    sums = np.array([log(sum(seconds(kernel) for kernel in piece.kernels)) for piece in pieces])
    order = np.argsort(sums, kind="stable")
    return sums[order], (np.log([piece.median_s for piece in pieces]) - sums)[order]

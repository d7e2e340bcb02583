"""Pieces of a stage between detached seams, and what a step keeps of them while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from simulator.executor.blocks import Inputs
from simulator.model import blocks
from simulator.program.program import Chunk


@dataclass
class Piece:
    """Units [first, last] of a stage between two seams. layer: under full recomputation, the places of the pieces that
    make up its layer; the whole layer is run again before the backward of the last of them. passes: whether the
    gradient of its input is asked for. runs: whether it has a backward pass."""

    first: int
    last: int
    layer: tuple[int, ...] = ()
    passes: bool = True
    runs: bool = True


@dataclass
class Saved:
    """What a piece's forward leaves for its backward. x: the input, a leaf. out: None where it must be run again; then
    only the first piece of a layer keeps x."""

    x: torch.Tensor | None
    out: torch.Tensor | None


@dataclass
class Step:
    """What one step of a rank is made of while it runs. mail: what an action leaves for another one, under the words
    of that one: (verb, F or B, stage, microbatch). waiting: products of each piece that I has left to W."""

    inputs: list[Inputs] = field(default_factory=list)
    saved: dict[tuple[int, int, int], Saved] = field(default_factory=dict)
    waiting: dict[tuple[int, int, int], list] = field(default_factory=dict)
    mail: dict[tuple, torch.Tensor] = field(default_factory=dict)
    losses: list[torch.Tensor] = field(default_factory=list)


def pieces_of(scenario, chunk: Chunk) -> list[Piece]:
    """A stage's pieces, in forward order, and which of them pass gradients on."""
    units = blocks.units(scenario.model)
    pieces = _between_seams(scenario.plan.recompute, units, chunk)
    for piece in pieces:
        trained = [blocks.training(scenario.model, unit) for unit in units[piece.first : piece.last + 1]]
        piece.passes, piece.runs = trained[0].passes, any(one.runs for one in trained)
    return pieces


def _between_seams(recompute: str, units: tuple[blocks.Unit, ...], chunk: Chunk) -> list[Piece]:
    """A stage's segments, under full recomputation cut at layers too."""
    if recompute != "full":
        return [Piece(first, last) for first, last in chunk.segments]
    starts = {first for first, _ in chunk.segments}
    pieces: list[Piece] = []
    for index in range(chunk.first, chunk.last + 1):
        layer = units[index].layer
        if pieces and index not in starts and layer >= 0 and units[index - 1].layer == layer:
            pieces[-1].last = index
        else:
            pieces.append(Piece(index, index))
    for piece in pieces:
        layer = units[piece.first].layer
        if layer >= 0:
            piece.layer = tuple(p for p, other in enumerate(pieces) if units[other.first].layer == layer)
    return pieces

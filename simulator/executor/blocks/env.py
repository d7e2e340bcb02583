"""What the modules of a rank share: the model, the shape of a microbatch, the tensor group, the microbatch itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import torch

from simulator.executor.compiled import compiled
from simulator.executor.context_parallel import WHOLE, Context, Spans
from simulator.executor.forgetting import Forgetting
from simulator.executor.numerics import Numerics
from simulator.executor.tensor_parallel import Tensor
from simulator.model.spec import ModelSpec


@dataclass(frozen=True)
class Pack:
    """Samples one behind the other, and last what fills them up. runs: of each, the positions that this rank has.
    lengths: of each, on all ranks together."""

    runs: tuple[Spans, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Env:
    """batch: samples of a microbatch. seq: positions of each that this rank has. attention: flash or unfused.
    recompute_core: run the attention core again in backward instead of keeping its s^2 matrices. cheap: whether cheap
    ops are run again too. lengths: of the samples, where they differ. pack: where they are packed, one behind the other
    as one sample (`blocks/samples.py`). compiles: a layer's norms, gates, activations and rotary positions are
    torch.compile's."""

    model: ModelSpec
    batch: int
    seq: int
    tensor: Tensor
    numerics: Numerics
    attention: str = "flash"
    recompute_core: bool = False
    cheap: Forgetting = field(default_factory=Forgetting)
    context: Context = WHOLE
    lengths: tuple[int, ...] = ()
    pack: Pack | None = None
    compiles: bool = False

    def fused(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """The function as the layers run it. It must be defined once: what is compiled is kept by its identity."""
        return compiled(function) if self.compiles else function

    @cached_property
    def spans(self) -> Spans:
        """Where in a sample this rank's positions are."""
        return tuple(chain(*self.pack.runs)) if self.pack else self.context.spans(self.seq)


@dataclass
class Inputs:
    """One microbatch on a rank; positions are sequence-major: position p of sample b is row p * batch + b.

    ids: int64[positions] of the token table. labels: int64[positions], or the 0/1 targets of a binary head.
    weights: of each position in the loss; they are already divided by the weight of the whole global batch.
    vectors: looked-up rows of each sparse table, this rank's positions, or one for each sample; scored: rows that the
    head scores, [own positions, 1 + negatives, dim], the positive first. Both are leaves: their gradients go back to
    the tables. numbers: [samples, features] of a DLRM. env, real: of a microbatch whose samples differ in length, what
    it is computed with, and which of the rows that vectors belong to are no padding (None: all). rows: of tables that
    are asked for a number of ids a sample, the row of each vector.
    """

    ids: torch.Tensor | None
    labels: torch.Tensor
    weights: torch.Tensor
    vectors: dict[str, torch.Tensor] = field(default_factory=dict)
    scored: torch.Tensor | None = None
    numbers: torch.Tensor | None = None
    env: Env | None = None
    real: torch.Tensor | None = None
    rows: dict[str, torch.Tensor] = field(default_factory=dict)

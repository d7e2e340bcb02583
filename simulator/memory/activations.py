"""What a compute action adds to the activations that a rank keeps, takes from them, and needs beside them meanwhile."""

from __future__ import annotations

from functools import cache

from simulator.model import blocks
from simulator.model.blocks import Cut

Span = tuple[int, int]
"""First and last unit."""


class Activations:
    """Bytes of one kind of microbatch on one rank. cut: what the rank works on in it.

    Held: what started microbatches keep. A backward pass goes through its units in reverse: beside what is still held
    it needs the rest of the layer that was run again, and the unit's own gradients of activations.
    """

    def __init__(self, scenario, cut: Cut):
        self._mode, self._model, self._cut = scenario.plan.recompute, scenario.model, cut
        self._units = blocks.units(scenario.model)
        self.change, self.beside = cache(self._change), cache(self._beside)
        self.kept, self.working, self.rerun = cache(self._kept), cache(self._working), cache(self._rerun)

    def _change(self, verb: str, span: Span) -> int:
        """How many more bytes (fewer, below 0) are held once the action is over."""
        if verb == "F":
            return self._kept_over(span)
        if verb == "W":
            return -self.for_weights(span)
        return (self.for_weights(span) if verb == "I" else 0) - self._kept_over(span)

    def _beside(self, verb: str, span: Span) -> int:
        """Most bytes above what is held when the action begins, while it runs."""
        if verb == "F":
            return self._kept_over(span)
        freed, most = 0, 0
        if verb == "W":
            return most
        for index in range(span[1], span[0] - 1, -1):
            most = max(most, self.rerun(index) + self.working(index) - freed)
            freed += self.kept(index)
            if verb == "I":
                freed -= self.for_weights((index, index))
        return max(most, -freed)

    def layer(self, index: int) -> int:
        """The layer of a unit, -1 for embedding and head."""
        return self._units[index].layer

    def _working(self, index: int) -> int:
        """Gradients of activations inside a unit's backward pass."""
        return blocks.working_bytes(self._model, self._units[index], self._cut)

    def _kept(self, index: int) -> int:
        """From a unit's forward pass to its backward."""
        return blocks.kept_bytes(self._model, self._units[index], self._cut, self._mode)

    def _kept_over(self, span: Span) -> int:
        return sum(self.kept(index) for index in range(span[0], span[1] + 1))

    def for_weights(self, span: Span) -> int:
        """What I leaves for W."""
        units = self._units[span[0] : span[1] + 1]
        return sum(blocks.weight_bytes(self._model, unit, self._cut) for unit in units)

    def _rerun(self, index: int) -> int:
        """What recomputation holds while backward is at this unit: of its whole layer (full), or of the unit."""
        layer, same = self._units[index].layer, [self._units[index]]
        if self._mode == "full":
            same = [unit for unit in self._units[: index + 1] if unit.layer == layer >= 0]
        return sum(blocks.transient_bytes(self._model, unit, self._cut, self._mode) for unit in same)

"""A slow rank, for real: `faults.stragglers` in a run.

Behind each of its compute actions a straggler works on, with products of matrices, until the action has lasted as many
times longer as the scenario says. It keeps its core busy, as a rank that has more to do would, and does not sleep.
"""

from __future__ import annotations

import torch

from simulator.executor.spans import Span, now_ns
from simulator.scenario.faults import straggler_factors

_WIDTH = 64
"""Of the products: 0.5 MFLOP, some 10 us, so that an action is too long by no more than that."""


class SlowRank:
    """factor: how many times longer compute actions take in this step; 1: as long as they do."""

    def __init__(self) -> None:
        self.factor = 1.0
        self.matrix = torch.ones(_WIDTH, _WIDTH) / _WIDTH

    def begin_step(self, scenario, rank: int, step: int) -> None:
        """Sets what holds for a step of the run."""
        self.factor = dict(straggler_factors(scenario.faults, scenario.layout.ranks, step)).get(rank, 1.0)

    def repeat(self, span: Span) -> None:
        """Goes on where an action is over. What it waited for others inside is not its own work."""
        if self.factor == 1.0:
            return
        now = now_ns()
        waited = sum(end - begin for child in span.children for begin, end in child.waits)
        until = now + round((self.factor - 1) * max(0, now - span.start_ns - waited))
        while now_ns() < until:
            self.matrix = self.matrix @ self.matrix

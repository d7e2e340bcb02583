"""A slow rank, for real: `faults.stragglers` in a run.

Behind each of its compute actions a straggler works on, with products of matrices, until the action has lasted as many
times longer as the scenario says. It keeps its core busy, as a rank that has more to do would, and does not sleep.
"""

from __future__ import annotations

from time import thread_time_ns

import torch

from simulator.scenario.faults import slow_ranks

_WIDTH = 64
"""Of the products: 0.5 MFLOP, some 10 us, so that an action is too long by no more than that."""


class SlowRank:
    """factor: how many times longer compute actions take in this step; 1: as long as they do."""

    def __init__(self) -> None:
        self.factor = 1.0
        self.matrix = torch.ones(_WIDTH, _WIDTH) / _WIDTH

    def begin_step(self, scenario, rank: int, step: int) -> None:
        """Sets what holds for a step of the run."""
        self.factor = dict(slow_ranks(scenario, step)).get(rank, 1.0)

    def repeat(self, worked_ns: int) -> None:
        """Goes on where an action is over. worked_ns: of a core, so that neither waiting for other ranks nor for a core
        counts."""
        until = thread_time_ns() + round((self.factor - 1) * worked_ns)
        while self.factor > 1 and thread_time_ns() < until:
            self.matrix = self.matrix @ self.matrix

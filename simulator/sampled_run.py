"""A run of steps in the worlds that its costs allow: the priced graph and the timeline of each step in each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.adaptation import RunStep
from simulator.costs.sampling import repeat_factors
from simulator.graph.expand import Expanded
from simulator.many_steps import mean_ns
from simulator.road import Road
from simulator.timeline import Timeline


class SampledRun:
    """sample: a world by its number; None: every op at its profile's median.

    Where a profile knows how repeats scatter, every real rank and every op of a sample has a draw of that by itself, so
    that nothing is folded or contracted. Steps that share a road share its timeline too.
    """

    def __init__(self, scenario, steps: Sequence[RunStep]):
        self.scenario, self.steps = scenario, tuple(steps)
        first = self.steps[0].road
        self._first = first.expanded(first.prices)
        self._scatters = bool(self._first.repeat_error.any())

    def expanded(self, road: Road, sample: int | None) -> Expanded:
        """The priced graph of one of the run's roads."""
        if sample is None:
            return self._first if road is self.steps[0].road else road.expanded(road.prices)
        prices = road.prices.sampled(self.scenario.seed, sample)
        drawn = road.expanded(prices, whole=self._scatters, contracted=not self._scatters)
        return _repeated(drawn, self.scenario.seed, sample)

    def timelines(self, sample: int | None) -> tuple[Timeline, ...]:
        """One for each step."""
        roads = dict.fromkeys(step.road for step in self.steps)
        found = {road: road.timeline(self.expanded(road, sample)) for road in roads}
        return tuple(found[step.road] for step in self.steps)

    def mean_step_ns(self, timelines: Sequence[Timeline]) -> int:
        """The mean of the steps, with what moves layers ahead of them."""
        return mean_ns([own.step_ns + step.move_ns for own, step in zip(timelines, self.steps, strict=True)])


def _repeated(expanded: Expanded, seed: int, sample: int) -> Expanded:
    """The same graph with every op's time drawn from the spread of its repeats; parts of contracted ops stay shares."""
    if not expanded.repeat_error.any():
        return expanded
    factors = repeat_factors(seed, sample, expanded.repeat_error, expanded.draw)
    duration_ns, latency_ns = (
        np.rint(column * factors).astype(np.int64) for column in (expanded.graph.duration_ns, expanded.graph.latency_ns)
    )
    return replace(expanded, graph=replace(expanded.graph, duration_ns=duration_ns, latency_ns=latency_ns))

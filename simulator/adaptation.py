"""A run under the adaptive stage balancer: step after step, with the stragglers of each, and what the balancer moves.

Every step is lowered, priced and simulated as it would be alone; the balancer sees how long its stages took and may
deal the layers anew. A move stands between two steps and lasts as long as the busiest rank's messages over the links
between its stages. Steps that nothing tells apart are simulated once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from simulator.model import blocks, memory_rules
from simulator.policies.decisions import Decision
from simulator.policies.stage_balancer import MoveCost, Observation
from simulator.policies.stage_partition import Partition
from simulator.program.lowering import local_numel
from simulator.program.placement import stage_layers
from simulator.road import Prices, Road
from simulator.scenario.faults import slow_ranks
from simulator.stage_balance import balancer_of, with_partition
from simulator.stage_times import stage_times_ns
from simulator.timeline import Timeline


@dataclass(frozen=True)
class RunStep:
    """move_ns: what moving layers has taken ahead of it."""

    road: Road
    move_ns: int = 0


def adapted_run(scenario) -> tuple[tuple[RunStep, ...], tuple[Decision, ...]]:
    """(every step of the run, what was decided)."""
    partition, steps = stage_layers(scenario), scenario.steps
    balancer, known = balancer_of(scenario, move_cost(scenario)), _Known(scenario)
    run: list[RunStep] = []
    seen: list[Observation] = []
    decisions: list[Decision] = []
    move_ns = 0
    for step in range(steps):
        road, timeline = known.at(step, partition)
        run.append(RunStep(road, move_ns))
        seen.append(Observation(partition, stage_times_ns(timeline, scenario.layout), timeline.step_ns))
        after, move_ns = balancer.decide(seen, steps - step - 1), 0
        if after != partition:
            decisions.append(balancer.decision(step + 1, seen, after))
            move_ns = balancer.cost.move_ns(partition, after)
            partition = after
    return tuple(run), tuple(decisions)


def move_cost(scenario) -> MoveCost:
    """What a rank holds of each layer between two steps, and what a byte of it costs on the way to another stage."""
    sizes = [0] * scenario.model.trunk.num_layers
    for index, unit in enumerate(blocks.units(scenario.model)):
        if unit.layer < 0:
            continue
        held = memory_rules.dense_bytes(
            local_numel(scenario, index), scenario.precision, scenario.optimizer, scenario.plan.shares,
            frozen=local_numel(scenario, index, frozen=True),
        )  # fmt: skip
        sizes[unit.layer] += held["parameters"] + held["optimizer"]
    layout, prices = scenario.layout, Prices.of(scenario)
    largest, ahead = max(sizes), layout.ranks // layout.pipeline
    spans = {scenario.cluster.span((rank, rank + ahead)): rank for rank in range(layout.ranks - ahead)}
    slowest = max(prices.pricer_of(rank).transfer(largest, span).duration_ns for span, rank in spans.items())
    return MoveCost(tuple(sizes), slowest / largest)


def at_step(scenario, step: int):
    """The scenario with the stragglers of a step of its run."""
    return replace(scenario, straggling=slow_ranks(scenario, step))


class _Known:
    """Roads and timelines of steps, each made once."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.prices = cache(lambda straggling: Prices.of(replace(scenario, straggling=straggling)))
        self._made = cache(self._make)

    def at(self, step: int, partition: Partition) -> tuple[Road, Timeline]:
        straggling = at_step(self.scenario, step).straggling
        return self._made(straggling, partition, step if self.scenario.samples_differ else 0)

    def _make(self, straggling, partition: Partition, step: int) -> tuple[Road, Timeline]:
        dealt = with_partition(replace(self.scenario, straggling=straggling), partition)
        road = Road(dealt, self.prices(straggling), step)
        return road, road.timeline(road.expanded(road.prices))

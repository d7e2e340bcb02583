"""A run under the adaptive stage balancer: step after step, with the stragglers of each, and what the balancer moves.

Every step is lowered, priced and simulated as it would be alone; the balancer sees how long its stages took and may
deal the layers anew. A move stands between two steps: every column of ranks sends its layers at once, over the links
that they share. Steps that nothing tells apart are simulated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from simulator.cluster import Cluster
from simulator.layout import Layout
from simulator.model import blocks, memory_rules
from simulator.network import simulate_flows
from simulator.policies.compression import compressor_of
from simulator.policies.decisions import Decision
from simulator.policies.stage_balancer import Messages, MoveCost, Observation
from simulator.policies.stage_partition import Partition
from simulator.program.parameters import local_numel
from simulator.program.placement import stage_layers
from simulator.road import Prices, Road
from simulator.scenario.faults import slow_ranks
from simulator.stage_balance import balancer_of, holders_of, with_partition
from simulator.stage_times import stage_times_ns
from simulator.timeline import Timeline
from simulator.units import DTYPE_BYTES, ns_to_seconds


@dataclass(frozen=True)
class RunStep:
    """move_ns: what moving layers has taken ahead of it."""

    road: Road
    move_ns: int = 0


@dataclass(frozen=True)
class Move:
    """Layers that change their stage ahead of a step. size_bytes: of all ranks together."""

    step: int
    before: Partition
    after: Partition
    size_bytes: int
    ns: int

    def to_dict(self) -> dict:
        """For JSON, in SI units."""
        return {"step": self.step, "before": list(self.before), "after": list(self.after), "bytes": self.size_bytes,
                "seconds": ns_to_seconds(self.ns)}  # fmt: skip


@dataclass(frozen=True)
class Crowding:
    """How many times longer the messages of a move take, all sent at once, than the longest of them alone: max-min fair
    shares of the cluster's links (`network/flows.py`). columns: the ranks of a stage that send; where a cluster repeats
    itself, those of one stretch of it."""

    cluster: Cluster
    layout: Layout
    columns: Sequence[int]

    def __call__(self, messages: Messages) -> float:
        places: dict[str, int] = {}
        flows, links = [], []
        each = self.layout.ranks // self.layout.pipeline
        for (source, target), size in messages.items():
            for column in self.columns:
                route = self.cluster.route(source * each + column, target * each + column)
                for link in route:
                    if link.name not in places:
                        places[link.name] = len(places)
                        links.append(link)
                flows.append((float(size), 0.0, tuple(places[link.name] for link in route)))
        capacities, latencies = [link.capacity_bytes_per_s for link in links], [link.latency_s for link in links]
        alone = max(
            size / min(capacities[link] for link in path) + sum(latencies[link] for link in path)
            for size, _, path in flows
        )
        return max(1.0, max(simulate_flows(flows, capacities, latencies)) / alone)


def adapted_run(scenario) -> tuple[tuple[RunStep, ...], tuple[Decision, ...], tuple[Move, ...]]:
    """(every step of the run, what was decided, what was moved)."""
    partition, steps = stage_layers(scenario), scenario.steps
    balancer, known = balancer_of(scenario, move_cost(scenario)), _Known(scenario)
    run: list[RunStep] = []
    seen: list[Observation] = []
    decisions: list[Decision] = []
    moves: list[Move] = []
    move_ns, columns = 0, scenario.layout.ranks // scenario.layout.pipeline
    for step in range(steps):
        road, timeline = known.at(step, partition)
        run.append(RunStep(road, move_ns))
        seen.append(Observation(partition, stage_times_ns(timeline, scenario.layout), timeline.step_ns))
        after, move_ns = balancer.decide(seen, steps - step - 1), 0
        if after != partition:
            decisions.append(balancer.decision(step + 1, seen, after))
            move_ns = balancer.cost.move_ns(partition, after)
            size = columns * sum(balancer.cost.messages(partition, after).values())
            moves.append(Move(step + 1, partition, after, size, move_ns))
            partition = after
    return tuple(run), tuple(decisions), tuple(moves)


def move_cost(scenario) -> MoveCost:
    """What a rank holds of each layer between two steps, and what a byte of it costs on the way to another stage.

    Under ZeRO replicas first gather the optimizer states that they share: other layers make other buckets, of which
    each owns another part. A compressor's residual moves with its parameters.
    """
    plan, layout, prices = scenario.plan, scenario.layout, Prices.of(scenario)
    method = plan.compression.method
    kept = compressor_of(plan, method).remembered(1) if method not in ("none", "adaptive") else 0
    sizes = [0] * scenario.model.trunk.num_layers
    shared = 0
    for index, unit in enumerate(blocks.units(scenario.model)):
        if unit.layer < 0:
            continue
        numel = local_numel(scenario, index)
        held = memory_rules.dense_bytes(
            numel, scenario.precision, scenario.optimizer, frozen=local_numel(scenario, index, frozen=True)
        )  # fmt: skip
        sizes[unit.layer] += held["parameters"] + held["optimizer"]
        sizes[unit.layer] += kept * numel * DTYPE_BYTES[scenario.precision.reduce]
        shared += held["optimizer"]
    gather_ns = 0
    if plan.shards > 1:
        group = scenario.cluster.span(layout.group("shard" if layout.shard else "data", 0))
        gather_ns = prices.pricer_of(0).collective("all_gather", shared // layout.pipeline, group).duration_ns
    largest, ahead = max(sizes), layout.ranks // layout.pipeline
    spans = {scenario.cluster.span((rank, rank + ahead)): rank for rank in range(layout.ranks - ahead)}
    slowest = max(prices.pricer_of(rank).transfer(largest, span).duration_ns for span, rank in spans.items())
    period = scenario.cluster.symmetry_period
    columns = range(min(ahead, period) if ahead % period == 0 else ahead)
    return MoveCost(
        tuple(sizes), slowest / largest, holders_of(plan), Crowding(scenario.cluster, layout, columns), gather_ns
    )  # fmt: skip


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

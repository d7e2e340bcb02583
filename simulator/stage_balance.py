"""Stages that fit: the balancer's partition of layers, held against what each stage's ranks can store.

Which partition is fastest is the policy's (`policies/stage_partition.py`); here it is lowered and its memory measured,
and what does not fit is taken from it until all of it does. Prices are not asked, so that simulator and executor deal
layers alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from simulator.errors import ScenarioError
from simulator.memory import measure_memory
from simulator.policies.decisions import Decision, in_force
from simulator.policies.stage_balancer import ADAPTIVE, MoveCost, StageBalancer
from simulator.policies.stage_partition import Partition, StageWork, by_rank, filling, predicted_gain
from simulator.program.cuts import cut_of
from simulator.program.lowering import lower
from simulator.program.placement import holder, num_stages, stage_paces, work_of

STATIC = "static"


def settle_stages(
    scenario, decisions: Sequence[Decision], *, slowest: bool = True
) -> tuple[object, tuple[Decision, ...]]:
    """(the scenario with its static balancer's partition as `plan.partition`, what was decided). A partition that is
    stated stays as it is. decisions: to be replayed. slowest: stages are as slow as their slowest rank; else as their
    fastest replica."""
    plan = scenario.plan
    if plan.balancer.kind != STATIC or isinstance(plan.partition, tuple) or not scenario.model.trunk.num_layers:
        return scenario, ()
    replayed = in_force(decisions, STATIC, 0)
    if replayed is not None:
        return with_partition(scenario, checked(scenario, replayed.after)), (replayed,)
    work, paces = stage_work(scenario), stage_paces(scenario, slowest=slowest)
    after = partition_that_fits(scenario, work, paces)
    before = work.best((1,) * len(paces))
    times = [by_rank(work.times(one, paces), holders_of(plan)) for one in (before, after)]
    gain = predicted_gain(*times, plan.microbatches, filling(plan.schedule, plan.virtual_stages))
    return with_partition(scenario, after), (Decision(0, STATIC, before, after, gain),)


def adapts(scenario) -> bool:
    """Whether layers may move while it runs."""
    return scenario.plan.balancer.kind == ADAPTIVE and scenario.layout.pipeline > 1


def balancer_of(scenario, cost: MoveCost) -> StageBalancer:
    """The scenario's adaptive balancer. cost: of moving layers (`adaptation.move_cost`)."""
    plan, work = scenario.plan, stage_work(scenario)
    return StageBalancer(
        work, plan.microbatches, plan.balancer.window, plan.balancer.threshold, cost, what_fits(scenario, work),
        holders_of(plan), filling(plan.schedule, plan.virtual_stages),
    )  # fmt: skip


def stage_work(scenario) -> StageWork:
    """What its stages have to do, in FLOPs of one microbatch."""
    layers, _, first, last = work_of(scenario)
    return StageWork(tuple(layers), first, last)


def holders_of(plan) -> tuple[int, ...]:
    """The pipeline rank of each global stage."""
    return tuple(holder(plan, stage) for stage in range(num_stages(plan)))


def with_partition(scenario, layers: Partition):
    """The scenario with so many layers on each stage."""
    plan = scenario.plan.model_copy(update={"partition": layers})
    return replace(scenario, stated=scenario.stated.model_copy(update={"plan": plan}))


def checked(scenario, layers: object) -> Partition:
    """A partition that was replayed. Raises ScenarioError where it is none of this scenario's."""
    stages, total = num_stages(scenario.plan), scenario.model.trunk.num_layers
    whole = isinstance(layers, tuple) and all(type(count) is int and count >= 0 for count in layers)
    if not whole or len(layers) != stages or sum(layers) != total or 0 in layers[1:-1]:
        raise ScenarioError(
            f"{layers!r} does not deal {total} layers to {stages} stages; replay what was decided for this scenario",
            key="--decisions",
        )
    return layers


def partition_that_fits(scenario, work: StageWork, paces: Sequence[int]) -> Partition:
    """The fastest partition of which every stage fits in memory; the fastest of all where none does."""
    return what_fits(scenario, work)(paces) or work.best(paces)


def what_fits(scenario, work: StageWork) -> Callable[[Sequence[int]], Partition | None]:
    """Of stages of these paces the fastest partition of which every stage fits in memory; None where none does.

    A stage that is over its limit may not hold those layers again, nor more; where layers are alike, not as many.
    """
    alike = len(set(work.layers)) == 1
    full: list[tuple[int, int, int]] = []

    def fits(stage: int, begin: int, end: int) -> bool:
        return not any(
            stage == other and (end - begin >= last - first if alike else begin <= first and last <= end)
            for other, first, last in full
        )  # fmt: skip

    def best(paces: Sequence[int]) -> Partition | None:
        while True:
            try:
                found = work.best(paces, fits)
            except ValueError:
                return None
            over = [stage for stage in stages_over(scenario, found) if found[stage]]
            if not over:
                return found
            ends = list(accumulate(found))
            full.extend((stage, ends[stage] - found[stage], ends[stage]) for stage in over)

    return best


def stages_over(scenario, layers: Partition) -> tuple[int, ...]:
    """The stages of a partition that some rank cannot hold; of several chunks the one of most layers, the first on
    ties. Software is today's, whatever a profile says."""
    dealt = with_partition(scenario, layers)
    memory = measure_memory(lower(dealt), dealt, cut_of(dealt, scenario.software.attention))
    ranks = {own.rank for own in memory.per_rank if own.peak > own.limit}
    full = {scenario.layout.coordinates(rank)[0] for rank in ranks}
    chunks = [[stage for stage in range(len(layers)) if holder(scenario.plan, stage) == own] for own in full]
    return tuple(sorted(max(own, key=lambda stage: (layers[stage], -stage)) for own in chunks))

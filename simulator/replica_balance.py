"""Replicas of unequal speed: how many microbatches each of them runs, and the layers of stages that go with it.

How long a replica takes is read off one priced step in which all run equally many; the policy deals the microbatches
out (`policies/replica_counts.py`), memory says how many a replica can hold, and the step that comes of it is simulated:
it is taken where it is shorter. Counts are part of the scenario from then on, so that the executor needs no prices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from simulator.memory import measure_memory
from simulator.model.blocks import Cut
from simulator.policies.decisions import Decision, in_force
from simulator.policies.replica_counts import REPLICAS, Counts, deal_microbatches, in_lockstep
from simulator.program.lowering import lower
from simulator.road import Prices, Road
from simulator.scenario.divisions import check_counts
from simulator.stage_balance import STATIC, settle_stages
from simulator.stage_times import replica_times_ns
from simulator.timeline import Timeline


def settle_work(scenario, decisions: Sequence[Decision]) -> tuple[object, tuple[Decision, ...]]:
    """(the scenario with its static balancer's `plan.partition` and `plan.balancer.microbatches`, what was decided).
    Where both are open, stages are dealt out by their slowest rank, whose replica may then run less, and by their
    fastest, and the shorter step is taken. decisions: to be replayed."""
    slowest = settle_stages(scenario, decisions)
    if not balances_replicas(scenario):
        return slowest
    prices = cache(lambda: Prices.of(scenario))
    timeline = cache(lambda dealt: _timeline(dealt, prices()))
    found = [_with_replicas(*slowest, decisions, prices, timeline)]
    if slowest[1] and in_force(decisions, STATIC, 0) is None and replicas_differ(scenario):
        fastest = settle_stages(scenario, decisions, slowest=False)
        if fastest[0].plan.partition != slowest[0].plan.partition:
            found.append(_with_replicas(*fastest, decisions, prices, timeline))
    if len(found) == 1:
        return found[0]
    steps = [timeline(settled).step_ns for settled, _ in found]
    return found[steps.index(min(steps))]


def balances_replicas(scenario) -> bool:
    """Whether replicas may be given unequal microbatches."""
    plan = scenario.plan
    open_counts = plan.balancer.kind == STATIC and plan.balancer.microbatches == "balanced"
    return open_counts and min(plan.data, plan.microbatches) > 1 and not in_lockstep(scenario.model, plan)


def replicas_differ(scenario) -> bool:
    """Whether devices, stragglers or links may make one replica slower than another."""
    layout, cluster = scenario.layout, scenario.cluster
    if cluster.is_uniform and not scenario.pace:
        return False
    if cluster.links or not (cluster.is_mixed or scenario.pace):  # stated links: a priced step tells
        return True

    def standing(data_rank: int) -> tuple:
        stages = [layout.of_replicas(pipeline_rank, [data_rank]) for pipeline_rank in range(layout.pipeline)]
        return tuple((cluster.device_of(rank), scenario.pace.get(rank, 1.0)) for ranks in stages for rank in ranks)

    return len({standing(data_rank) for data_rank in range(layout.data)}) > 1


def with_counts(scenario, counts: Counts):
    """The scenario with so many microbatches on each replica."""
    balancer = scenario.plan.balancer.model_copy(update={"microbatches": counts})
    plan = scenario.plan.model_copy(update={"balancer": balancer})
    return replace(scenario, stated=scenario.stated.model_copy(update={"plan": plan}))


@dataclass(frozen=True, slots=True)
class Replica:
    """How long a replica takes for so many microbatches: exact for GPipe and 1F1B where messages cost nothing
    (`policies/stage_partition.py`). fill_ns: what its pipeline takes to fill and to drain. each_ns: its slowest stage's
    microbatch."""

    fill_ns: float
    each_ns: float

    def __call__(self, count: int) -> float:
        return self.fill_ns + count * self.each_ns

    @classmethod
    def of(cls, stages_ns: Sequence[int], microbatches: int, chunks: int) -> Replica:
        """stages_ns: what each pipeline rank took for its microbatches. chunks: on each of them; v chunks fill a
        pipeline v times as fast (Narayanan et al. 2021, arXiv 2104.04473)."""
        each = [ns / microbatches for ns in stages_ns]
        return cls((sum(each) - max(each)) / chunks, max(each))


def _with_replicas(
    scenario, decided: tuple[Decision, ...], decisions: Sequence[Decision], prices: Callable[[], Prices],
    timeline: Callable[[object], Timeline],
) -> tuple[object, tuple[Decision, ...]]:  # fmt: skip
    """The scenario, its partition settled, with its replicas' counts. timeline: of a settled scenario."""
    plan = scenario.plan
    replayed = in_force(decisions, REPLICAS, 0)
    if replayed is not None:
        check_counts(replayed.after, plan, key="--decisions")
        return with_counts(scenario, replayed.after), (*decided, replayed)
    if not replicas_differ(scenario):
        return scenario, decided
    even, before = timeline(scenario), (plan.microbatches,) * plan.data
    times = [
        Replica.of(stages, plan.microbatches, plan.virtual_stages)
        for stages in replica_times_ns(even, scenario.layout)
    ]  # fmt: skip
    after = counts_that_fit(scenario, times, prices().cut)
    dealt = with_counts(scenario, after)
    step_ns = even.step_ns if after == before else timeline(dealt).step_ns
    if step_ns >= even.step_ns:
        return scenario, decided
    return dealt, (*decided, Decision(0, REPLICAS, before, after, even.step_ns / step_ns - 1))


def counts_that_fit(scenario, times: Sequence[Callable[[int], float]], cut: Cut) -> Counts:
    """The fastest counts of which every replica can hold what it keeps for backward; the fastest of all where none
    fit. cut: what one rank works on in one microbatch."""
    plan = scenario.plan
    total = plan.microbatches * plan.data
    most = [total] * plan.data
    free = found = deal_microbatches(times, total, most)
    while found is not None:
        full = [replica for replica in replicas_over(scenario, found, cut) if most[replica] > 1]
        if not full:
            return found
        for replica in full:
            most[replica] = _most_that_fit(scenario, replica, found[replica], cut)
        found = deal_microbatches(times, total, most)
    return free


def _most_that_fit(scenario, replica: int, too_many: int, cut: Cut) -> int:
    """Microbatches that a replica can hold, less than `too_many`; 1 where it cannot hold any."""
    low, high = 1, too_many  # what is kept never shrinks with more of them
    while high - low > 1:
        middle = (low + high) // 2
        fits = replica not in replicas_over(scenario, (middle,) * scenario.plan.data, cut)
        low, high = (middle, high) if fits else (low, middle)
    return low


def replicas_over(scenario, counts: Counts, cut: Cut) -> tuple[int, ...]:
    """The replicas some rank of which cannot hold these counts."""
    plan = scenario.plan
    several = plan.model_copy(update={"global_batch": plan.microbatch * sum(counts)})
    dealt = with_counts(replace(scenario, stated=scenario.stated.model_copy(update={"plan": several})), counts)
    program = lower(dealt)
    memory = measure_memory(program, dealt, cut)
    layout, cluster, found = scenario.layout, scenario.cluster, set()
    for own in program.ranks:
        full = [one.rank for one in memory.per_rank if one.rank in own.members and one.peak > one.limit]
        devices = {cluster.device_of(rank) for rank in full}
        found |= {layout.coordinates(rank)[1] for rank in own.members if devices and cluster.device_of(rank) in devices}
    return tuple(sorted(found))


def _timeline(scenario, prices: Prices) -> Timeline:
    road = Road(scenario, prices)
    return road.timeline(road.expanded(prices))

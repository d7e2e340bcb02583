"""Road: from a scenario to its program, its prices, its priced graphs and their timelines, each made once.

Scenario -> Program -> EventGraph -> Timeline; `simulation.py` reads its answers off the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from simulator import registry
from simulator.costs.pricer import Pricer
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import EventGraph
from simulator.graph.expand import Expanded, expand
from simulator.graph.steps import StepSource
from simulator.memory import Memory, measure_memory
from simulator.metrics import breakdown_ns
from simulator.model.blocks import Cut
from simulator.model.lookups import shares_bags
from simulator.model.stacks import newest, software_stack
from simulator.policies.compression import collectives_of
from simulator.program.cuts import cut_of
from simulator.program.fold import Folding, fold
from simulator.program.lowering import lower
from simulator.program.standing import patterns_of
from simulator.timeline import Timeline


@dataclass(frozen=True)
class Prices:
    """What a scenario's kernels and messages cost.

    pricers: one for each device of the cluster, in rank order. pricer_of: that of a rank's device, at its pace. cut:
    what one rank works on, as the newest software generation of the devices' profiles has it.
    """

    pricers: tuple[Pricer, ...]
    pricer_of: Callable[[int], Pricer]
    cut: Cut

    @classmethod
    def of(cls, scenario) -> Prices:
        cluster, pace = scenario.cluster, scenario.pace
        nodes = {node.device: node for node, _ in reversed(cluster.groups)}
        profiles = {device: registry.load_profile_for(scenario, device) for device in reversed(nodes)}
        defaults = ({} if profile is None else profile.defaults for profile in profiles.values())
        stack = software_stack(scenario.software, newest(defaults))
        pricers = {
            device: Pricer(profile and profile.variant(stack.variant, device.name), cluster, nodes[device])
            for device, profile in profiles.items()
        }
        slowed = cache(lambda device, factor: pricers[device].slowed(factor))

        def pricer_of(rank: int) -> Pricer:
            device = cluster.device_of(rank)
            return slowed(device, pace[rank]) if rank in pace else pricers[device]

        return cls(tuple(pricers.values()), pricer_of, cut_of(scenario, stack=stack))

    def sampled(self, seed: int, sample: int) -> Prices:
        """The same in another possible world (`Pricer.sampled`)."""
        drawn = cache(lambda pricer: pricer.sampled(seed, sample))
        return Prices(tuple(map(drawn, self.pricers)), lambda rank: drawn(self.pricer_of(rank)), self.cut)

    def recoded(self, factor: float) -> Prices:
        """The same with compressors' kernels `factor` times as long (`Pricer.recoded`)."""
        coded = cache(lambda pricer: pricer.recoded(factor))
        return Prices(tuple(map(coded, self.pricers)), lambda rank: coded(self.pricer_of(rank)), self.cut)

    def digest(self) -> str:
        """Of the profiles that prices come from."""
        digests = [pricer.digest() for pricer in self.pricers]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What they rest on, one sentence each."""
        return tuple(dict.fromkeys(warning for pricer in self.pricers for warning in pricer.warnings))

    @property
    def unmeasured(self) -> tuple[dict[str, object], ...]:
        """What they had no measurement near for (`Pricer.unmeasured`)."""
        return tuple(row for pricer in self.pricers for row in pricer.unmeasured)


class Road:
    """Of one step of a scenario. shared: whether its messages share links (`network: isolated`: they do not).

    prices: of another step, or of a scenario that differs in its compression only; default: found here.
    """

    def __init__(self, scenario, prices: Prices | None = None, step: int = 0):
        self.scenario = scenario
        self.shared = scenario.network != "isolated"
        self.program = lower(scenario, step)
        self.prices = Prices.of(scenario) if prices is None else prices
        self.steps = StepSource(scenario, self.prices.cut)
        self._folding = cache(self._fold)

    def expanded(self, prices: Prices, *, whole: bool = False, contracted: bool = True) -> Expanded:
        """The priced graph. whole: nothing is folded. contracted False: every op is there."""
        return expand(
            self._folding(whole), self.steps, prices.pricer_of, self.scenario, run_alone,
            shared=self.shared, contracted=contracted,
        )  # fmt: skip

    def timeline(self, expanded: Expanded) -> Timeline:
        """When everything happens."""
        graph = expanded.graph
        return Timeline.of(
            graph, run(graph), members=expanded.members, program_digest=self._digest, actions=expanded.actions
        )

    def _fold(self, whole: bool) -> Folding:
        direct = "all_to_all" in collectives_of(self.scenario.plan)
        return fold(
            self.program, self.scenario.cluster, self.scenario.pace, links=self.shared, whole=whole,
            patterns=patterns_of(self.scenario.plan, direct_reduction=direct, shares_bags=shares_bags(self.scenario)),
        )  # fmt: skip

    @cached_property
    def memory(self) -> Memory:
        """What each rank holds at its peak."""
        return measure_memory(self.program, self.scenario, self.prices.cut)

    @cached_property
    def _digest(self) -> str:
        return self.program.digest()


def memory_of(scenario) -> Memory:
    """Peak memory of every rank, without pricing or running anything."""
    return Road(scenario).memory


def run_alone(graph: EventGraph) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Makespan of a small graph and how many ns of it each kind takes: how blocks are contracted."""
    timeline = Timeline.of(graph, run(graph))
    return timeline.step_ns, tuple((label, ns) for label, ns in breakdown_ns(timeline).items() if ns)

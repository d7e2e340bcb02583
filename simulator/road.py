"""Road: from a scenario to its program, its prices, its priced graphs and their timelines, each made once.

Scenario -> Program -> EventGraph -> Timeline; `simulation.py` reads its answers off the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from simulator import registry
from simulator.costs.pricer import Pricer
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import EventGraph
from simulator.graph.expand import Expanded, expand
from simulator.graph.steps import StepSource
from simulator.metrics import breakdown_ns
from simulator.model.blocks import Cut
from simulator.model.stacks import software_stack
from simulator.program.fold import Folding, fold
from simulator.program.lowering import cut_of, lower
from simulator.program.standing import DIRECT_REDUCTION, PATTERNS
from simulator.timeline import Timeline


@dataclass(frozen=True)
class Prices:
    """What a scenario's kernels and messages cost.

    pricer_of: the prices of a rank's device at its pace. pricer: of the first device. cut: what one rank works on, as
    its software generation has it.
    """

    pricer: Pricer
    pricer_of: Callable[[int], Pricer]
    cut: Cut

    @classmethod
    def of(cls, scenario) -> Prices:
        pricer = Pricer(registry.load_profile_for(scenario), scenario.cluster)
        stack = software_stack(scenario.software, pricer.profile.defaults)
        pace = scenario.pace
        slowed = cache(pricer.slowed)
        return cls(pricer, lambda rank: slowed(pace[rank]) if rank in pace else pricer, cut_of(scenario, stack=stack))

    def sampled(self, seed: int, sample: int) -> Prices:
        """The same in another possible world (`Pricer.sampled`)."""
        drawn = cache(lambda pricer: pricer.sampled(seed, sample))
        return Prices(drawn(self.pricer), lambda rank: drawn(self.pricer_of(rank)), self.cut)

    def digest(self) -> str:
        """Of the profiles that prices come from."""
        return self.pricer.digest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What they rest on, one sentence each."""
        return self.pricer.warnings


class Road:
    """Of one scenario. shared: whether its messages share links (`network: isolated`: they do not)."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.shared = scenario.network != "isolated"
        self.program = lower(scenario)
        self.prices = Prices.of(scenario)
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
        direct = "all_to_all" in self.steps.compressor.collectives
        return fold(
            self.program, self.scenario.cluster, self.scenario.pace, links=self.shared, whole=whole,
            patterns=DIRECT_REDUCTION if direct else PATTERNS,
        )  # fmt: skip

    @cached_property
    def _digest(self) -> str:
        return self.program.digest()


def run_alone(graph: EventGraph) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Makespan of a small graph and how many ns of it each kind takes: how blocks are contracted."""
    timeline = Timeline.of(graph, run(graph))
    return timeline.step_ns, tuple((label, ns) for label, ns in breakdown_ns(timeline).items() if ns)

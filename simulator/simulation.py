"""simulate: the whole road, from a Scenario to an answer.

Scenario -> Program -> EventGraph -> Timeline -> metrics, and nothing that is decided anywhere else.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from simulator.adaptation import Move, RunStep, adapted_run
from simulator.codec_costs import CodecRange, codec_range
from simulator.embedding_plan import embedding_plan
from simulator.errors import NotSupportedYet, ScenarioError, in_63_bits
from simulator.flops import FlopsPerStep, flops_per_step
from simulator.graph.event_graph import EventGraph
from simulator.graph.expand import Expanded, LinkUse
from simulator.many_steps import StepAnswer, lower_median, mean_breakdown, mean_ns, mean_utilization
from simulator.memory import Memory, allocator_reserve, context_reserve, moments
from simulator.memory.curve import MemoryCurve, memory_curve
from simulator.memory.feasibility import shortage
from simulator.metrics import Utilization
from simulator.model.blocks import Cut
from simulator.policies.decisions import Decision
from simulator.program.jagged import decisions_of
from simulator.program.program import Program, RankProgram
from simulator.road import Prices, Road
from simulator.sampled_run import SampledRun
from simulator.settle import settle
from simulator.stage_balance import adapts
from simulator.timeline import Timeline
from simulator.units import ns_to_seconds
from simulator.version import __version__

ENGINES = ("simpy", "auto")
NOT_BUILT = ("compiled", "both")

BUSIEST = 8
"""Links that `to_dict` names."""


@dataclass(frozen=True)
class Result:
    """One predicted step; where samples differ in length or layers move between stages, the mean of the run's `steps`.

    samples_ns: makespans of the samples, in order of their index (one entry without sampling). steps_ns: of the steps
    in the lower-median sample, which breakdown and utilization are the mean of; timeline, graph and links are those of
    its lower-median step, as is program. tokens: real positions in a step's samples. program_digest: of the first step.
    memory: of the fullest one, whose program and timeline are `fullest`. reason: why it does not fit in memory,
    None where it does. warnings: sentences about what the costs rest on. decisions: what the scenario's policies
    decided. moves: of layers to other stages. codec_range: the step if compression's own kernels cost half or
    double, where nobody has measured them. unmeasured: kernels and messages that the profiles hold nothing near
    (`Pricer.unmeasured`).
    """

    scenario: object
    run_id: str
    program: Program
    program_digest: str
    expanded: Expanded
    timeline: Timeline
    memory: Memory
    fullest: tuple[Program, Timeline]
    flops: FlopsPerStep
    engine: str
    samples_ns: tuple[int, ...]
    steps_ns: tuple[int, ...]
    tokens: float
    wall_s: float
    reason: str | None
    warnings: tuple[str, ...]
    breakdown: dict[str, int]
    utilization: Utilization
    cut: Cut
    decisions: tuple[Decision, ...] = ()
    moves: tuple[Move, ...] = ()
    codec_range: CodecRange | None = None
    unmeasured: tuple[dict[str, object], ...] = ()

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def graph(self) -> EventGraph:
        return self.expanded.graph

    @property
    def provenance(self) -> dict[str, float]:
        return self.expanded.provenance

    @property
    def busiest_links(self) -> tuple[LinkUse, ...]:
        """One link of each class of alike ones that carries anything, the busiest first."""
        step_ns = self.timeline.step_ns
        used = [use for use in self.expanded.link_use if use.size_bytes]
        return tuple(sorted(used, key=lambda use: (-use.share(step_ns), use.link)))

    @cached_property
    def embedding_plan(self) -> dict | None:
        """Where the sparse tables are and what they cost (`embedding_plan.py`); None where there are none."""
        prices = Prices.of(self.scenario)
        return embedding_plan(self.scenario, self.program, prices.pricer_of(0), prices.cut)

    @property
    def feasible(self) -> bool:
        return self.reason is None

    @property
    def step_time_s(self) -> float:
        return ns_to_seconds(mean_ns(self.steps_ns))

    def percentile_s(self, percent: int) -> float:
        """Nearest-rank percentile of the samples."""
        ordered = sorted(self.samples_ns)
        return ns_to_seconds(ordered[max(0, -(-percent * len(ordered) // 100) - 1)])

    def memory_curve(self, rank: int) -> MemoryCurve:
        """What a rank holds over the step that is shown, by kind; of many, another may be fuller (`fullest_curve`)."""
        own = _program_of(rank, self.program)
        return memory_curve(rank, moments(own, self.scenario, self.cut), self.timeline)

    @cached_property
    def fullest_curve(self) -> MemoryCurve:
        """What the fullest rank of `memory` holds over the step in which it is that full."""
        program, timeline = self.fullest
        rank = self.memory.tightest.rank
        return memory_curve(rank, moments(_program_of(rank, program), self.scenario, self.cut), timeline)

    def memory_reserve(self, rank: int) -> dict[str, int]:
        """Bytes beside a rank's tensors: `context`, which the limit leaves out, and `allocator`, which it does not."""
        own = _program_of(rank, self.fullest[0])
        context = context_reserve(self.scenario.cluster.device_of(rank))
        return {"context": context, "allocator": allocator_reserve(own, self.scenario, self.cut)}

    def to_dict(self) -> dict:
        """What `simulate --json` prints (CONTRACT section 5): SI units, every number finite or null."""
        scenario, step_s = self.scenario, self.step_time_s
        samples_per_s = scenario.plan.global_batch / step_s if step_s else None
        return {
            "name": self.name,
            "run_id": self.run_id,
            "program_digest": self.program_digest,
            "timeline_digest": self.timeline.digest(),
            "engine": self.engine,
            "seed": scenario.seed,
            "feasible": self.feasible,
            "reason": self.reason,
            "step_time_s": step_s,
            "step_time_s_p5": self.percentile_s(5),
            "step_time_s_p95": self.percentile_s(95),
            "samples_per_s": samples_per_s,
            "tokens_per_s": self.tokens / step_s if step_s else None,
            **self.flops.rates(step_s),
            "utilization": {"busy": self.utilization.busy, "compute": self.utilization.compute},
            "breakdown_s": {label: ns_to_seconds(ns) for label, ns in self.breakdown.items()},
            "memory_bytes": self.memory.to_dict(),
            "memory_over_time": self.fullest_curve.to_dict(),
            "memory_reserve_bytes": self.memory_reserve(self.memory.tightest.rank),
            "cost_usd_per_million_samples": None,
            "ops": len(self.graph),
            "ranks": scenario.layout.ranks,
            "ranks_simulated": len(self.graph.ranks),
            "wall_s": self.wall_s,
            "provenance": self.provenance,
            "embedding_plan": self.embedding_plan,
            "busiest_links": [
                {"link": use.link, "bytes": use.size_bytes, "utilization": use.share(self.timeline.step_ns)}
                for use in self.busiest_links[:BUSIEST]
            ],
            "placement": list(scenario.plan.order or ()) or None,
            "replica_microbatches": list(scenario.plan.counts) or None,
            "moves": [move.to_dict() for move in self.moves],
            "steps": len(self.steps_ns),
            "step_times_s": [ns_to_seconds(ns) for ns in self.steps_ns],
            "compression_cost": self.codec_range.to_dict() if self.codec_range else None,
            "warnings": list(self.warnings),
        }


@in_63_bits()
def simulate(
    scenario, *, engine: str = "auto", samples: int = 0, watch: Callable[[Timeline], None] | None = None
) -> Result:
    """Predicts one steady training step of a scenario; where samples differ in length or layers move, the mean of its
    `steps`.

    samples 0: every op at its profile's median. K > 0: K draws of the profile's errors; the answer is the lower-median
    sample's. Where the profile knows how repeats scatter, every real rank and every op has its own draw of that, so
    nothing is folded or contracted. watch: is shown each sample's timelines, step by step.
    Raises ScenarioError for an engine or a number of samples that cannot be used.
    """
    check_engine(engine)
    if samples < 0:
        raise ScenarioError(f"{samples} is not a number of samples; give 0 or more", key="--samples")
    started = time.perf_counter()
    stated, (scenario, decisions) = scenario, settle(scenario)
    prices = Prices.of(scenario)
    moves: tuple[Move, ...] = ()
    if adapts(scenario):
        steps, decided, moves = adapted_run(scenario)
        decisions = (*decisions, *decided)
    else:
        steps = [RunStep(Road(scenario, prices, step)) for step in range(scenario.num_draws)]
    run = SampledRun(scenario, steps)
    makespans = []
    for sample in range(samples):
        timelines = run.timelines(sample)
        makespans.append(run.mean_step_ns(timelines))
        for timeline in timelines if watch is not None else ():
            watch(timeline)
    chosen = lower_median(makespans) if samples else None
    timelines = run.timelines(chosen)
    answers = [StepAnswer.of(own, step.move_ns) for own, step in zip(timelines, steps, strict=True)]
    steps_ns = tuple(answer.step_ns for answer in answers)
    roads = [step.road for step in steps]
    shown = roads[lower_median(steps_ns)]
    graph = run.expanded(shown, chosen)
    fullest = max(dict.fromkeys(roads), key=lambda road: road.memory.tightest.peak)
    codecs = codec_range(roads[0])
    return Result(
        scenario=scenario,
        run_id=run_id(stated, prices.digest()),
        program=shown.program,
        program_digest=roads[0].program.digest(),
        expanded=graph,
        timeline=shown.timeline(graph),
        memory=fullest.memory,
        fullest=(fullest.program, timelines[roads.index(fullest)]),
        flops=flops_per_step(scenario),
        engine="simpy",
        samples_ns=tuple(makespans) if samples else (mean_ns(steps_ns),),
        steps_ns=steps_ns,
        tokens=sum(sum(scenario.lengths(step)) for step in range(len(roads))) / len(roads),
        reason=shortage(scenario, fullest.memory, prices.cut),
        warnings=(*([codecs.sentence(scenario.name)] if codecs else []), *prices.warnings),
        breakdown=mean_breakdown([step.breakdown for step in answers]),
        utilization=mean_utilization([step.utilization for step in answers]),
        cut=prices.cut,
        decisions=(*decisions, *decisions_of(scenario)),
        moves=moves,
        codec_range=codecs,
        unmeasured=prices.unmeasured,
        wall_s=time.perf_counter() - started,  # last: metrics and the search for a remedy are part of it
    )


def check_engine(engine: str) -> None:
    """Raises ScenarioError for an engine that does not exist, NotSupportedYet for one that is not built."""
    if engine in NOT_BUILT:
        raise NotSupportedYet(f"engine {engine} is not supported yet; use {' or '.join(ENGINES)}", key="--engine")
    if engine not in ENGINES:
        raise ScenarioError(f"{engine!r} is not an engine; use {' or '.join(ENGINES)}", key="--engine")


def _program_of(rank: int, program: Program) -> RankProgram:
    return next(own for own in program.ranks if rank in own.members)


def run_id(scenario, profile_digest: str) -> str:
    """First 16 hex digits of sha256 over (canonical scenario, profile digest, version), and the lengths that a file or
    data set holds."""
    observed = [",".join(map(str, scenario.observed_lengths))] if scenario.observed_lengths else []
    text = "\n".join((scenario.canonical_json(), profile_digest, __version__, *observed))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""execute: a scenario's program, run for real, and what was measured.

    from simulator import load_scenario, execute
    execution = execute(load_scenario("scenario.yaml"))
    print(execution.step_time_s, execution.losses)

Dropout is 0, learning rates are the executor's own (`optimizers.py`), gradients are not clipped: none of it changes
what is sent. Under torchrun each rank calls `execute` itself; else a process is started for each rank.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from simulator.adaptation import move_cost
from simulator.errors import ScenarioError
from simulator.executor.batches import Source, synthetic
from simulator.executor.emulated import label
from simulator.executor.executable import check_executable, check_memory
from simulator.executor.job import Job, RankRecord
from simulator.executor.launcher import launch
from simulator.executor.measured import action_graph, measured_timeline
from simulator.graph.event_graph import EventGraph
from simulator.metrics import breakdown_ns, utilization
from simulator.model.tables import parts
from simulator.policies.balancer import POLICY
from simulator.policies.decisions import Decision, check_policies, in_force, policies_at_work
from simulator.policies.stage_balancer import ADAPTIVE
from simulator.policies.stage_partition import Partition
from simulator.program.lowering import lower
from simulator.program.program import Program
from simulator.settle import settle
from simulator.stage_balance import adapts, checked, with_partition
from simulator.timeline import Timeline
from simulator.units import ns_to_seconds

STEPS, WARMUP = 10, 3
TIMEOUT_S = 600.0


@dataclass(frozen=True, eq=False)
class Execution:
    """A measured run. records: what each rank wrote down, by rank; every measured step is kept.

    samples_ns: makespans of the measured steps, in order: from the first rank's begin, behind a barrier, to the last
    rank's last end. losses: the mean loss of every step, warm-up included.
    """

    scenario: Any
    program: Program
    backend: str
    warmup: int
    records: tuple[RankRecord, ...] = field(repr=False)

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def ranks(self) -> int:
        return len(self.records)

    @cached_property
    def graph(self) -> EventGraph:
        """The program's actions as an unpriced graph (see `measured.action_graph`)."""
        return action_graph(self.program)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the adaptive stage balancer decided."""
        return tuple(self.records[0].decisions)

    @cached_property
    def moves_ns(self) -> dict[int, int]:
        """{measured step: what moving layers took ahead of it}; no part of any step."""
        moves = [record.moves_ns for record in self.records]
        return {
            step: max(ns for _, ns in told) for (step, _), told in zip(moves[0], zip(*moves, strict=True), strict=True)
        }

    def program_of(self, step: int) -> Program:
        """What a measured step ran: layers may have moved ahead of it."""
        decided = in_force(self.decisions, ADAPTIVE, step)
        return self.program if decided is None else self._program_with(decided.after)

    @cached_property
    def _program_with(self) -> Callable[[Partition], Program]:
        return cache(lambda partition: lower(with_partition(self.scenario, partition)))

    @cached_property
    def samples_ns(self) -> tuple[int, ...]:
        return tuple(
            max(span.end_ns for record in self.records for span in record.spans[step])
            - min(record.begin_ns[step] for record in self.records)
            for step in range(len(self.records[0].spans))
        )

    @cached_property
    def losses(self) -> tuple[float, ...]:
        return tuple(np.sum([record.losses for record in self.records], axis=0).tolist())

    @property
    def median_step(self) -> int:
        """The measured step of lower-median makespan (by makespan, then index)."""
        order = sorted(range(len(self.samples_ns)), key=lambda step: (self.samples_ns[step], step))
        return order[(len(order) - 1) // 2]

    @cached_property
    def timeline(self) -> Timeline:
        """The median step's, with source "measured" and the program's digest."""
        return self.timeline_of(self.median_step)

    def timeline_of(self, step: int) -> Timeline:
        """Any measured step's."""
        begins = [record.begin_ns[step] for record in self.records]
        program = self.program_of(step)
        graph = self.graph if program is self.program else action_graph(program)
        return measured_timeline(program, graph, begins, [record.spans[step] for record in self.records])

    @property
    def step_time_s(self) -> float:
        """The median step's; where they have samples of their own or layers move, the mean of all and of what moving
        took, as in a simulation."""
        if self.scenario.num_draws > 1:
            return ns_to_seconds((sum(self.samples_ns) + sum(self.moves_ns.values())) // len(self.samples_ns))
        return ns_to_seconds(self.timeline.step_ns)

    @cached_property
    def tokens(self) -> float:
        """Real positions in a measured step's samples, on average."""
        steps = range(self.warmup, self.warmup + len(self.samples_ns))
        return sum(sum(self.scenario.lengths(step)) for step in steps) / len(steps)

    def percentile_s(self, percent: int) -> float:
        """Nearest-rank percentile of the measured steps."""
        ordered = sorted(self.samples_ns)
        return ns_to_seconds(ordered[max(0, -(-percent * len(ordered) // 100) - 1)])

    def messages(self) -> dict[str, dict[str, int]]:
        """{kind of group: {count, bytes}}: what all ranks together sent in one step, as the program counts messages;
        transfers are counted where they are sent."""
        found: dict[str, dict[str, int]] = {}

        def add(kind: str, size: int) -> None:
            entry = found.setdefault(kind, {"count": 0, "bytes": 0})
            entry["count"] += 1
            entry["bytes"] += size

        unfolded = self.program_of(self.median_step).unfolded()
        for own in unfolded.ranks:
            for launch_, span in zip(own.launches, self.records[own.rank].spans[self.median_step], strict=True):
                if launch_.stream == "compute":
                    for child in span.children:
                        add(child.group, child.size_bytes)
                elif launch_.action.verb != "recv":
                    add("pipeline" if launch_.action.verb == "send" else launch_.stream, span.sent)
        return found

    def table_cache(self) -> dict[str, dict[str, Any]]:
        """{table: lookups, hit_rate, expected_hit_rate} of every table with rows in host memory: the share of rows that
        owners found in device memory, all steps together (null where none was looked up), and as it is priced."""
        found = {}
        for load in parts(self.scenario):
            told = [record.cache[load.table.name] for record in self.records if load.table.name in record.cache]
            if told:
                reads, hits = map(sum, zip(*told, strict=True))
                rate = hits / reads if reads else None
                found[load.table.name] = {"lookups": reads, "hit_rate": rate, "expected_hit_rate": load.hit_rate}
        return found

    def to_dict(self) -> dict[str, Any]:
        """What `execute --json` prints: SI units, every number finite or null."""
        scenario, step_s = self.scenario, self.step_time_s
        samples_per_s = scenario.plan.global_batch / step_s
        used = utilization(self.timeline)
        return {
            "name": self.name,
            "source": "measured",
            "emulated": label(scenario),
            "program_digest": self.program.digest(),
            "timeline_digest": self.timeline.digest(),
            "backend": self.backend,
            "ranks": self.ranks,
            "seed": scenario.seed,
            "placement": list(scenario.plan.order or ()) or None,
            "replica_microbatches": list(scenario.plan.counts) or None,
            "steps": len(self.samples_ns),
            "warmup_steps": self.warmup,
            "step_time_s": step_s,
            "step_time_s_p5": self.percentile_s(5),
            "step_time_s_p95": self.percentile_s(95),
            "step_times_s": [ns_to_seconds(ns) for ns in self.samples_ns],
            "samples_per_s": samples_per_s,
            "tokens_per_s": self.tokens / step_s,
            "losses": list(self.losses),
            "decisions": [asdict(one) for one in self.decisions],
            "moves_s": {str(step): ns_to_seconds(ns) for step, ns in self.moves_ns.items()},
            "utilization": {"busy": used.busy, "compute": used.compute},
            "breakdown_s": {label: ns_to_seconds(ns) for label, ns in breakdown_ns(self.timeline).items()},
            "messages": self.messages(),
            "table_cache": self.table_cache(),
            "ops": len(self.timeline),
        }


def execute(
    scenario, ranks: int | None = None, backend: str = "gloo", steps: int | None = None, *, warmup: int = WARMUP,
    source: Source = synthetic, learning_rate: float | None = None, timeout_s: float = TIMEOUT_S,
    keep_weights: bool = False, progress: Callable[[str], None] | None = None,
    decisions: tuple[Decision, ...] | None = None,
) -> Execution:  # fmt: skip
    """Runs `warmup` and then `steps` measured training steps on real processes.

    ranks: must be the product of the degrees; default: that. steps: default 10, or the scenario's own where more.
    source: an importable function (scenario, step, data_rank) -> Batch. timeout_s: of the run and of every collective.
    decisions: what policies shall do, replayed; None: they decide anew.
    Raises ScenarioError for what cannot be run, ExecutionFailed with the first failing rank's story.
    """
    check_executable(scenario, ranks, backend)
    steps = max(STEPS, scenario.steps) if steps is None else steps
    if steps < 1:
        raise ScenarioError(f"{steps} steps measure nothing; give 1 or more", key="--steps")
    check_policies(decisions or (), policies_at_work(scenario.plan))
    for one in decisions or ():
        if one.policy == ADAPTIVE:
            checked(scenario, one.after)
    scenario, _ = settle(scenario, decisions)
    if scenario.samples_differ and source is not synthetic:
        raise ScenarioError("a data source of its own has lengths of its own; use fixed", key="data.lengths.kind")
    replayed = in_force(decisions, POLICY, 0) if decisions is not None else None
    job = Job(
        scenario, lower(scenario, 0, replayed), backend, steps, warmup, source,
        attention=scenario.software.attention or "flash", learning_rate=learning_rate, keep_weights=keep_weights,
        timeout_s=timeout_s, decisions=decisions,
        move_cost=move_cost(scenario) if adapts(scenario) and decisions is None else None,
    )  # fmt: skip
    if is_launched():
        from simulator.executor.launched import run_launched

        records = run_launched(job)
    else:
        if backend == "gloo":
            check_memory(scenario, job.program)
        if progress is not None:
            progress(f"{scenario.layout.ranks} processes, {warmup} + {steps} steps")
            if (named := scenario.plan.aggregation.algorithm) != "auto" and backend == "gloo":
                progress(f"Gloo chooses its own algorithm; plan.aggregation.algorithm {named} prices the run only")
        records = launch([job], scenario.layout.ranks, timeout_s=timeout_s)[0]
    return Execution(scenario, job.program, backend, warmup, tuple(records))


def is_launched() -> bool:
    """Whether this process is one rank of many that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ

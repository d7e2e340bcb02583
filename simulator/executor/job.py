"""Job and RankRecord: what every rank of a run is told, and what it hands back. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.executor.batches import Source, synthetic
from simulator.executor.spans import Span
from simulator.policies.decisions import Decision
from simulator.policies.stage_balancer import MoveCost
from simulator.program.actions import Action
from simulator.program.program import Program, RankProgram


@dataclass(frozen=True)
class Job:
    """steps: measured, after `warmup` others. source: where batches come from. timeout_s: of every collective.

    double: float64 throughout (the correctness tests). keep_weights: hand back the trained parameters. decisions: what
    policies shall do (`policies/decisions.py`); None: they decide while it runs. move_cost: what the adaptive stage
    balancer believes that moving layers costs.
    """

    scenario: Any
    program: Program
    backend: str = "gloo"
    steps: int = 10
    warmup: int = 2
    source: Source = synthetic
    attention: str = "flash"
    learning_rate: float | None = None
    double: bool = False
    keep_weights: bool = False
    timeout_s: float = 600.0
    decisions: tuple[Decision, ...] | None = None
    move_cost: MoveCost | None = None


@dataclass
class RankRecord:
    """begin_ns: when each measured step began, after its barrier. spans: of each measured step, in launch order.
    lost_ns: of each measured step, how long the computing thread waited for a core.

    decisions: of the adaptive stage balancer; moves_ns: (measured step, what moving layers took ahead of it).
    losses: of every step, warm-up included: this rank's part of the global mean. weights, tables: this rank's shards,
    float64 arrays by name. cache: of each table that the host holds rows of, (rows looked up here, found in device
    memory), warm-up included.
    """

    rank: int
    begin_ns: list[int] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)
    lost_ns: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    moves_ns: list[tuple[int, int]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, tuple[int, int]] = field(default_factory=dict)


def own_program(program: Program, rank: int) -> RankProgram:
    """The program that stands for this rank."""
    return next(own for own in program.ranks if rank in own.members)


def peer_of(program: Program, rank: int, action: Action) -> int:
    """The rank at the other end of a send or a receive."""
    _, data_rank, context_rank, tensor_rank = program.layout.coordinates(rank)
    return program.layout.rank(action.peer, data_rank, context_rank, tensor_rank)

"""compare: the same program predicted and really run, and how far the two are apart.

    from simulator import compare, load_scenario
    comparison = compare(load_scenario("scenario.yaml"))
    print(comparison.error_percent, comparison.to_dict()["actions"])

Every measured step is kept. Predicted and measured agree on one point before anything is subtracted: the digest of the
program that ran.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from simulator.action_times import IN_STEP, ROWS, action_times
from simulator.errors import RehearseError
from simulator.policies.decisions import Decision
from simulator.policies.stage_balancer import ADAPTIVE
from simulator.settle import settle
from simulator.stage_balance import adapts
from simulator.units import ns_to_seconds
from simulator.validation.statistics import concordance, percent_error

if TYPE_CHECKING:
    from simulator.executor.execution import Execution
    from simulator.simulation import Result

SAMPLES = 64
STEPS, WARMUP = 30, 3


class DifferentPrograms(RehearseError):
    """What was predicted is not what ran."""

    kind = "different_programs"


@dataclass(frozen=True)
class ActionError:
    """One kind of action (`action_times.ROWS`): seconds a step, averaged over ranks; medians over samples and steps.

    share_percent: predicted - measured, of the measured step: what this kind adds to the step's error. Rows that are
    not in_step run beside compute and may be hidden.
    """

    action: str
    in_step: bool
    predicted_s: float
    measured_s: float
    measured_s_p5: float
    measured_s_p95: float
    share_percent: float

    @property
    def error_percent(self) -> float | None:
        """None where nothing was measured."""
        return percent_error(self.predicted_s, self.measured_s) if self.measured_s else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """A prediction beside a run of the same program. samples: action times of every step of every predicted sample."""

    result: Result
    execution: Execution
    samples: tuple[dict[str, float], ...] = field(repr=False, default=())

    def __post_init__(self) -> None:
        predicted, measured = self.result.program_digest, self.execution.program.digest()
        if predicted != measured:
            raise DifferentPrograms(
                f"the simulated program ({predicted[:12]}) is not the one that ran ({measured[:12]}); predict and run "
                "the same scenario with the same version"
            )

    @property
    def name(self) -> str:
        return self.result.name

    @property
    def predicted_s(self) -> float:
        """The median step of the prediction; the mean of its steps where they differ by design."""
        return self.result.step_time_s

    @property
    def measured_s(self) -> float:
        """The median of the measured steps, or their mean, as predicted."""
        return self.execution.step_time_s

    @property
    def decisions(self) -> dict[str, tuple[Decision, ...]]:
        """When the adaptive stage balancer moved which layers: predicted and measured, each decided anew."""
        told = tuple(one for one in self.result.decisions if one.policy == ADAPTIVE)
        return {"predicted": told, "measured": self.execution.decisions}

    @property
    def error_percent(self) -> float:
        """Of the median step; positive when the prediction is too slow."""
        return percent_error(self.predicted_s, self.measured_s)

    @cached_property
    def mad_s(self) -> float:
        """Median absolute deviation of the measured steps from their median: the run's own repeat spread."""
        middle = self.execution.timeline.step_ns
        return ns_to_seconds(round(median(abs(ns - middle) for ns in self.execution.samples_ns)))

    @cached_property
    def lost_core_s(self) -> float:
        """What the median measured step waited for a core, averaged over ranks: other processes' doing, mostly. A
        calibration takes such waits off its samples, so they are no part of the prediction."""
        steps = zip(*(record.lost_ns for record in self.execution.records), strict=True)
        return ns_to_seconds(round(median([fmean(step) for step in steps] or [0])))

    @cached_property
    def actions(self) -> tuple[ActionError, ...]:
        """Every kind of action that occurs, in the order of `action_times.ROWS`."""
        predicted = self.samples or (action_times(self.result.timeline),)
        measured = [action_times(self.execution.timeline_of(step)) for step in range(len(self.execution.samples_ns))]
        found = []
        for row in ROWS:
            own, others = (sorted(times[row] * 1e-9 for times in table) for table in (predicted, measured))
            if own[-1] or others[-1]:
                middle, run = own[(len(own) - 1) // 2], others[(len(others) - 1) // 2]
                found.append(
                    ActionError(row, row in IN_STEP, middle, run, _nearest_rank(others, 5), _nearest_rank(others, 95),
                                100.0 * (middle - run) / self.measured_s)
                )  # fmt: skip
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """What `compare --json` prints: SI units, every number finite or null.

        predicted_s: median step over `samples` draws of the profile's errors, with p5 and p95. measured_s: median of
        `steps` measured steps, with p5, p95 and mad (median absolute deviation); lost_core_s: what the median one of
        them waited for a core. error_percent: 100 (predicted -
        measured) / measured; within_interval: whether the measured median lies between the predicted p5 and p95.
        actions: for each kind of action {action, in_step, predicted_s, measured_s, measured_s_p5, measured_s_p95,
        error_percent, share_percent}; see `ActionError`. decisions, moves_s: of the adaptive stage balancer, and what
        moving layers took in the run. losses: of every step, warm-up included. provenance, warnings: as `simulate`
        prints them.
        """
        result, execution = self.result, self.execution
        low, high = result.percentile_s(5), result.percentile_s(95)
        return {
            "name": self.name,
            "run_id": result.run_id,
            "program_digest": execution.program.digest(),
            "backend": execution.backend,
            "ranks": execution.ranks,
            "samples": len(result.samples_ns),
            "steps": len(execution.samples_ns),
            "warmup_steps": execution.warmup,
            "predicted_s": self.predicted_s,
            "predicted_s_p5": low,
            "predicted_s_p95": high,
            "measured_s": self.measured_s,
            "measured_s_p5": execution.percentile_s(5),
            "measured_s_p95": execution.percentile_s(95),
            "measured_s_mad": self.mad_s,
            "lost_core_s": self.lost_core_s,
            "error_percent": self.error_percent,
            "within_interval": low <= self.measured_s <= high,
            "actions": [
                {
                    "action": row.action,
                    "in_step": row.in_step,
                    "predicted_s": row.predicted_s,
                    "measured_s": row.measured_s,
                    "measured_s_p5": row.measured_s_p5,
                    "measured_s_p95": row.measured_s_p95,
                    "error_percent": row.error_percent,
                    "share_percent": row.share_percent,
                }
                for row in self.actions
            ],
            "decisions": {side: [asdict(one) for one in told] for side, told in self.decisions.items()},
            "moves_s": {str(step): ns_to_seconds(ns) for step, ns in execution.moves_ns.items()},
            "losses": list(execution.losses),
            "provenance": result.provenance,
            "warnings": list(result.warnings),
        }


def compare(
    scenario, *, samples: int = SAMPLES, steps: int | None = None, warmup: int = WARMUP,
    progress: Callable[[str], None] | None = None, **how_to_run: Any,
) -> Comparison:  # fmt: skip
    """Predicts a scenario's step (`simulate` with `samples` draws), then runs it (`execute`, `steps` measured steps).

    steps: default 30, or the scenario's own where more; a run in which layers move is predicted over as many.
    how_to_run: further arguments of `execute`, such as source or timeout_s. Raises ScenarioError for what cannot be
    run, before anything is simulated.
    """
    from simulator.executor.executable import check_executable
    from simulator.executor.execution import execute

    check_executable(scenario, how_to_run.get("ranks"), how_to_run.get("backend", "gloo"))
    scenario, _ = settle(scenario, how_to_run.get("decisions"))
    steps = max(STEPS, scenario.steps) if steps is None else steps
    if adapts(scenario):
        scenario = replace(scenario, stated=scenario.stated.model_copy(update={"steps": steps}))
    result, times = predict(scenario, samples)
    execution = execute(scenario, steps=steps, warmup=warmup, progress=progress, **how_to_run)
    return Comparison(result, execution, times)


def predict(scenario, samples: int = SAMPLES) -> tuple[Result, tuple[dict[str, float], ...]]:
    """The prediction, and the action times of each step of each of its samples."""
    from simulator.simulation import simulate

    times: list[dict[str, float]] = []
    result = simulate(scenario, samples=samples, watch=lambda timeline: times.append(action_times(timeline)))
    return result, tuple(times)


def decided_tau(comparisons: Sequence[Comparison]) -> tuple[float | None, int]:
    """(Kendall's tau, pairs that it is over): does the prediction rank the plans as the runs do?

    Only pairs of plans whose measured medians lie further apart than both runs' spreads (MAD) together; tau is None
    where there is no such pair.
    """
    pairs = [(one.predicted_s, one.measured_s) for one in comparisons]
    score, ranked = concordance(pairs, [one.mad_s for one in comparisons])
    return (score / ranked if ranked else None), ranked


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]

"""Predictions beside runs, for a terminal and for the report: one row a plan, and of one plan a row for each action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from simulator.report import format
from simulator.report.tables import study_table

Rows = list[dict[str, str]]


def plan_rows(comparisons: Sequence[Any]) -> Rows:
    """One row for each comparison: medians, the prediction's interval, the run's own spread, the error.

    Fits 80 columns.
    """
    return [
        {
            "plan": one.name,
            "predicted": format.duration(one.predicted_s),
            "p5 .. p95": _percentiles(one.result),
            "measured": format.duration(one.measured_s),
            "repeats": _percentiles(one.execution),
            "error": signed_percent(one.error_percent),
        }
        for one in comparisons
    ]


def wide_plan_rows(comparisons: Sequence[Any]) -> Rows:
    """The same with how the measured steps scatter and what they lost, for a page."""
    return [
        row | {"MAD": format.duration(one.mad_s), "no core": format.duration(one.lost_core_s)}
        for row, one in zip(plan_rows(comparisons), comparisons, strict=True)
    ]


def _percentiles(run: Any) -> str:
    return _between(run.percentile_s(5), run.percentile_s(95))


def _between(low_s: float, high_s: float) -> str:
    """151 .. 177 ms: both in the unit of the larger."""
    factor, unit = format.time_axis(high_s)
    return f"{format.significant(low_s * factor)} .. {format.significant(high_s * factor)} {unit}"


def action_rows(comparison: Any) -> Rows:
    """One row for each kind of action; those in the step sum to it, the others run beside it."""
    rows = []
    for row in comparison.actions:
        rows.append(
            {
                "action": row.action if row.in_step else f"({row.action})",
                "predicted": format.duration(row.predicted_s),
                "measured": format.duration(row.measured_s),
                "p5 .. p95": _between(row.measured_s_p5, row.measured_s_p95),
                "error": format.UNKNOWN if row.error_percent is None else signed_percent(row.error_percent),
                "of the step": signed_percent(row.share_percent) if row.in_step else "",
            }
        )
    return rows


def comparison_table(comparison: Any) -> Group:
    """What `compare` prints."""
    numbers = comparison.to_dict()
    low, high = (format.duration(numbers[key]) for key in ("predicted_s_p5", "predicted_s_p95"))
    inside = "inside" if numbers["within_interval"] else "outside"
    lines = [
        f"{comparison.name}, {numbers['ranks']} ranks ({numbers['backend']}), program {numbers['program_digest'][:12]}",
        f"predicted {format.duration(comparison.predicted_s)} ({low} to {high}, {numbers['samples']} samples)",
        f"measured  {format.duration(comparison.measured_s)} ({format.duration(numbers['measured_s_p5'])} to "
        f"{format.duration(numbers['measured_s_p95'])}, MAD {format.duration(comparison.mad_s)}, "
        f"{numbers['steps']} steps)",
        f"          of which {format.duration(comparison.lost_core_s)} waiting for a core",
        f"error     {signed_percent(comparison.error_percent)}, {inside} the predicted interval",
        *(f"decided   {line}" for line in decision_lines(comparison)),
        "",
    ]
    footer = "in brackets: on other streams, beside compute; times are per step, averaged over ranks"
    return Group(*map(Text, lines), study_table(action_rows(comparison)), Text(footer))


def found_sentence(comparison: Any) -> str:
    """Both medians and the error, in one sentence."""
    low, high = (format.duration(comparison.result.percentile_s(percent)) for percent in (5, 95))
    inside = "inside" if comparison.to_dict()["within_interval"] else "outside"
    return (
        f"Predicted {format.duration(comparison.predicted_s)} a step and measured "
        f"{format.duration(comparison.measured_s)} in {len(comparison.execution.samples_ns)} steps: an error of "
        f"{signed_percent(comparison.error_percent)}, {inside} the predicted 90 % interval ({low} to {high})."
    )


def decision_lines(comparison: Any) -> list[str]:
    """What the adaptive stage balancer did in the prediction and in the run; nothing where it is not at work."""
    if comparison.execution.scenario.plan.balancer.kind != "adaptive":
        return []
    moves = comparison.execution.moves_ns
    lines = []
    for side, told in comparison.decisions.items():
        words = [f"at step {one.step} layers {'+'.join(map(str, one.after))} (hoped for {one.predicted_gain:+.1%})"
                 for one in told]  # fmt: skip
        lines.append(f"{side}: {'; '.join(words) or 'nothing to move'}")
    if moves:
        lines[-1] += f"; moving took {format.duration(sum(moves.values()) * 1e-9)}"
    return lines


def signed_percent(percent: float) -> str:
    """+3.1 %, -12.0 %."""
    return f"{percent:+.1f} %"

"""Where the step's time goes: one stacked bar that sums to the step, and the rows of the table beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.report import format
from simulator.report.palette import Look, time_look

if TYPE_CHECKING:
    import plotly.graph_objects as go

WRITTEN_INSIDE = 0.07
"""Smallest share of the bar whose value is written into it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One label of the breakdown."""

    kind: str
    look: Look
    seconds: float
    share: float


def parts(numbers: dict) -> tuple[Part, ...]:
    """Every label of `breakdown_s` in its order; shares are of the breakdown's own sum, so they add to one."""
    breakdown = numbers["breakdown_s"]
    total = sum(breakdown.values())
    return tuple(
        Part(kind, time_look(kind), seconds, seconds / total if total else 0.0) for kind, seconds in breakdown.items()
    )


def breakdown_figure(result) -> go.Figure:
    """The step as one bar on a time axis."""
    from simulator.report.charts import Series, stacked_bars

    numbers = result.to_dict()
    found = [part for part in parts(numbers) if part.seconds > 0]
    factor, unit = format.time_axis(numbers["step_time_s"])
    series = [
        Series(
            part.look,
            [part.seconds * factor],
            [f"{part.look.words}: {format.duration(part.seconds)}, {format.percent(part.share)} of the step"],
            [format.percent(part.share) if part.share >= WRITTEN_INSIDE else ""],
        )
        for part in found
    ]
    figure = stacked_bars(["step"], series, title=f"time in the step ({unit})", height=130)
    figure.update_layout(bargap=0.1, margin={"l": 10, "r": 10, "t": 4, "b": 40})
    figure.update_xaxes(range=[0, numbers["step_time_s"] * factor])
    figure.update_yaxes(visible=False)
    return figure


def results_figure(results) -> go.Figure:
    """Several breakdowns under each other: time of a step, or of a sample where steps differ in samples."""
    from simulator.report.charts import Series, stacked_bars

    all_numbers = [result.to_dict() for result in results]
    per_step = same_batch(all_numbers)
    scale = [1.0 if per_step else 1 / samples_per_step(numbers) for numbers in all_numbers]
    longest = max(numbers["step_time_s"] * one for numbers, one in zip(all_numbers, scale, strict=True))
    factor, unit = format.time_axis(longest)
    tables = [{part.kind: part for part in parts(numbers)} for numbers in all_numbers]
    kinds = [kind for kind in tables[0] if any(table[kind].seconds > 0 for table in tables)]
    series = [
        Series(
            time_look(kind),
            [table[kind].seconds * one * factor for table, one in zip(tables, scale, strict=True)],
            [
                f"{numbers['name']}<br>{table[kind].look.words}: {format.duration(table[kind].seconds * one)}, "
                f"{format.percent(table[kind].share)}"
                for numbers, table, one in zip(all_numbers, tables, scale, strict=True)
            ],
            [""] * len(tables),
        )
        for kind in kinds
    ]
    what = "time of a step" if per_step else "time for each sample"
    names = [
        name if numbers["feasible"] else f"{name} (does not fit)"
        for name, numbers in zip(unique_names([one["name"] for one in all_numbers]), all_numbers, strict=True)
    ]
    figure = stacked_bars(names, series, title=f"{what} ({unit})", height=90 + 34 * len(names))
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 10, "r": 10, "t": 60, "b": 40},
    )
    figure.update_layout(height=140 + 34 * len(names))
    return figure


def samples_per_step(numbers: dict) -> float:
    """Samples of one step over all ranks."""
    return numbers["samples_per_s"] * numbers["step_time_s"]


def same_batch(all_numbers: list[dict]) -> bool:
    """True when all results take the same number of samples a step, so that step times compare."""
    samples = [samples_per_step(numbers) for numbers in all_numbers]
    return max(samples) - min(samples) <= 1e-6 * max(samples)


def unique_names(names: list[str]) -> list[str]:
    """Names as they are, numbered where two are the same (rows of a chart are told apart by name)."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[:place].count(name) + 1})"
        for place, name in enumerate(names)
    ]

"""Where the step's time goes: one stacked bar that sums to the step, and the rows of the table beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.report import format
from simulator.report.palette import Look, time_look
from simulator.units import ns_to_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

STEP, SAMPLE, SHARE = "step", "sample", "share"
MEASURES = {STEP: "time of a step", SAMPLE: "time for each sample", SHARE: "share of the step"}
"""What several results are compared by."""
WRITTEN_INSIDE = 0.07
"""Smallest share of the bar whose value is written into it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One label of the breakdown."""

    kind: str
    look: Look
    seconds: float
    share: float


def parts(breakdown_s: Mapping[str, float]) -> tuple[Part, ...]:
    """Every label of a breakdown in its order; shares are of the breakdown's own sum, so they add to one."""
    total = sum(breakdown_s.values())
    return tuple(
        Part(kind, time_look(kind), seconds, seconds / total if total else 0.0) for kind, seconds in breakdown_s.items()
    )


def _parts_of(result) -> tuple[Part, ...]:
    return parts({kind: ns_to_seconds(ns) for kind, ns in result.breakdown.items()})


def breakdown_figure(result) -> go.Figure:
    """The step as one bar on a time axis."""
    from simulator.report.charts import Series, stacked_bars

    factor, unit = format.time_axis(result.step_time_s)
    series = [
        Series(
            part.look,
            [part.seconds * factor],
            [f"{part.look.words}: {format.duration(part.seconds)}, {format.percent(part.share)} of the step"],
            [format.percent(part.share) if part.share >= WRITTEN_INSIDE else ""],
        )
        for part in _parts_of(result)
        if part.seconds > 0
    ]
    figure = stacked_bars(["step"], series, title=f"time in the step ({unit})", height=130)
    figure.update_layout(bargap=0.1, margin={"l": 10, "r": 10, "t": 4, "b": 40})
    figure.update_xaxes(range=[0, result.step_time_s * factor])
    figure.update_yaxes(visible=False)
    return figure


def same_model(results) -> bool:
    """True when all results are of one model, so that their rates compare."""
    return all(result.scenario.model == results[0].scenario.model for result in results)


def measure(results) -> str:
    """Step times where all steps take the same samples, else time for each sample; of different models only shares."""
    if not same_model(results):
        return SHARE
    return STEP if len({result.scenario.plan.global_batch for result in results}) == 1 else SAMPLE


def results_figure(results) -> go.Figure:
    """Several breakdowns under each other, by what `measure` says."""
    from simulator.report.charts import Series, stacked_bars

    by = measure(results)
    scale = [
        {STEP: 1.0, SAMPLE: 1 / result.scenario.plan.global_batch, SHARE: 1 / (result.step_time_s or 1)}[by]
        for result in results
    ]
    longest = max(result.step_time_s * one for result, one in zip(results, scale, strict=True))
    factor, unit = (100.0, "%") if by == SHARE else format.time_axis(longest)
    tables = [{part.kind: part for part in _parts_of(result)} for result in results]
    names = [
        name if result.feasible else f"{name} (does not fit)"
        for name, result in zip(unique_names([one.name for one in results]), results, strict=True)
    ]
    series = [
        Series(
            time_look(kind),
            [table[kind].seconds * one * factor for table, one in zip(tables, scale, strict=True)],
            [
                f"{name}<br>{table[kind].look.words}: {format.duration(table[kind].seconds)} of a step, "
                f"{format.percent(table[kind].share)}"
                for name, table in zip(names, tables, strict=True)
            ],
            [""] * len(tables),
        )
        for kind in tables[0]
        if any(table[kind].seconds > 0 for table in tables)
    ]
    title = f"{MEASURES[by]} ({unit})"
    figure = stacked_bars(names, series, title=title, height=110 + 34 * len(names))
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 10, "r": 10, "t": 36, "b": 40},
    )
    return figure


def unique_names(names: list[str]) -> list[str]:
    """Names as they are, numbered where two are the same (rows of a chart are told apart by name)."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[:place].count(name) + 1})"
        for place, name in enumerate(names)
    ]

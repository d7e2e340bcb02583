"""Sections of the report that set predictions beside runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.report import format
from simulator.report.breakdown import unique_names
from simulator.report.comparison_tables import Rows, action_rows, decision_lines, wide_plan_rows
from simulator.report.html import Block
from simulator.report.palette import BLUE, ORANGE


def comparison_blocks(comparisons: Sequence[Any]) -> list[Block]:
    """All plans together, with a figure; then each plan's error by kind of action."""
    blocks = [
        table_block(
            "Predicted and measured",
            wide_plan_rows(comparisons),
            "Medians of a step. The prediction's interval is that of the median step, by the errors of its cost "
            "profile; the measured one is how steps of one run scatter. MAD is their median absolute deviation; no "
            "core is what the median step lost to other processes, which a calibration takes off.",
            figure=medians_figure(comparisons),
            alt="Bars: predicted and measured median step of each plan, with 5th and 95th percentiles.",
        )
    ]
    names = unique_names([one.name for one in comparisons])
    for name, one in zip(names, comparisons, strict=True):
        blocks.append(
            table_block(
                f"Error by kind of action: {name}",
                action_rows(one),
                "Seconds of a step, averaged over ranks. Rows without brackets sum to the step; those in brackets run "
                "on other streams beside compute.",
                *(f"Decided, {line}." for line in decision_lines(one)),
            )
        )
    return blocks


def table_block(title: str, rows: Rows, *paragraphs: str, **more: Any) -> Block:
    """A section with a table of these rows, which share their keys."""
    header = tuple(rows[0])
    return Block(title, paragraphs, header, tuple(tuple(row[key] for key in header) for row in rows), **more)


def medians_figure(comparisons: Sequence[Any]):
    """Two bars for each plan, with the 5th and 95th percentiles of samples and of measured steps."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout, value_axis

    names = unique_names([one.name for one in comparisons])
    factor, unit = format.time_axis(max(max(one.predicted_s, one.measured_s) for one in comparisons))
    figure = go.Figure(layout=layout(90 + 44 * len(names), barmode="group", bargap=0.25))
    sides = (("predicted", BLUE, [one.result for one in comparisons]),
             ("measured", ORANGE, [one.execution for one in comparisons]))  # fmt: skip
    for words, colour, runs in sides:
        middles = [run.step_time_s * factor for run in runs]
        low, high = ([run.percentile_s(percent) * factor for run in runs] for percent in (5, 95))
        figure.add_bar(
            name=words, orientation="h", y=names, x=middles, marker={"color": colour},
            error_x={"type": "data", "symmetric": False, "array": [b - a for a, b in zip(middles, high, strict=True)],
                     "arrayminus": [a - b for a, b in zip(middles, low, strict=True)]},
            hovertext=[f"{words}: {format.duration(run.step_time_s)}" for run in runs], hoverinfo="text",
        )  # fmt: skip
    figure.update_xaxes(value_axis(f"median step ({unit})", rangemode="tozero"))
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", type="category")
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 10, "r": 10, "t": 36, "b": 40},
    )
    return figure

"""The validation report as blocks of a page: predicted against measured, errors, and which term they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from simulator.report.charts import Series, layout, stacked_bars, value_axis
from simulator.report.format import UNKNOWN, duration, significant
from simulator.report.html import Block
from simulator.report.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW, time_look

if TYPE_CHECKING:
    from simulator.validation.report import Row, SourceSummary, ValidationReport

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW, GREY)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon", "pentagon", "cross")
STAND_IN = "x-thin-open"
FITTED_TO = "(fitted to)"
SHOWN_TERM_PERCENT = 0.05
"""A term below this share of the measured time, in all sources, has no column."""


def answer(report: ValidationReport) -> str:
    """How far predictions are off on the rows that the costs do not know."""
    errors = sorted(abs(row.error_percent) for row in report.rows if row.counts)
    if not errors:
        return "No row that the costs do not know is predicted."
    middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
    return (
        f"{len(errors)} published times that the costs were not fitted to are off by {sum(errors) / len(errors):.1f} % "
        f"on average, half of them by less than {middle:.1f} %, the worst by {errors[-1]:.0f} %."
    )


def validation_blocks(report: ValidationReport) -> tuple[Block, ...]:
    """Parity plot, errors by source, terms and what they would explain, and every row."""
    return (
        Block(
            "Predicted against measured",
            ("On the line a prediction is right; above it too slow. Open marks: rows that constants were fitted to, "
             "which check nothing. Crosses: another plan stands in for the one that was measured.",),
            figure=parity_figure(report),
            alt="predicted over measured seconds of every published row, both axes logarithmic",
        ),
        Block(
            "Errors by source",
            ("Figures are those of the rows that no constant was fitted to.",),
            ("source", "rows", "mean abs %", "median %", "bias %", "max %", "Kendall tau", "not built", "stand-ins",
             "fit rows", "their mean abs %"),
            tuple(_summary(source) for source in report.sources),
            figure=error_figure(report),
            alt="error of every row in percent, by source",
        ),
        *_constants(report),
        *_held_out(report),
        *_terms(report),
        *(_rows(source, report) for source in report.sources if _predicted(report, source.source)),
    )  # fmt: skip


def parity_figure(report: ValidationReport) -> go.Figure:
    """Log-log scatter, one mark a row, its source by colour and shape."""
    figure = go.Figure(layout=layout(560, showlegend=True))
    shown = [row for row in report.rows if row.predicted_s is not None]
    ends = [
        min((row.measured_s for row in shown), default=1) / 2,
        max((row.measured_s for row in shown), default=1) * 2,
    ]
    figure.add_scatter(x=ends, y=ends, mode="lines", name="right", line={"color": GREY, "width": 1}, hoverinfo="skip")
    for place, source in enumerate(report.sources):
        rows = _drawn(report, source.source)
        if rows:
            figure.add_scatter(
                x=[row.measured_s for row in rows],
                y=[row.predicted_s for row in rows],
                mode="markers",
                name=source.source,
                marker=_marker(place, rows),
                hovertext=[_hover(row) for row in rows],
                hoverinfo="text",
            )
    figure.update_xaxes(value_axis("measured, s", type="log"))
    figure.update_yaxes(value_axis("predicted, s", type="log"))
    return figure


def error_figure(report: ValidationReport) -> go.Figure:
    """Every row's error in percent on its source's line."""
    figure = go.Figure(layout=layout(110 + 34 * len(report.sources)))
    for place, source in enumerate(report.sources):
        rows = _drawn(report, source.source)
        figure.add_scatter(
            x=[row.error_percent for row in rows],
            y=[source.source] * len(rows),
            mode="markers",
            name=source.source,
            marker=_marker(place, rows),
            hovertext=[_hover(row) for row in rows],
            hoverinfo="text",
        )
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_xaxes(value_axis("error, % of the measured time (+ is too slow)"))
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", type="category")
    return figure


def terms_figure(sources: list[SourceSummary], labels: list[str]) -> go.Figure:
    """Mean predicted terms in percent of the measured step, stacked: a bar ends at 100 + bias."""
    series = [
        Series(
            time_look(label),
            [source.terms_percent[label] for source in sources],
            [f"{source.source}: {time_look(label).words} {source.terms_percent[label]:.1f} %" for source in sources],
            [f"{source.terms_percent[label]:.0f}" if source.terms_percent[label] >= 4 else "" for source in sources],
        )
        for label in labels
    ]
    figure = stacked_bars(
        [source.source for source in sources], series, title="% of the measured step", height=110 + 34 * len(sources)
    )
    figure.add_vline(x=100, line={"color": BLACK, "width": 1})
    return figure


def _terms(report: ValidationReport) -> tuple[Block, ...]:
    sources = [source for source in report.sources if source.terms_percent]
    labels = [
        label
        for label in (sources[0].terms_percent if sources else ())
        if any(source.terms_percent[label] >= SHOWN_TERM_PERCENT for source in sources)
    ]
    if not labels:
        return ()
    words = [time_look(label).words for label in labels]
    means = Block(
        "Terms",
        ("Mean share of each predicted term in the measured step; the black line is the measurement.",),
        ("source", *words),
        tuple((source.source, *(f"{source.terms_percent[label]:.1f}" for label in labels)) for source in sources),
        figure=terms_figure(sources, labels),
        alt="mean predicted terms of each source in percent of the measured step",
    )
    residuals = Block(
        "Residuals by term",
        ("What one term alone would have to be multiplied by to leave the least squared error, and the mean absolute "
         "error left then. A term whose factor is far from one, and which then explains much, has a wrong form.",),
        ("source", "now, mean abs %", *words),
        tuple(
            (
                source.source, _number(source.mean_absolute_error_percent, "{:.1f}"),
                *(_residual(source.residuals_by_term.get(label)) for label in labels),
            )
            for source in sources
        ),
    )  # fmt: skip
    return means, residuals


def _constants(report: ValidationReport) -> tuple[Block, ...]:
    if not report.constants:
        return ()
    return (
        Block(
            "Constants that no table publishes",
            ("Each answers to its fit rows alone, and holds for a whole generation of hardware and software.",),
            ("constant", "value", "unit", "generation", "kind", "meaning", "fit rows"),
            tuple(
                (
                    one.name,
                    f"{one.value:g}",
                    one.unit,
                    one.generation,
                    one.kind,
                    one.meaning,
                    rows_by_source(one.fitted_on),
                )
                for one in report.constants
            ),
        ),
    )


def rows_by_source(fitted_on: tuple[str, ...]) -> str:
    """Fit rows with every source named once: mosaic_a100: 7b, 350m; sc21_table1: 530B."""
    rows = [name.partition(": ")[::2] for name in fitted_on]
    sources = dict.fromkeys(source for source, _ in rows)
    return "; ".join(f"{source}: {', '.join(row for its, row in rows if its == source)}" for source in sources)


def _held_out(report: ValidationReport) -> tuple[Block, ...]:
    if not report.held_out:
        return ()
    return (
        Block(
            "Tables of kernels and collectives",
            ("Points that were held out, predicted from the rest.",),
            ("profile", "table", "held out", "%"),
            tuple(
                (one.profile, one.op_class, one.figure.removesuffix("_pct").replace("_", " "), f"{one.percent:.2f}")
                for one in report.held_out
            ),
        ),
    )


def _residual(found: dict[str, float] | None) -> str:
    if found is None:
        return UNKNOWN
    return f"x {found['scale']:.2f}: {found['mean_absolute_error_percent']:.1f} %"


def _summary(source: SourceSummary) -> tuple[str, ...]:
    return (
        source.source, str(source.rows), _number(source.mean_absolute_error_percent, "{:.2f}"),
        _number(source.median_absolute_error_percent, "{:.2f}"), _number(source.bias_percent, "{:+.2f}"),
        _number(source.max_absolute_error_percent, "{:.2f}"), _number(source.kendall_tau, "{:.2f}"),
        str(source.not_built), str(source.stand_ins), str(source.fit_rows),
        _number(source.fit_mean_absolute_error_percent, "{:.2f}"),
    )  # fmt: skip


def _rows(source: SourceSummary, report: ValidationReport) -> Block:
    rows = tuple(
        (_label(row), duration(row.measured_s), duration(row.predicted_s), f"{row.error_percent:+.1f}")
        for row in _predicted(report, source.source)
    )  # fmt: skip
    paragraphs = (source.citation + ".", "Read as: " + "; ".join(source.readings) + ".")
    return Block(source.source, paragraphs, ("row", "measured", "predicted", "error %"), rows)


def mark_look(place: int) -> tuple[str, str]:
    """Colour and shape of a source; they shift against each other, so that no two of 81 sources share both."""
    return COLOURS[place % len(COLOURS)], SYMBOLS[(place + place // len(COLOURS)) % len(SYMBOLS)]


def _marker(place: int, rows: list[Row]) -> dict:
    colour, symbol = mark_look(place)
    return {
        "color": colour,
        "size": 9,
        "symbol": [STAND_IN if row.stand_in else f"{symbol}-open" if row.fitted else symbol for row in rows],
        "line": {"width": 1.5, "color": colour},
    }


def _label(row: Row) -> str:
    return " ".join(filter(None, (row.name, row.stand_in, row.fitted and FITTED_TO)))


def _hover(row: Row) -> str:
    return (
        f"{row.source}<br>{_label(row)}<br>measured {significant(row.measured_s, 4)} s, "
        f"predicted {significant(row.predicted_s, 4)} s, {row.error_percent:+.1f} %"
    )


def _predicted(report: ValidationReport, source: str) -> list[Row]:
    return [row for row in report.rows if row.source == source and row.predicted_s is not None]


def _drawn(report: ValidationReport, source: str) -> list[Row]:
    """The rows in the order in which they are drawn: a legend shows the mark of the first, which should check."""
    return sorted(_predicted(report, source), key=lambda row: not row.counts)


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)

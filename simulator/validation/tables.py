"""A validation report as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.validation.report import Row, SourceSummary, ValidationReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NO_FIGURE = "-"


def print_report(report: ValidationReport, console: Console | None = None, *, rows: bool = True) -> None:
    """Summaries of the sources over their validation rows, and apart over the rows that constants were fitted to; those
    constants; then (unless `rows` is False) every row; then what is not built yet."""
    from rich.console import Console

    console = console or Console()
    title = "Prediction against published measurements that no cost was fitted to (error: + is too slow)"
    console.print(summary_table(title, list(report.sources)))
    if known := [source for source in report.sources if source.fit_rows]:
        console.print(fit_table(known))
    if report.constants:
        console.print(constants_table(report))
    if report.held_out:
        console.print(held_out_table(report))
    console.print(terms_table(report))
    console.print(residuals_table(report))
    if rows:
        for source in report.sources:
            shown = [row for row in report.rows if row.source == source.source and row.predicted_s is not None]
            if shown:
                console.print(rows_table(f"{source.source}: {source.citation}", shown))
    missing = [row for row in report.rows if row.predicted_s is None]
    if missing:
        console.print(missing_table(missing))


def summary_table(title: str, sources: list[SourceSummary]) -> Table:
    """One line a source: rows, mean absolute error, bias, worst, rank agreement, rows that do not count."""
    table = _table(title)
    for heading in (
        "rows",
        "mean abs %",
        "median %",
        "bias %",
        "max %",
        "Kendall tau",
        "not built",
        "stand-ins",
        "stand-ins abs %",
    ):
        table.add_column(heading, justify="right")
    for source in sources:
        table.add_row(
            source.source, str(source.rows), _number(source.mean_absolute_error_percent, "{:.2f}"),
            _number(source.median_absolute_error_percent, "{:.2f}"),
            _number(source.bias_percent, "{:+.2f}"), _number(source.max_absolute_error_percent, "{:.2f}"),
            _number(source.kendall_tau, "{:.2f}"), str(source.not_built), str(source.stand_ins),
            _number(source.stand_in_mean_absolute_error_percent, "{:.2f}"),
        )  # fmt: skip
    return table


def fit_table(sources: list[SourceSummary]) -> Table:
    """How well the rows that set constants came out: no check of anything."""
    table = _table("Rows that constants were fitted to (counted in no figure above)")
    for heading in ("fit rows", "mean abs %"):
        table.add_column(heading, justify="right")
    for source in sources:
        table.add_row(
            source.source, str(source.fit_rows), _number(source.fit_mean_absolute_error_percent, "{:.2f}")
        )  # fmt: skip
    return table


def constants_table(report: ValidationReport) -> Table:
    """The fitted constants: value, unit, what they hold for, what they mean and the rows that set them."""
    table = _table("Constants that no table publishes", "constant")
    for heading in ("value", "unit", "generation", "kind", "fit rows"):
        table.add_column(heading, overflow="fold")
    for one in report.constants:
        sources = dict.fromkeys(row.partition(":")[0] for row in one.fitted_on)
        counts = ", ".join(f"{sum(row.startswith(f'{name}:') for row in one.fitted_on)} of {name}" for name in sources)
        table.add_row(one.name, f"{one.value:g}", one.unit, one.generation, one.kind, counts)
    return table


def held_out_table(report: ValidationReport) -> Table:
    """Kernels and collectives where points are held out: a random tenth, the largest sizes, 8 GPUs from 2 and 4."""
    table = _table("Tables of kernels and collectives, points held out and predicted from the rest", "profile")
    for heading in ("table", "held out", "%"):
        table.add_column(heading, justify="right" if heading == "%" else "left")
    for one in report.held_out:
        table.add_row(
            one.profile, one.op_class, one.figure.removesuffix("_pct").replace("_", " "), f"{one.percent:.2f}"
        )
    return table


def terms_table(report: ValidationReport) -> Table:
    """The mean predicted terms of each source, in % of the measured time; they sum to 100 + bias."""
    table = _table("Predicted terms, mean % of the measured step")
    labels = list(dict.fromkeys(label for source in report.sources for label in source.terms_percent))
    labels = [label for label in labels if any(source.terms_percent.get(label) for source in report.sources)]
    for label in labels:
        table.add_column(label, justify="right")
    for source in report.sources:
        if source.terms_percent:
            table.add_row(source.source, *(f"{source.terms_percent[label]:.1f}" for label in labels))
    return table


def residuals_table(report: ValidationReport) -> Table:
    """For each term the factor that would leave the least squared error, and the mean absolute error then."""
    table = _table("Residuals by term: best factor on one term alone, and the mean abs % left then")
    labels = list(dict.fromkeys(label for source in report.sources for label in source.residuals_by_term))
    for label in labels:
        table.add_column(label, justify="right")
    for source in report.sources:
        if source.residuals_by_term:
            found = (source.residuals_by_term.get(label) for label in labels)
            cells = (
                f"x{one['scale']:.2f} {one['mean_absolute_error_percent']:.1f}" if one else NO_FIGURE for one in found
            )
            table.add_row(source.source, *cells)
    return table


def rows_table(title: str, rows: list[Row]) -> Table:
    """Predicted and measured seconds of each row."""
    table = _table(title, "row")
    for heading in ("measured s", "predicted s", "error %"):
        table.add_column(heading, justify="right")
    table.add_column("", overflow="fold")
    for row in rows:
        remark = "a constant was fitted to it: not in the means" if row.fitted else ""
        remark = remark or (row.stand_in and f"{row.stand_in}: another plan, not in the means")
        if row.feasible is False:
            remark = ", ".join(filter(None, (remark, "memory model: does not fit")))
        table.add_row(
            row.name, f"{row.measured_s:.4g}", f"{row.predicted_s:.4g}", _number(row.error_percent, "{:+.1f}"), remark
        )
    return table


def missing_table(rows: list[Row]) -> Table:
    """Rows that are not predicted yet, and what they wait for."""
    table = _table("Not predicted: the plan is not built yet")
    table.add_column("row")
    table.add_column("reason", overflow="fold")
    for row in rows:
        table.add_row(row.source, " ".join(filter(None, (row.name, row.stand_in))), row.reason)
    return table


def _table(title: str, first: str = "source") -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    return table


def _number(value: float | None, form: str) -> str:
    return NO_FIGURE if value is None else form.format(value)

"""`rehearse validate`: predicts bundled published measurements and prints the residuals."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from simulator.cli.output import Json, Progress, check_writable, print_json

WORKERS, MANY_ROWS = 2, 30
"""Processes, where there are rows enough to pay for starting them."""
FILE_WIDTH = 160
"""Columns of the tables where they are not read on a terminal."""


def validate(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source only; default all.")] = None,
    as_json: Json = False,
    report: Annotated[str | None, typer.Option(metavar="R.html", help="Write an HTML page.")] = None,
    without: Annotated[
        bool, typer.Option("--leave-one-out", help="Fit anew without each source, predict it again (minutes).")
    ] = False,
) -> None:
    """Predict published measurements and print the residuals of each source."""
    check_writable(report, "--report")
    if without:
        _leave_one_out(source, as_json)
        return
    from simulator.validation import load_cases
    from simulator.validation import validate as run
    from simulator.validation.sources import SOURCES

    names = SOURCES if source is None else (source,)
    total = sum(len(load_cases(name)) for name in names)
    with Progress(total, quiet=as_json, of="validate") as progress:
        found = run(
            source,
            workers=WORKERS if total > MANY_ROWS else 1,
            on_row=lambda row, done, rows: progress.step(f"{row.source} {row.name}"),
        )
    if report is not None:
        from simulator.report.html import write_report
        from simulator.report.parity import answer, validation_blocks

        write_report(
            (), report, title="Predictions against published measurements", notes=(answer(found),),
            blocks=validation_blocks(found), command=("rehearse", *sys.argv[1:]),
        )  # fmt: skip
    if as_json:
        print_json(found.to_dict())
        return
    from rich.console import Console

    from simulator.validation.tables import print_report

    console = Console()
    print_report(found, console if console.is_terminal else Console(width=FILE_WIDTH))


def _leave_one_out(source: str | None, as_json: bool) -> None:
    """Each source's error with all constants, and with those that its own rows did not help to set."""
    from dataclasses import asdict

    from simulator.errors import ScenarioError
    from simulator.registry import published_fits

    fits = published_fits()
    known = fits.sources_left_out()
    pairs = [pair for pair in known if source in (None, pair[0])]
    if not pairs:
        names = ", ".join(name for name, _ in known)
        raise ScenarioError(f"no constant was fitted to rows of {source!r}; use one of {names}", key="source")
    found = []
    with Progress(len(pairs), quiet=as_json, of="leave one out") as progress:
        for pair in pairs:
            found.append(fits.outcome(*pair))
            progress.step(pair[0])
    if as_json:
        print_json({"left_out": [{**asdict(one), "within": one.is_within} for one in found]})
        return
    for one in found:
        print(f"{one.source}: {one.percent_with:.2f} % of {one.rows} rows, without its own {one.percent_without:.2f} %")
        if not one.is_within:
            print("  more than half as much again")
        elif one.percent_without > fits.ALLOWED_RISE * one.percent_with:
            print("  more than half as much again, but not for every measurement that rounds to the published digits")

"""`rehearse validate`: predicts bundled published measurements and prints the residuals."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from simulator.cli.output import Json, Progress, check_writable, print_json

FILE_WIDTH = 160
"""Columns of the tables where they are not read on a terminal."""


def validate(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source only; default all.")] = None,
    as_json: Json = False,
    report: Annotated[str | None, typer.Option(metavar="R.html", help="Write an HTML page.")] = None,
) -> None:
    """Predict published measurements and print the residuals of each source."""
    check_writable(report, "--report")
    from simulator.validation import load_cases
    from simulator.validation import validate as run
    from simulator.validation.sources import SOURCES

    names = SOURCES if source is None else (source,)
    total = sum(len(load_cases(name)) for name in names)
    with Progress(total, quiet=as_json, of="validate") as progress:
        found = run(source, on_row=lambda row, done, rows: progress.step(f"{row.source} {row.name}"))
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

"""`rehearse validate`: predicts bundled published measurements and prints the residuals."""

from __future__ import annotations

from typing import Annotated

import typer

from simulator.cli.output import Json, Progress, print_json
from simulator.errors import NotSupportedYet

FILE_WIDTH = 160
"""Columns of the tables where they are not read on a terminal."""


def validate(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source only; default all.")] = None,
    as_json: Json = False,
    report: Annotated[str | None, typer.Option(metavar="R.html", help="Not supported yet.")] = None,
) -> None:
    """Predict published measurements and print the residuals of each source."""
    if report is not None:
        raise NotSupportedYet("a report of the validation is not supported yet; use --json", key="--report")
    from simulator.validation import load_cases
    from simulator.validation import validate as run
    from simulator.validation.sources import SOURCES

    names = SOURCES if source is None else (source,)
    total = sum(len(load_cases(name)) for name in names)
    with Progress(total, quiet=as_json, of="validate") as progress:
        found = run(source, on_row=lambda row, done, rows: progress.step(f"{row.source} {row.name}"))
    if as_json:
        print_json(found.to_dict())
        return
    from rich.console import Console

    from simulator.validation.tables import print_report

    console = Console()
    print_report(found, console if console.is_terminal else Console(width=FILE_WIDTH))

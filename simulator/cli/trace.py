"""`rehearse trace`: the timeline of one scenario as a file for Perfetto."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from simulator.cli.output import Sets, check_writable
from simulator.cli.simulate import predicted
from simulator.errors import NotSupportedYet, ScenarioError

FORMATS = ("perfetto",)
NOT_BUILT = ("kineto",)


def trace(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A scenario; - is standard input.")],
    out: Annotated[str, typer.Option(metavar="T.json.gz", help="Where to write; .gz compresses.")],
    sets: Sets = None,
    format: Annotated[str, typer.Option(help="perfetto; kineto is not supported yet.")] = "perfetto",
) -> None:
    """Write the predicted timeline for ui.perfetto.dev."""
    if format in NOT_BUILT:
        raise NotSupportedYet(f"format {format} is not supported yet; use perfetto", key="--format")
    if format not in FORMATS:
        raise ScenarioError(f"{format!r} is not a format; use perfetto", key="--format")
    check_writable(out, "--out")
    from simulator.report.trace import write_trace

    result = predicted(file, sets or ())
    write_trace(result, out)
    print(f"{out}: {len(result.graph):,} ops; open it in ui.perfetto.dev", file=sys.stderr)

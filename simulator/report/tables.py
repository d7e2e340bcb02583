"""Results on a terminal: a table that fits 80 columns, and for a single result where its step goes.

Written through rich: coloured on a terminal, plain and aligned in a pipe.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.report import format
from simulator.report.breakdown import parts, unique_names
from simulator.report.embedding import embedding_lines, embedding_table
from simulator.report.palette import SOURCE, memory_look
from simulator.report.ruled import ruled_table
from simulator.report.study_tables import study_table
from simulator.report.words import num_samples
from simulator.units import GIB

__all__ = ["as_text", "print_to", "simulation_table", "study_table"]

WIDTH = 80
"""Columns of anything that is not a terminal."""
MAX_WARNINGS = 4
BAR = 24
"""Characters of a full bar."""


def simulation_table(results: Any) -> Group:
    """What `simulate` prints: one row for each result in the order given; of a single one the breakdown too.

    Returns a rich renderable; `print_to` and `as_text` write it.
    """
    found = list(results) if isinstance(results, Sequence) else [results]
    pieces: list[Any] = [_rows(found), Text()]
    for result in found:
        numbers = result.to_dict()
        if not numbers["feasible"]:
            name = f"{numbers['name']}: " if len(found) > 1 else ""
            pieces.append(_text(f"{name}does not fit: {numbers['reason']}", "bold red"))
    if not all(result.feasible for result in found):
        pieces.append(Text())
    if len(found) == 1:
        pieces += _details(found[0])
    return Group(*pieces, *_warnings(found))


def _warnings(results: Sequence[Any]) -> list[Any]:
    """Each warning once; the first few, for they can be many and the shares of the sources tell their weight."""
    said = list(dict.fromkeys(warning for result in results for warning in result.warnings))
    shown = [_text(f"warning: {warning}", "yellow") for warning in said[:MAX_WARNINGS]]
    if len(said) > MAX_WARNINGS:
        shown.append(_text(f"... and {len(said) - MAX_WARNINGS} more warnings; --json and --report have them all"))
    return shown


def _rows(results: Sequence[Any]) -> Table:
    table = ruled_table(gap=1)
    table.add_column("name", overflow="fold", min_width=10)
    for title in ("step", "samples/s", "tokens/s", "MFU", "busy"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("GiB / limit", justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    all_numbers = [result.to_dict() for result in results]
    names = unique_names([numbers["name"] for numbers in all_numbers])
    for name, numbers in zip(names, all_numbers, strict=True):
        memory = numbers["memory_bytes"]
        table.add_row(
            escape(name),
            format.duration(numbers["step_time_s"]),
            format.quantity(numbers["samples_per_s"]),
            format.quantity(numbers["tokens_per_s"]),
            format.percent(numbers["mfu"]),
            format.percent(numbers["utilization"]["busy"]),
            f"{_gib(memory['peak_max'])} / {_gib(memory['limit'])}",
            "yes" if numbers["feasible"] else Text("no", "bold red"),
        )
    return table


def _gib(count: int | None) -> str:
    return format.UNKNOWN if count is None else format.significant(count / GIB)


def _details(result: Any) -> list[Any]:
    """Interval, breakdown, memory by kind, sources and warnings of one result."""
    numbers = result.to_dict()
    pieces: list[Any] = []
    if samples := num_samples(result):
        low, high = (format.duration(numbers[key]) for key in ("step_time_s_p5", "step_time_s_p95"))
        pieces.append(_text(f"step time, 90 % interval of {samples} samples: {low} to {high}"))
    table = ruled_table()
    table.add_column("where the step goes", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for part in parts(numbers["breakdown_s"]):
        if part.seconds > 0:
            bar = "#" * round(part.share * BAR)
            table.add_row(part.look.words, format.duration(part.seconds), format.percent(part.share), f" {bar}")
    pieces += [table, Text()]
    if plan := numbers.get("embedding_plan"):
        pieces += [embedding_table(plan), *map(_text, embedding_lines(plan)), Text()]
    memory = numbers["memory_bytes"]
    kinds = ", ".join(
        f"{memory_look(kind).words} {format.bytes_text(count)}" for kind, count in memory["by_kind"].items() if count
    )
    pieces.append(_text(f"memory: {kinds}"))
    shares = ", ".join(
        f"{source} {format.percent(share)}"
        for source in SOURCE
        if (share := numbers["provenance"].get(source, 0.0)) > 0
    )
    pieces.append(_text(f"costs: {shares or 'none'} of the simulated busy time"))
    return pieces


def _text(text: str, style: str = "") -> Padding:
    """A paragraph whose later lines are indented by nothing and never cut."""
    return Padding(Text(text, style=style), 0)


def print_to(console: Console, renderable: Any) -> None:
    """Prints without colour and at `WIDTH` columns where the console is not a terminal."""
    if console.is_terminal:
        console.print(renderable)
    else:
        console.file.write(as_text(renderable))


def as_text(renderable: Any, width: int = WIDTH) -> str:
    """Plain text, no colours, no trailing blanks, the same on every machine."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(renderable)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"

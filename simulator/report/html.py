"""The report: one HTML file that answers first, explains after, and opens from a USB stick.

plotly.js is inlined once; a Content-Security-Policy in the page itself forbids every request. Same results, same bytes:
element ids are fixed, there is no time of day, and no path of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report import words
from simulator.report.breakdown import unique_names
from simulator.report.palette import MEMORY, SOURCE, TIME
from simulator.report.ranking import comparison_table, detailed, leagues
from simulator.report.sections import Figures, section
from simulator.report.study_tables import numeric_columns, study_cell
from simulator.version import __version__

if TYPE_CHECKING:
    import plotly.graph_objects as go

TOTAL_SLICES = 10_000
"""Slices of all timelines of a page together: what a browser still draws without a pause."""
MAX_DETAILED = 12
"""Results with a section of their own; the others are in the table and the first chart."""


@dataclass(frozen=True)
class Block:
    """A piece of the page that somebody else adds (a study's own table or chart).

    header and rows: a table of texts. figure: a plotly figure with `alt`, one sentence that says what it shows.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figure: go.Figure | None = None
    alt: str = ""


def study_block(title: str, rows: Sequence[Mapping[str, Any]], *paragraphs: str) -> Block:
    """A study's rows (`study_tables.study_table`) as a section; a key that a row lacks is an empty cell."""
    header = tuple(dict.fromkeys(key for row in rows for key in row))
    return Block(
        title, paragraphs, header, tuple(tuple(study_cell(row.get(key, "")) for key in header) for row in rows)
    )


def write_report(results: Any, path: str | Path, **options: Any) -> None:
    """Writes the report of one result, or of several, to `path`. Options: see `report_html`."""
    Path(path).write_text(report_html(results, **options), encoding="utf-8", newline="\n")


def report_html(
    results: Any,
    *,
    title: str | None = None,
    command: Sequence[str] = (),
    date: str | None = None,
    notes: Sequence[str] = (),
    blocks: Sequence[Block] = (),
) -> str:
    """The page as text.

    results: one Result or a sequence (empty where blocks are all there is, under a title). title: the heading; by
    default the names. command: the words that were typed, printed in the footer with every absolute path cut to its
    last part. date: printed as given; nothing asks a clock. notes: sentences that answer a study's question, in place
    of who is the fastest. blocks: the study's own sections, right after.
    """
    import jinja2
    import plotly.offline

    found = list(results) if isinstance(results, Sequence) else [results]
    if not found and not (blocks and title):
        raise ValueError("a report needs at least one result, or blocks and a title")
    figures = Figures()
    groups = leagues(found)
    shown = detailed(groups, MAX_DETAILED)
    names = unique_names([result.name for result in shown])
    links = {id(result): f"r{place}" for place, result in enumerate(shown)}
    page = {
        "title": title or (names[0] if len(found) == 1 else f"{len(found)} results compared"),
        "notes": [words.sentence(note) for note in notes],
        "comparison": comparison_table(groups, links, figures) if len(found) > 1 else None,
        "blocks": [_block(block, f"block{place}", figures) for place, block in enumerate(blocks)],
        "sections": [
            section(result, name, links[id(result)], TOTAL_SLICES // len(shown), figures)
            for result, name in zip(shown, names, strict=True)
        ],
        "left_out": len(found) - len(shown),
        "looks": list(_swatches()),
        "command": command_text(command),
        "date": date,
        "version": __version__,
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("simulator.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figure_json = "[" + ",\n".join(f"[{json.dumps(name)},{text}]" for name, text in figures.texts) + "]"
    return environment.get_template("report.html.j2").render(
        page=page, figures=figure_json, plotly_js=plotly.offline.get_plotlyjs()
    )


def command_text(command: Sequence[str]) -> str:
    """What was typed, without where this machine keeps its files: absolute paths are cut to their last part."""
    shown = []
    for word in command:
        key, equals, value = word.rpartition("=")
        shown.append(key + equals + (Path(value).name if Path(value).is_absolute() else value))
    return " ".join(shown)


def _swatches():
    """Every look once, with the id of its pattern in the page."""
    tables = (("time", TIME), ("memory", MEMORY), ("source", SOURCE))
    for table, looks in tables:
        for key, look in looks.items():
            yield {"id": f"{table}-{key}", "colour": look.colour, "pattern": look.pattern}


def _block(block: Block, element: str, figures: Figures) -> dict[str, Any]:
    figure = figures.add(element, block.figure, block.alt or block.title) if block.figure is not None else None
    return {
        "title": block.title,
        "paragraphs": block.paragraphs,
        "header": block.header,
        "rows": block.rows,
        "numeric": numeric_columns(block.rows),
        "figure": figure,
    }

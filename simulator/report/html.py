"""The report: one HTML file that answers first, explains after, and opens from a USB stick.

plotly.js is inlined once; a Content-Security-Policy in the page itself forbids every request. Same results, same bytes:
element ids are fixed, there is no time of day, and no path of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report import format, words
from simulator.report.breakdown import breakdown_figure, parts, results_figure, same_batch, unique_names
from simulator.report.memory import memory_figure
from simulator.report.palette import MEMORY, SOURCE, TIME, Look, memory_look
from simulator.report.timeline_chart import MAX_BANDS, draw, drawn_ranks, heat_figure, timeline_figure
from simulator.report.utilization import rank_uses, utilization_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

TOTAL_SLICES = 10_000
"""Slices of all timelines of a page together: what a browser still draws without a pause."""
MAX_DETAILED = 12
"""Results with a section of their own; the others are in the table and the first chart."""
MAX_TABLE_RANKS = 24


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


@dataclass
class _Figures:
    """Figures by the id of their element, as JSON texts, in the order of the page."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, element: str, figure: go.Figure, alt: str, tools: bool = False) -> dict[str, Any]:
        """Keeps the figure and returns what the template needs to place it. tools: with plotly's zoom buttons."""
        import plotly.io

        text = plotly.io.to_json(figure, validate=False, engine="json")
        self.texts.append((element, text.replace("</", "<\\/")))
        return {"id": element, "alt": alt, "height": figure.layout.height, "tools": tools}


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

    results: one Result or a sequence. title: the heading; by default the names. command: the words that were typed,
    printed in the footer with every absolute path cut to its last part. date: printed as given; nothing asks a clock.
    notes: sentences under the answer. blocks: sections after the answer, before the results' own.
    """
    import jinja2
    import plotly.offline

    found = list(results) if isinstance(results, Sequence) else [results]
    if not found:
        raise ValueError("a report needs at least one result")
    figures = _Figures()
    ranked = rank_results(found)
    detailed = ranked[:MAX_DETAILED]
    budget = TOTAL_SLICES // len(detailed)
    names = unique_names([result.to_dict()["name"] for result in ranked])
    page = {
        "title": title or (names[0] if len(found) == 1 else f"{len(found)} plans compared"),
        "notes": [words.sentence(note) for note in notes],
        "comparison": _comparison(ranked, names, figures) if len(found) > 1 else None,
        "blocks": [_block(block, f"block{place}", figures) for place, block in enumerate(blocks)],
        "sections": [
            _section(result, name, f"r{place}", budget, figures)
            for place, (result, name) in enumerate(zip(detailed, names, strict=False))
        ],
        "left_out": len(ranked) - len(detailed),
        "looks": list(_swatches()),
        "command": command_text(command),
        "date": date,
        "version": version(),
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


def rank_results(results: Sequence[Any]) -> list[Any]:
    """What fits first, each in order of samples/s; equal ones stay as given."""
    return sorted(results, key=lambda result: _order(result.to_dict()))


def _order(numbers: dict) -> tuple[bool, float]:
    return (not numbers["feasible"], -(numbers["samples_per_s"] or 0.0))


def version() -> str:
    """The installed distribution's version."""
    try:
        return metadata.version("rehearse")
    except metadata.PackageNotFoundError:
        return "not installed"


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


def _swatch(table: str, key: str, looks: dict[str, Look]) -> str | None:
    return f"{table}-{key}" if key in looks else None


def _comparison(ranked: Sequence[Any], names: Sequence[str], figures: _Figures) -> dict[str, Any]:
    """The table of all results and their breakdowns under each other."""
    all_numbers = [result.to_dict() for result in ranked]
    fits = [numbers for numbers in all_numbers if numbers["feasible"]]
    best = fits[0] if fits else None
    rows = [
        {
            "name": name,
            "feasible": numbers["feasible"],
            "reason": numbers["reason"],
            "cells": (
                _step_cell(numbers, len(result.samples_ns)),
                format.quantity(numbers["samples_per_s"]),
                format.quantity(numbers["tokens_per_s"]),
                format.percent(numbers["mfu"]),
                format.percent(numbers["utilization"]["busy"]),
                f"{format.bytes_text(numbers['memory_bytes']['peak_max'])} of "
                f"{format.bytes_text(numbers['memory_bytes']['limit'])}",
                "" if best is None else f"{numbers['samples_per_s'] / best['samples_per_s']:.2f}×",
            ),
        }
        for result, name, numbers in zip(ranked, names, all_numbers, strict=True)
    ]
    per_step = same_batch(all_numbers)
    alt = "Stacked bars, one for each result: where the time of " + ("a step" if per_step else "a sample") + " goes."
    return {
        "sentence": _best_sentence(ranked, names),
        "rows": rows,
        "figure": figures.add("all-breakdowns", results_figure(ranked), alt),
    }


def _step_cell(numbers: dict, num_samples: int) -> str:
    text = format.duration(numbers["step_time_s"])
    if num_samples:
        text += f" ({format.duration(numbers['step_time_s_p5'])} to {format.duration(numbers['step_time_s_p95'])})"
    return text


def _best_sentence(ranked: Sequence[Any], names: Sequence[str]) -> str:
    all_numbers = [result.to_dict() for result in ranked]
    fitting = sum(numbers["feasible"] for numbers in all_numbers)
    if not fitting:
        return f"None of the {len(ranked)} plans fits into memory; the reasons are in the table."
    best = all_numbers[0]
    text = f"{names[0]} is the fastest: {format.rate(best['samples_per_s'], 'samples/s')}"
    if best["mfu"] is not None:
        text += f" at {format.percent(best['mfu'])} MFU"
    if fitting > 1:
        gain = best["samples_per_s"] / all_numbers[1]["samples_per_s"]
        text += f", {gain:.2f} times the next ({names[1]})"
    if fitting < len(ranked):
        text += f"; {len(ranked) - fitting} of {len(ranked)} do not fit into memory"
    return text + "."


def _block(block: Block, element: str, figures: _Figures) -> dict[str, Any]:
    figure = figures.add(element, block.figure, block.alt or block.title) if block.figure is not None else None
    return {
        "title": block.title,
        "paragraphs": block.paragraphs,
        "header": block.header,
        "rows": block.rows,
        "figure": figure,
    }


def _section(result: Any, name: str, prefix: str, budget: int, figures: _Figures) -> dict[str, Any]:
    """Everything about one result that the template prints."""
    numbers = result.to_dict()
    return {
        "id": prefix,
        "name": name,
        "answer": words.answer(numbers, len(result.samples_ns)),
        "fit": words.fit(numbers),
        "feasible": numbers["feasible"],
        "loss": words.largest_loss(numbers),
        "tiles": _tiles(numbers, len(result.samples_ns)),
        "asked": words.asked(result.scenario),
        "breakdown": _breakdown(result, numbers, prefix, figures),
        "memory": _memory(result, numbers, prefix, figures),
        "timeline": _timeline(result, numbers, prefix, budget, figures),
        "utilization": _utilization(result, prefix, figures),
        "trust": _trust(result, numbers),
        "identity": [
            ("run", numbers["run_id"]),
            ("program", numbers["program_digest"]),
            ("timeline", numbers["timeline_digest"]),
            ("engine", numbers["engine"]),
            ("seed", str(numbers["seed"])),
            ("ranks", f"{numbers['ranks']:,} ({numbers['ranks_simulated']:,} simulated)"),
            ("ops", f"{numbers['ops']:,}"),
        ],
    }


def _tiles(numbers: dict, num_samples: int) -> list[tuple[str, str, str]]:
    """(label, value, remark)."""
    memory = numbers["memory_bytes"]
    interval = ""
    if num_samples:
        interval = f"{format.duration(numbers['step_time_s_p5'])} to {format.duration(numbers['step_time_s_p95'])}"
    share = memory["peak_max"] / memory["limit"] if memory["limit"] else None
    achieved = numbers["model_flops_per_gpu_per_s"]
    return [
        ("step time", format.duration(numbers["step_time_s"]), interval),
        ("samples/s", format.quantity(numbers["samples_per_s"]), ""),
        ("tokens/s", format.quantity(numbers["tokens_per_s"]), ""),
        ("MFU", format.percent(numbers["mfu"]), f"{format.flops_per_s(achieved)} a device" if achieved else ""),
        ("devices busy", format.percent(numbers["utilization"]["busy"]),
         f"computing {format.percent(numbers['utilization']['compute'])}"),
        ("peak memory", format.bytes_text(memory["peak_max"]),
         f"{format.percent(share)} of {format.bytes_text(memory['limit'])}" if share is not None else ""),
    ]  # fmt: skip


def _breakdown(result: Any, numbers: dict, prefix: str, figures: _Figures) -> dict[str, Any]:
    found = parts(numbers)
    shown = [part for part in found if part.seconds > 0]
    return {
        "figure": figures.add(
            f"{prefix}-breakdown", breakdown_figure(result), "One bar: the step, parted by what fills it."
        ),
        "rows": [
            {
                "swatch": _swatch("time", part.kind, TIME),
                "words": part.look.words,
                "time": format.duration(part.seconds),
                "share": format.percent(part.share),
                "meaning": part.look.meaning,
            }
            for part in shown
        ],
        "total": format.duration(sum(part.seconds for part in found)),
        "absent": words.joined([part.look.words for part in found if part.seconds <= 0]),
    }


def _memory(result: Any, numbers: dict, prefix: str, figures: _Figures) -> dict[str, Any]:
    memory = numbers["memory_bytes"]
    peak, limit = memory["peak_max"], memory["limit"]
    alt = f"One bar: {format.bytes_text(peak)} by kind, against the limit of {format.bytes_text(limit)}."
    rows = [
        {
            "swatch": _swatch("memory", kind, MEMORY),
            "words": memory_look(kind).words,
            "size": format.bytes_text(count),
            "share": format.percent(count / peak if peak else None),
            "meaning": memory_look(kind).meaning,
        }
        for kind, count in memory["by_kind"].items()
    ]
    free = "n/a" if not limit else format.bytes_text(abs(limit - peak)) + (" free" if limit >= peak else " too much")
    return {
        "figure": figures.add(f"{prefix}-memory", memory_figure(result), alt),
        "rows": rows,
        "total": format.bytes_text(peak),
        "limit": format.bytes_text(limit),
        "free": free,
    }


def _timeline(result: Any, numbers: dict, prefix: str, budget: int, figures: _Figures) -> dict[str, Any]:
    graph = result.timeline.graph
    drawing = draw(result.timeline, budget)
    shown = len(drawing.ranks)
    caption = [
        f"{shown} of {len(graph.ranks)} simulated ranks are drawn."
        if shown < len(graph.ranks)
        else f"Each band is a rank; {numbers['ranks_simulated']:,} simulated, {numbers['ranks']:,} in all."
    ]
    caption.append("Compute is the thick bar, communication the thin ones below it.")
    if drawing.pixel_ns:
        pixel = format.duration(drawing.pixel_ns / 1e9)
        caption.append(f"Ops shorter than {pixel} are merged with their neighbours; --trace writes every one.")
    caption.append("Drag to zoom, double-click to come back.")
    alt = "Bars over time, one band for each rank: forward, backward and communication of one step."
    heat = None
    if len(graph.ranks) > MAX_BANDS:
        heat_alt = "Heat map: how busy the compute stream of every rank is over time."
        heat = figures.add(f"{prefix}-heat", heat_figure(result), heat_alt, tools=True)
    return {
        "figure": figures.add(f"{prefix}-timeline", timeline_figure(result, budget), alt, tools=True),
        "caption": " ".join(caption),
        "heat": heat,
    }


def _utilization(result: Any, prefix: str, figures: _Figures) -> dict[str, Any]:
    uses = rank_uses(result)
    by_rank = {use.rank: use for use in uses}
    chosen = drawn_ranks(tuple(by_rank), MAX_TABLE_RANKS)
    alt = "Bars, one for each rank: share of the step spent computing, communicating only, and idle."
    return {
        "figure": figures.add(f"{prefix}-utilization", utilization_figure(result), alt),
        "rows": [
            {
                "rank": rank,
                "stands_for": by_rank[rank].stands_for,
                "compute": format.percent(by_rank[rank].compute),
                "busy": format.percent(by_rank[rank].busy),
                "idle": format.percent(1 - by_rank[rank].busy),
            }
            for rank in chosen
        ],
        "left_out": len(uses) - len(chosen),
    }


def _trust(result: Any, numbers: dict) -> dict[str, Any]:
    shares = numbers["provenance"]
    rows = [
        {
            "swatch": f"source-{source}",
            "words": look.words,
            "share": format.percent(shares.get(source, 0.0)),
            "width": f"{100 * shares.get(source, 0.0):.2f}",
            "meaning": look.meaning,
        }
        for source, look in SOURCE.items()
    ]
    return {"rows": rows, "warnings": [words.sentence(warning) for warning in result.warnings]}

"""What the page says about one result, as plain values for the template; every number is formatted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.report import format, words
from simulator.report.breakdown import breakdown_figure, parts
from simulator.report.drawing import MAX_BANDS, draw, drawn_ranks
from simulator.report.embedding import embedding_section
from simulator.report.heat_map import heat_figure
from simulator.report.memory import memory_figure
from simulator.report.memory_time import memory_heat_figure, memory_time_figure
from simulator.report.palette import MEMORY, SOURCE, TIME, Look, memory_look
from simulator.report.rank_use import rank_uses, utilization_figure
from simulator.report.timeline_chart import timeline_figure
from simulator.units import NS_PER_S

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from simulator.graph.expand import LinkUse

MAX_TABLE_RANKS = 24
MAX_TABLE_LINKS = 12


@dataclass
class Figures:
    """Figures by the id of their element, as JSON texts, in the order of the page."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, element: str, figure: go.Figure, alt: str, tools: bool = False) -> dict[str, Any]:
        """Keeps the figure and returns what the template needs to place it. tools: with plotly's zoom buttons."""
        import plotly.io

        text = plotly.io.to_json(figure, validate=False, engine="json")
        self.texts.append((element, text.replace("</", "<\\/")))
        return {"id": element, "alt": alt, "height": figure.layout.height, "tools": tools}


def section(result: Any, name: str, prefix: str, budget: int, figures: Figures) -> dict[str, Any]:
    """Everything about one result that the template prints."""
    numbers = result.to_dict()
    return {
        "id": prefix,
        "name": name,
        "answer": words.answer(numbers, words.num_samples(result)),
        "fit": words.fit(numbers),
        "feasible": numbers["feasible"],
        "loss": words.largest_loss(numbers),
        "tiles": _tiles(numbers, words.num_samples(result)),
        "asked": (*words.asked(result.scenario), *words.moved(getattr(result, "moves", ()))),
        "breakdown": _breakdown(result, numbers, prefix, figures),
        "memory": _memory(result, numbers, prefix, figures),
        "timeline": _timeline(result, numbers, prefix, budget, figures),
        "utilization": _utilization(result, prefix, figures),
        "links": _links(result),
        "embedding": embedding_section(numbers.get("embedding_plan"), prefix, figures),
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


def _tiles(numbers: dict, samples: int) -> list[tuple[str, str, str]]:
    """(label, value, remark)."""
    memory = numbers["memory_bytes"]
    interval = ""
    if samples:
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


def _breakdown(result: Any, numbers: dict, prefix: str, figures: Figures) -> dict[str, Any]:
    found = parts(numbers["breakdown_s"])
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


def _memory(result: Any, numbers: dict, prefix: str, figures: Figures) -> dict[str, Any]:
    memory = numbers["memory_bytes"]
    peak, limit = memory["peak_max"], memory["limit"]
    alt = f"A bar for each rank; the fullest holds {format.bytes_text(peak)} of {format.bytes_text(limit)}."
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
        **_memory_over_time(result, prefix, figures),
    }


def _memory_over_time(result: Any, prefix: str, figures: Figures) -> dict[str, Any]:
    """Nothing for a result that knows only its peak."""
    if not hasattr(result, "memory_curve"):
        return {"over_time": None, "heat": None, "caption": ""}
    fullest, curve = result.memory.tightest, result.fullest_curve
    action = f"during {curve.peak.action}" if curve.peak.action else "between steps"
    caption = (
        f"Rank {fullest.rank}, fullest {action}, from {format.duration(curve.peak.start_ns / NS_PER_S)} to "
        f"{format.duration(curve.peak.end_ns / NS_PER_S)}; each moment is drawn as full as its action gets. "
    ) + _reserve_words(result.memory_reserve(fullest.rank), fullest)
    alt = "Areas over time: what the fullest rank holds of each kind, and the limit of its device."
    heat = None
    if len(result.memory.per_rank) > 1:
        heat_alt = "Heat map: how full every rank is over time, in per cent of its limit."
        heat = figures.add(f"{prefix}-memory-heat", memory_heat_figure(result), heat_alt, tools=True)
    figure = figures.add(f"{prefix}-memory-time", memory_time_figure(result), alt, tools=True)
    return {"over_time": figure, "heat": heat, "caption": caption}


def _reserve_words(reserve: dict[str, int], fullest: Any) -> str:
    """What is taken beside the tensors, and whether it is more than is left."""
    if not reserve["allocator"]:
        return ""
    more = format.bytes_text(reserve["allocator"])
    text = f"PyTorch's caching allocator would keep {more} more in gaps and rounding (a model; tensor sizes assumed)"
    if fullest.limit >= fullest.peak > fullest.limit - reserve["allocator"]:
        return (
            text + ", which is more than is left: it gives unused segments back, at a cost of time; "
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True avoids most of it."
        )
    return text + "."


def _timeline(result: Any, numbers: dict, prefix: str, budget: int, figures: Figures) -> dict[str, Any]:
    ranks = result.timeline.ranks
    drawing = draw(result.timeline, budget)
    shown = len(drawing.ranks)
    caption = [
        f"{shown} of {len(ranks)} simulated ranks are drawn."
        if shown < len(ranks)
        else f"Each band is a rank; {numbers['ranks_simulated']:,} simulated, {numbers['ranks']:,} in all."
    ]
    caption.append("Compute is the thick bar, communication the thin ones below it.")
    if drawing.pixel_ns:
        pixel = format.duration(drawing.pixel_ns / 1e9)
        caption.append(f"Some ops shorter than {pixel} are merged with their neighbours and drawn as long as they ran;")
        caption.append("the trace file (--trace) has every one.")
    caption.append("Drag to zoom, double-click to come back.")
    alt = "Bars over time, one band for each rank: forward, backward and communication of one step."
    heat = None
    if len(ranks) > MAX_BANDS:
        heat_alt = "Heat map: how busy the compute stream of every rank is over time."
        heat = figures.add(f"{prefix}-heat", heat_figure(result), heat_alt, tools=True)
    return {
        "figure": figures.add(f"{prefix}-timeline", timeline_figure(result, budget), alt, tools=True),
        "caption": " ".join(caption),
        "heat": heat,
    }


def _utilization(result: Any, prefix: str, figures: Figures) -> dict[str, Any]:
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


def _links(result: Any) -> list[dict[str, str]]:
    """The busiest links, one of each class of alike ones; classes that carry as much of as much share a row."""
    alike: dict[tuple[int, int], list[LinkUse]] = {}
    for use in result.busiest_links:
        alike.setdefault((use.capacity_bytes_per_s, use.size_bytes), []).append(use)
    return [
        {
            "link": f"{first.link} and {len(others)} more" if others else first.link,
            "capacity": format.bytes_per_s(first.capacity_bytes_per_s),
            "size": format.bytes_text(first.size_bytes),
            "share": format.percent(first.share(result.timeline.step_ns)),
        }
        for first, *others in list(alike.values())[:MAX_TABLE_LINKS]
    ]


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


def _swatch(table: str, key: str, looks: dict[str, Look]) -> str | None:
    return f"{table}-{key}" if key in looks else None

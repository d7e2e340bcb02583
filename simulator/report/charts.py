"""What all figures share: fonts, margins, and the horizontal stacked bar most of them are.

Figures are plain plotly objects made by pure functions of a result; only `html.py` knows that they end up in a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from simulator.report.palette import BLACK, BLUE, VERMILION, Look

FONT = {"family": "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif", "size": 13, "color": "#1A1A1A"}
GRID = "#DDDDDD"
DARK = (BLACK, BLUE, VERMILION)
"""Fills on which text is white."""


@dataclass(frozen=True)
class Series:
    """One colour of a stacked bar: a value and a text for each row; `inside` is written in the bar where it fits."""

    look: Look
    values: Sequence[float]
    hover: Sequence[str]
    inside: Sequence[str]


def marker(look: Look) -> dict:
    """Fill, pattern and a thin dark edge, so that neighbours part in black and white."""
    dots = {"shape": look.pattern, "size": 7, "solidity": 0.25, "fgcolor": "#FFFFFF" if look.colour in DARK else BLACK}
    return {
        "color": look.colour,
        "line": {"color": "#FFFFFF", "width": 1},
        "pattern": dots | {"fillmode": "overlay"} if look.pattern else {"shape": ""},
    }


def layout(height: int, **more) -> go.Layout:
    """An empty layout in the report's style; no template, so that nothing unstated is drawn."""
    base = {
        "template": None,
        "height": height,
        "font": FONT,
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "margin": {"l": 60, "r": 20, "t": 10, "b": 40},
        "hoverlabel": {"font": FONT, "bgcolor": "#FFFFFF", "bordercolor": "#555555", "align": "left"},
        "showlegend": False,
        "dragmode": "zoom",
    }
    return go.Layout(**(base | more))


def value_axis(title: str, **more) -> dict:
    """A numeric axis with its unit in the title."""
    axis = {"title": {"text": title, "standoff": 8}, "gridcolor": GRID, "zeroline": False, "ticks": "outside"}
    return axis | {"tickcolor": GRID, "automargin": True} | more


def stacked_bars(rows: Sequence[str], series: Iterable[Series], *, title: str, height: int, **more) -> go.Figure:
    """Rows from top to bottom, each a bar of the series in order; the legend is the caller's business.

    Texts on a patterned fill are annotations on white, or nobody could read them.
    """
    figure = go.Figure(layout=layout(height, barmode="stack", bargap=0.3, **more))
    left = [0.0] * len(rows)
    notes = []
    for one in series:
        if one.look.pattern:
            notes += [
                {
                    "x": begin + value / 2,
                    "y": row,
                    "text": text,
                    "showarrow": False,
                    "bgcolor": "#FFFFFF",
                    "borderpad": 1,
                }
                for begin, value, row, text in zip(left, one.values, rows, one.inside, strict=True)
                if text
            ]
        left = [begin + value for begin, value in zip(left, one.values, strict=True)]
        figure.add_bar(
            name=one.look.words,
            orientation="h",
            y=list(rows),
            x=list(one.values),
            marker=marker(one.look),
            text=[] if one.look.pattern else list(one.inside),
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#FFFFFF" if one.look.colour in DARK else "#000000"},
            constraintext="none",
            hovertext=list(one.hover),
            hoverinfo="text",
        )
    figure.update_layout(annotations=notes)
    figure.update_xaxes(value_axis(title))
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", type="category")
    return figure

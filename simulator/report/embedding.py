"""The plan of the sparse tables for readers: in TorchRec's columns, on a terminal and in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.report import format
from simulator.report.palette import SKY
from simulator.report.ruled import ruled_table

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from rich.table import Table

SHOWN_TABLES = 8
"""On a terminal, those that cost most."""
MAX_TABLES, MAX_RANKS = 200, 64
"""In the report."""
MAP_TABLES, MAP_RANKS = 60, 128
"""Rows and columns of the map."""

TABLE_HEADER = ("Table", "Sharding", "Compute Kernel", "Perf (ms)", "HBM", "DDR", "Pooling Factor", "Num Poolings",
                "Output", "Emb Dim (CW Dim)", "Hash Size", "Ranks")  # fmt: skip
RANK_HEADER = ("Rank", "HBM", "DDR", "Perf (ms)", "Input (MB)", "Output (MB)", "Shards")
LEGEND = (
    "Perf: total (forward compute, forward comms, backward compute, backward comms) of a step, a table's over all its "
    "shards. Input and Output: MB of ids and of vectors in a step. Shards: number of tables."
)
MB = 1e6


def by_cost(plan: dict) -> list[dict]:
    """The tables, those that cost most first; by name where they cost the same."""
    return sorted(plan["tables"], key=lambda table: (-table["perf_s"]["total"], table["table"]))


def found_by(plan: dict) -> str:
    """One sentence: who chose the kinds, and how far from the bound the busiest rank is."""
    planned = plan["planned"]
    if planned is None:
        return "Sharding as the plan states it."
    if not planned["fits"]:
        return f"Sharding auto: no plan fits; the fullest rank is {format.bytes_text(planned['short_bytes'])} short."
    return f"Sharding auto: the busiest rank is within {100 * planned['gap']:.1f} % of what no plan can beat."


def embedding_table(plan: dict) -> Table:
    """For a terminal: the tables that cost most."""
    table = ruled_table()
    table.add_column("embedding table", overflow="fold")
    table.add_column("sharding", no_wrap=True)
    table.add_column("perf ms of all shards (fwd comp,comms,bwd comp,comms)", justify="right", max_width=28)
    for title in ("HBM", "DDR"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("ranks", overflow="fold")
    for one in by_cost(plan)[:SHOWN_TABLES]:
        storage = one["storage_bytes"]
        table.add_row(
            one["table"], one["sharding"], _perf(one["perf_s"]), format.bytes_text(storage["hbm"]),
            format.bytes_text(storage["ddr"]), one["ranks"],
        )  # fmt: skip
    return table


def embedding_lines(plan: dict) -> list[str]:
    """What stands below it."""
    more = len(plan["tables"]) - SHOWN_TABLES
    left_out = [f"... and {more} tables that cost less; --json and --report have them all"] if more > 0 else []
    return [*left_out, found_by(plan)]


def embedding_section(plan: dict | None, prefix: str, figures: Any) -> dict[str, Any] | None:
    """For the page: the map, both tables, and what was left out of them."""
    if plan is None:
        return None
    alt = "Which rank does how much for which embedding table"
    return {
        "found": found_by(plan),
        "legend": LEGEND,
        "map": figures.add(f"{prefix}-sharding", _map(plan), alt),
        "tables": {"header": TABLE_HEADER, "rows": [_table_row(one) for one in by_cost(plan)[:MAX_TABLES]]},
        "ranks": {"header": RANK_HEADER, "rows": [_rank_row(one) for one in plan["ranks"][:MAX_RANKS]]},
        "left_out": max(0, len(plan["tables"]) - MAX_TABLES),
        "ranks_left_out": max(0, len(plan["ranks"]) - MAX_RANKS),
    }


def _table_row(one: dict) -> tuple[str, ...]:
    width = str(one["dim"]) if one["dim"] == one["shard_dim"] else f"{one['dim']} ({one['shard_dim']})"
    hbm, ddr = (format.bytes_text(one["storage_bytes"][kind]) for kind in ("hbm", "ddr"))
    return (one["table"], one["sharding"], one["compute_kernel"], _perf(one["perf_s"]), hbm, ddr,
            f"{one['pooling_factor']:,}", f"{one['num_poolings']:,}", one["output"], width, f"{one['rows']:,}",
            one["ranks"])  # fmt: skip


def _rank_row(one: dict) -> tuple[str, ...]:
    shards = " ".join(f"{kind}: {count}" for kind, count in one["shards"].items())
    return (str(one["rank"]), format.bytes_text(one["hbm_bytes"]), format.bytes_text(one["ddr_bytes"]),
            _perf(one["perf_s"]), f"{one['input_bytes'] / MB:,.2f}", f"{one['output_bytes'] / MB:,.2f}",
            shards)  # fmt: skip


def _perf(perf_s: dict[str, float]) -> str:
    total, *parts = (1e3 * perf_s[key] for key in
                     ("total", "forward_compute", "forward_comms", "backward_compute", "backward_comms"))  # fmt: skip
    return f"{total:.3f} ({','.join(format.significant(part, 2) if part else '0' for part in parts)})"


def _map(plan: dict) -> go.Figure:
    """Tables down, ranks across, as dark as the time that a rank spends on a table."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout

    shown, ranks = by_cost(plan)[:MAP_TABLES], min(len(plan["ranks"]), MAP_RANKS)
    owners = [_members(one["ranks"]) for one in shown]
    cost = [1e3 * one["perf_s"]["total"] / max(1, len(own)) for one, own in zip(shown, owners, strict=True)]
    figure = go.Figure(
        go.Heatmap(
            z=[[float(f"{each:.4g}") if rank in own else None for rank in range(ranks)]
               for each, own in zip(cost, owners, strict=True)],
            x=[str(one["rank"]) for one in plan["ranks"][:ranks]],
            y=[f"{one['table']} {one['sharding']}" for one in shown],
            colorscale=[[0, "#E5F2FA"], [0.5, SKY], [1, "#003B5C"]],
            zmin=0,
            xgap=1,
            ygap=1,
            hovertemplate="%{y} on rank %{x}: %{z} ms<extra></extra>",
            colorbar={"title": {"text": "ms a step", "side": "right"}, "thickness": 14},
        ),
        layout=layout(min(1200, 120 + 18 * len(shown)), margin={"l": 10, "r": 10, "t": 20, "b": 40}),
    )  # fmt: skip
    figure.update_xaxes(title="rank", type="category")
    figure.update_yaxes(autorange="reversed", automargin=True, type="category")
    return figure


def _members(ranks: str) -> set[int]:
    """Of `0-7,12`."""
    found: set[int] = set()
    for run in filter(None, ranks.split(",")):
        first, _, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found

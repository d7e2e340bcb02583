"""What a calibration says at its end: what was measured, how well each fit holds out, what stays extrapolated."""

from __future__ import annotations

from calibration import facts
from calibration.side_by_side import MESSAGE
from simulator.costs import measured
from simulator.costs.between_nodes import TIMED
from simulator.costs.kernels import EMBEDDING_EFFICIENCY, MEMORY_FAMILIES, PASSES
from simulator.costs.pieces import LIKE
from simulator.costs.profile import MACHINE
from simulator.units import format_bytes

DRIFT_LIMIT = 0.03
"""A sentinel that strays further than this makes the whole profile doubtful."""

FAMILIES = (*measured.AXES, *MEMORY_FAMILIES, *PASSES, *EMBEDDING_EFFICIENCY)


def report_lines(record: dict, path: str) -> list[str]:
    """The table, line by line."""
    machine, journal = record["machine"], record["journal"]
    lines = [f"{'kernel or collective':<30} {'points':>6} {'samples':>8} {'held out':>9} {'largest':>9}"]
    lines += [_kernel_row(record, row) for row in _measured(record, "kernels")]
    lines += _collective_rows(record)
    lines += _overlap_rows(record)
    lines += _piece_rows(record)
    lines += _check_rows(record)
    lines += _hull_rows(record)
    lines += [
        "",
        "held out: median error of a point predicted from all others; largest: of the largest, from the rest.",
    ]
    absent = _absent(record)
    lines += [f"not measured, so priced by an assumed rule: {', '.join(absent)}"] if absent else []
    if journal["failed"]:
        lines.append(f"left out: {len(journal['failed'])} points, the first: {next(iter(journal['failed'].items()))}")
    lines += [] if "gpu" in machine else [f"not applicable: {facts.NOT_ON_A_CPU}"]
    what = machine.get("device") or machine["processor"]
    load = f"load {machine['load_before']} before and {machine['load_after']} after"
    lines += ["", f"machine   {what}, {machine['cores']} cores, torch {machine['torch']}, {load}"]
    drift, dirty = machine["sentinel_drift"], machine["contaminated_share"]
    lines.append(f"quality   sentinel drift {drift:.1%}, samples that lost their core {dirty:.1%}")
    if speed := record["fits"].get(MACHINE):
        lines.append(f"          its speed strayed by {speed['error']:.1%} from visit to visit: intervals carry that")
    if drift > DRIFT_LIMIT:
        lines.append(
            f"          the machine drifted by more than {DRIFT_LIMIT:.0%}: something else ran; calibrate again"
        )
    if "unconfirmed" in machine:
        lines.append(
            f"          unconfirmed: {machine['unconfirmed']}; compare a step of yours with `rehearse compare`"
        )
    first = next(iter(record["sources"].values()))
    lines.append(f"source    {first['date']}, {first['command']}")
    lines.append(f"profile   {path}, schema {record['schema_version']}, checksum {record['checksum'][:12]}")
    lines.append(f"          use it with `profile: {path}` in a scenario")
    return lines


def _measured(record: dict, section: str) -> list[dict]:
    return [row for row in record[section] if row["source"] == "together"]


def _kernel_row(record: dict, row: dict) -> str:
    fit = record["fits"].get(f"{row['op']}.{row['dtype']}", {}).get("figures", {})
    name = f"{row['op']} {row['dtype']}"
    return _row(name, len(row["median_ns"]), sum(row["count"]), fit.get("left_out_median_abs_pct"),
                fit.get("largest_median_abs_pct"))  # fmt: skip


def _collective_rows(record: dict) -> list[str]:
    lines = []
    for row in _measured(record, "collectives"):
        nodes = row.get("nodes", 1)
        op_class = f"transfer.{row['tier']}" if row["op"] == "send" else f"collective.{row['tier']}.{row['op']}"
        fit = record["fits"].get(op_class if nodes == 1 else f"{TIMED}{op_class}", {}).get("figures", {})
        largest = fit.get("larger_group_median_abs_pct") if row["group_size"] > 2 else None
        lines.append(_row(_group(row), len(row["median_ns"]), sum(row["count"]),
                          fit.get("between_sizes_median_abs_pct"), largest))  # fmt: skip
    return lines


def _overlap_rows(record: dict) -> list[str]:
    """What compute and something beside it take over what either takes alone, by the message's or the copy's size."""
    lines, seen = [], []
    for kind, own in record["overlap"].items():
        if not own.get("size_bytes") or own in seen:
            continue
        seen.append(own)
        what = kind if kind.startswith("copy") else MESSAGE
        lines += ["", f"{f'side by side ({what})':<30} {'kernels':>10} {'beside':>10}"]
        lines += [
            f"{format_bytes(int(size)):<30} {f'x{compute:.2f}':>10} {f'x{message:.2f}':>10}"
            for size, compute, message in zip(own["size_bytes"], own["compute_at"], own["own_at"], strict=True)
        ]
    return lines


def _piece_rows(record: dict) -> list[str]:
    """Pieces by name; over: how much longer they take than their kernels by themselves."""
    counts: dict[str, list[int]] = {}
    for row in _measured(record, "pieces"):
        counts.setdefault(row["name"], []).append(row["count"])
    if not counts:
        return []
    lines = ["", f"{'piece (a unit, an update)':<30} {'points':>6} {'samples':>8} {'held out':>9} {'over':>9}"]
    for name, samples in counts.items():
        fit = record["fits"].get(f"{LIKE}{name}", {}).get("figures", {})
        lines.append(_row(name, len(samples), sum(samples), fit.get("left_out_median_abs_pct"),
                          fit.get("over_kernels_sum_pct")))  # fmt: skip
    return lines


def _check_rows(record: dict) -> list[str]:
    """What was measured to be judged alone."""
    rows = record.get("checks", [])
    if not rows:
        return []
    lines = ["", f"{'check (no price comes of it)':<30} {'priced':>10} {'measured':>10} {'error':>8}"]
    for row in sorted(rows, key=lambda row: (row["name"], row["shape"])):
        priced, measured = (f"{row[key] / 1e6:.3g} ms" for key in ("predicted_ns", "measured_ns"))
        lines.append(f"{row['name']:<30} {priced:>10} {measured:>10} {row['error_pct']:>+7.1f}%  {row['what']}")
    return lines


def _hull_rows(record: dict) -> list[str]:
    """Between which sizes each family and each group was measured: what lies beyond stays extrapolated."""
    rows = [(f"{row['op']} {row['dtype']}", row["columns"]) for row in _measured(record, "kernels")]
    rows += [(_group(row), {"bytes": row["size_bytes"]}) for row in _measured(record, "collectives")]
    lines = [
        "",
        "measured between               (beyond: extrapolated at the efficiency of the nearest, and warned about)",
    ]
    for name, columns in rows:
        ranges = [f"{axis} {_size(axis, min(values))}..{_size(axis, max(values))}" for axis, values in columns.items()]
        lines.append(f"{name:<30} {', '.join(ranges)}")
    return lines


def _group(row: dict) -> str:
    """The name of a collective's curve."""
    nodes = row.get("nodes", 1)
    return f"{row['op']} over {row['group_size']}" + (f" on {nodes} nodes" if nodes > 1 else "")


def _size(axis: str, value: float) -> str:
    return format_bytes(int(value)) if axis == "bytes" else f"{int(value)}"


def _row(name: str, points: int, samples: int, inside: float | None, outside: float | None) -> str:
    inside_text, outside_text = (f"{value:.1f} %" if value is not None else "-" for value in (inside, outside))
    return f"{name:<30} {points:>6} {samples:>8} {inside_text:>9} {outside_text:>9}"


def _absent(record: dict) -> list[str]:
    """Families of kernels without a measured table, and without one that stands in."""
    known = {row["op"] for row in _measured(record, "kernels")}
    absent = [op for op in dict.fromkeys(FAMILIES) if op not in known and measured.STANDS_IN.get(op) not in known]
    return [op for op in absent if op not in STOOD_FOR]


STOOD_FOR = ("residual", "reduction", "embedding_backward")
"""Families that no block asks for; the cost model knows them for its published tables."""

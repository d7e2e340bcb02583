"""Journal -> profile record: the same JSON that published profiles have, every number with its source.

What was measured has the source kind `measured`. Whatever else a profile must hold (rules for families without a table,
networks between nodes) is the datasheet profile's and says `assumed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration import assumed, checks, facts, fits, side_by_side
from calibration.journal import ALONE, TOGETHER, Journal, Sampled, bin_means
from calibration.machine import load, now
from calibration.measure.groups import lie_of
from calibration.pieces import DEFAULTS, Named
from calibration.points import CHECK, COLLECTIVE, KERNEL, Point
from simulator.cluster import Cluster
from simulator.costs import measured
from simulator.costs.datasheet import datasheet_profile
from simulator.costs.profile import SCHEMA_VERSION, profile_from_record, sealed
from simulator.costs.profile_entries import INTER_NODE, INTRA_NODE

MEASURED = "measured"
BANDWIDTH_OPS = ("copy", "elementwise")
MESSAGES_TO_A_LEVEL = 32
"""Repeats of a message scatter by a factor of ten within a visit: the mean of a few says nothing of the machine."""


@dataclass(frozen=True)
class Context:
    """What stands beside the samples: the device, the cluster it is a rank of, the machine's facts, date, command."""

    name: str
    cluster: Cluster
    dtype: str
    machine: dict
    date: str
    command: str
    host_dispatches: bool
    """True where kernels run on the host itself, so that their times hold its dispatch (a CPU)."""


def build(journal: Journal, context: Context) -> dict:
    """The sealed record of what the journal holds so far. Raises ValueError while no kernel has been measured."""
    together, alone = (_pooled(journal.points(how)) for how in (TOGETHER, ALONE))
    if not any(point.what == KERNEL for point in together):
        raise ValueError("no kernel has been measured yet")
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": context.name,
        "device": _device(together, context),
        "defaults": DEFAULTS,
        "sources": _sources(context),
        "kernels": [*_kernels(together, ""), *_kernels(alone, measured.ALONE)],
        "collectives": _collectives(together),
        "pieces": [*_pieces(journal, TOGETHER), *_pieces(journal, ALONE)],
        "curves": {},
        "constants": {},
        "overlap": {},
        "fits": {},
        "checks": [],
        "machine": context.machine | {"measured_until": now(), "load_after": load(),
                                      "sentinel_drift": round(journal.drift(), 4),
                                      "contaminated_share": round(journal.contaminated_share, 4)},
        "journal": journal.to_record(),
    }  # fmt: skip
    assumed.fill(record, context.cluster.node_type)
    record["constants"] |= _constants(together, context)
    record["overlap"] |= side_by_side.tables(journal)
    profile = profile_from_record(sealed(record))
    record["fits"] = fits.fits(profile, context.cluster) | fits.of_machine(journal.sentinel)
    held_out = {point: _median(sampled) for point, sampled in together.items() if point.what == CHECK}
    record["checks"] = checks.judged(profile, context.cluster, held_out)
    return sealed(record)


def _pooled(points: dict[Point, Sampled]) -> dict[Point, Sampled]:
    """One entry for each place in a table: samples of several layouts of one product count together."""
    found: dict[tuple, tuple[Point, Sampled]] = {}
    for point, sampled in points.items():
        key = (point.what, point.op, point.dtype, point.shape)
        if key in found:
            before = found[key][1]
            sampled = Sampled(before.visits + sampled.visits, before.lost + sampled.lost, before.seen)
        found[key] = (point, sampled)
    return dict(found.values())


def _kernels(points: dict[Point, Sampled], suffix: str) -> list[dict]:
    tables: dict[tuple[str, str], list[tuple[Point, Sampled]]] = {}
    for point, sampled in points.items():
        if point.what == KERNEL:
            tables.setdefault((point.op, point.dtype), []).append((point, sampled))
    return [
        {
            "op": op + suffix,
            "dtype": dtype,
            "source": "alone" if suffix else "together",
            "columns": {
                axis: [point.shape[place] for point, _ in rows] for place, axis in enumerate(measured.axes(op))
            },
            **_statistics([sampled for _, sampled in rows]),
        }
        for (op, dtype), rows in tables.items()
    ]


def _collectives(points: dict[Point, Sampled]) -> list[dict]:
    curves: dict[tuple[str, int, int], list[tuple[Point, Sampled]]] = {}
    for point, sampled in points.items():
        if point.what == COLLECTIVE:
            curves.setdefault((point.op, *lie_of(point.shape)), []).append((point, sampled))
    found = []
    for (op, ranks, nodes), rows in curves.items():
        rows.sort(key=lambda row: row[0].shape[1])
        where = {"tier": INTRA_NODE} if nodes == 1 else {"tier": INTER_NODE, "nodes": nodes}
        found.append({"op": op, "group_size": ranks, **where, "source": "together",
                      "size_bytes": [point.shape[1] for point, _ in rows],
                      **_statistics([sampled for _, sampled in rows], MESSAGES_TO_A_LEVEL)})  # fmt: skip
    return found


def _pieces(journal: Journal, condition: str) -> list[dict]:
    found = []
    for key, conditions in journal.pieces.items():
        if condition in conditions:
            piece, sampled = Named.of_key(key), conditions[condition]
            quantiles = _quantiles(sampled)
            middle = quantiles[len(quantiles) // 2]
            found.append({"name": piece.name, "source": condition, "median_ns": middle, "count": sampled.num_samples,
                          "quantiles_ns": quantiles, "kernels": piece.identity})  # fmt: skip
    return found


def _statistics(samples: list[Sampled], least: int = 1) -> dict:
    """Columns of a table: median, spread and number of the samples, and the whole samples. least: samples that a visit
    is judged on (`Sampled.level`)."""
    quantiles = [_quantiles(sampled, least) for sampled in samples]
    return {
        "median_ns": [row[len(row) // 2] for row in quantiles],
        "spread_ns": [round(float(np.std(sampled.level(least)[0]))) for sampled in samples],
        "count": [sampled.num_samples for sampled in samples],
        "quantiles_ns": quantiles,
    }


def _quantiles(sampled: Sampled, least: int = 1) -> list[int]:
    """The whole sample, at one level, ns; the middle one stands for the median."""
    return [round(value) for value in bin_means(sampled.level(least)[0]).tolist()]


def _median(sampled: Sampled) -> float:
    return float(np.median(sampled.level()[0]))


def _device(points: dict[Point, Sampled], context: Context) -> dict:
    """The device's sheet; rates are the best that a kernel reached here, so that no efficiency is above 1."""
    device, fabric = context.cluster.node_type.device, context.cluster.node_type.fabric
    peaks = datasheet_profile(device, fabric).device.peak_flops_per_s | dict(device.peak_flops_per_s)
    reached, bandwidth = {}, 0.0
    for point, sampled in points.items():
        if point.what != KERNEL:
            continue
        flops, moved = measured.work(point.op, point.dtype, point.shape)
        seconds = _median(sampled) * 1e-9
        if point.op == "gemm" and device.peak(point.dtype) is None:
            reached[point.dtype] = max(reached.get(point.dtype, 0.0), float(f"{flops / seconds:.4g}"))
        if point.op in BANDWIDTH_OPS:
            bandwidth = max(bandwidth, float(f"{moved / seconds:.4g}"))
    known = device.sustained_flops_per_s is None
    return {
        "name": device.name,
        "memory_bytes": device.memory_bytes,
        "memory_bandwidth_bytes_per_s": device.memory_bandwidth_bytes_per_s if known else bandwidth or 1e9,
        "l2_bytes": 0,
        "peak_flops_per_s": peaks | reached,
        "host_link_bytes_per_s": device.host_link_bytes_per_s,
        "intra_link_bytes_per_s": fabric.gpu_bytes_per_s,
    }


def _sources(context: Context) -> dict:
    def group(kind: str, cited: str) -> dict:
        return {"kind": kind, "citation": cited, "date": context.date, "command": context.command}

    what = context.machine.get("device") or context.machine["processor"]
    return {
        "together": group(MEASURED, f"{what}, all ranks at once"),
        "alone": group(MEASURED, f"{what}, one rank, the others idle"),
        assumed.SOURCE: assumed.ASSUMED | {"date": context.date, "command": context.command},
    }


def _constants(points: dict[Point, Sampled], context: Context) -> dict:
    """Start-up and launch as they were measured."""
    median_ns = {point: _median(sampled) for point, sampled in points.items()}
    smallest = min(ns for point, ns in median_ns.items() if point.what == KERNEL)

    def constant(value: float, unit: str, citation: str) -> dict:
        return {"value": float(f"{value:.4g}"), "unit": unit, "kind": MEASURED, "citation": citation, "fitted_on": []}

    found = {"kernel_startup_s": constant(smallest * 1e-9, "s", "the shortest kernel that was measured")}
    if context.host_dispatches:
        found["launch_s"] = constant(0.0, "s", "kernels run on the host: their times hold its dispatch")
        return found
    device = context.cluster.node_type.device
    return found | {name: constant(*fact) for name, fact in facts.constants(median_ns, device).items()}

"""Profile: what one kind of device costs, with the origin of every number. One JSON file, read once and frozen.

    {"schema_version": 1, "name": ..., "checksum": sha256 of the rest,
     "device": {name, memory_bytes, memory_bandwidth_bytes_per_s, l2_bytes, peak_flops_per_s {dtype: FLOP/s},
                host_link_bytes_per_s, intra_link_bytes_per_s},
     "defaults": {"stack"?: name in `model/stacks.py`, "attention"?: "unfused" | "flash"},
     "sources":   {key: {kind, citation, date, command}},
     "kernels":   [{op, dtype, source, columns {axis: [...]}, median_ns [...], spread_ns?, count?, quantiles_ns?}],
     "collectives": [{op, group_size, tier, nodes?, source, size_bytes [...], median_ns [...], quantiles_ns?,
                      algorithm?}],
     "pieces"?:   [{name, source, kernels [[op, [shape], dtype, bytes_moved], ...], median_ns, count, quantiles_ns}],
     "curves":    {name: {unit, source, columns {axis: [...]}, value [...]}},
     "constants": {name or name@variant: {value, unit, kind, citation, fitted_on [...]}},
     "overlap":   {kind of communication: {compute, own, source, size_bytes?, compute_at?, own_at?}},
     "fits":      {op class: {error, outside_error, points, ...}},
     "checks"?:   [{name, shape, what, predicted_ns, measured_ns, error_pct}], which no price comes of}

Points stand in columns, not in objects, so that 5,000 of them load in a few milliseconds. A `quantiles_ns` row holds a
point's whole sample as evenly spaced quantiles. `kind` of a source: measured (on this device, by `rehearse calibrate`,
or by its user and imported, as the citation says), published (on this device, by others), transferred (on another
device, carried over by a stated rule) or assumed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator import kinds
from simulator.costs.profile_entries import (
    INTER_NODE,
    RING_CURVE,
    SWITCH_CURVE,
    CollectiveCurve,
    Constant,
    Curve,
    DeviceSheet,
    FitError,
    KernelTable,
    MeasuredPiece,
    Overlap,
    SourceGroup,
)
from simulator.errors import ProfileError
from simulator.model.work import Kernel

SCHEMA_VERSION = 1
SOURCE_KINDS = ("measured", "published", "transferred", "assumed")
DATA_OVERLAP = "data_overlap_slowdown"
"""Constant of a variant: how much slower kernels are beside messages of data parallelism."""
MACHINE = "machine"
"""Of a fit: what all prices of a measured machine have in common, its speed at the time of a run."""


@dataclass(frozen=True)
class Profile:
    """A cost profile; `digest()` names its content."""

    name: str
    device: DeviceSheet
    defaults: dict[str, str]
    sources: dict[str, SourceGroup]
    kernels: dict[tuple[str, str], KernelTable]
    collectives: dict[tuple[str, str, int], CollectiveCurve]
    curves: dict[str, Curve]
    constants: dict[str, Constant]
    overlap: dict[str, Overlap]
    fits: dict[str, FitError]
    checksum: str
    pieces: tuple[MeasuredPiece, ...] = ()

    def digest(self) -> str:
        """sha256 of the profile's content (its checksum)."""
        return self.checksum

    def variant(self, *names: str) -> Profile:
        """As a software stack or a sibling device has it: a constant `name@variant` stands in for `name`, later names
        for earlier ones; `data_overlap_slowdown` for both rates of `overlap`'s data. Its digest stays the file's."""
        own = {
            name.removesuffix(f"@{variant}"): entry
            for variant in names
            for name, entry in self.constants.items()
            if name.endswith(f"@{variant}")
        }
        if not own:
            return self
        overlap = self.overlap
        if (slowdown := own.get(DATA_OVERLAP)) and kinds.DATA in overlap:
            overlap = {
                **overlap,
                kinds.DATA: replace(
                    overlap[kinds.DATA], compute=slowdown.value, size_bytes=(), compute_at=(), own_at=()
                ),
            }
        return replace(self, constants={**self.constants, **own}, overlap=overlap)

    def optional(self, name: str, otherwise: float) -> float:
        """The value of a named constant where the profile has it."""
        return self.constants[name].value if name in self.constants else otherwise

    def constant(self, name: str) -> float:
        """The value of a named constant. Raises ProfileError where the profile lacks it."""
        if name not in self.constants:
            raise ProfileError(f"profile {self.name} has no constant {name!r}; it has {', '.join(self.constants)}")
        return self.constants[name].value


def load_profile(path: str | Path) -> Profile:
    """Reads and checks a profile file. Raises ProfileError for a missing, damaged, edited or foreign one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"cannot read the profile {str(path)!r}: {error}") from error
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"the profile {str(path)!r} is damaged at line {error.lineno}: {error.msg}; write it again"
        ) from error
    return profile_from_record(record, str(path))


def profile_from_record(record: Any, where: str = "profile") -> Profile:
    """The profile that a decoded JSON object describes."""
    if not isinstance(record, dict) or "schema_version" not in record:
        raise ProfileError(f"{where} is not a cost profile: it has no schema_version")
    if record["schema_version"] != SCHEMA_VERSION:
        raise ProfileError(
            f"{where} has schema version {record['schema_version']!r}, this version reads {SCHEMA_VERSION}; "
            "calibrate again or install the version of rehearse that wrote it"
        )
    stated, actual = record.get("checksum"), checksum(record)
    if stated != actual:
        raise ProfileError(
            f"{where} was changed after it was written: checksum {str(stated)[:12]} does not fit its content "
            f"{actual[:12]}; write it again instead of editing it"
        )
    try:
        return _build(record)
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"{where} is damaged: {type(error).__name__} {error}; write it again") from error


def checksum(record: dict) -> str:
    """sha256 over the canonical JSON of everything but the checksum itself."""
    rest = {key: value for key, value in record.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(record: dict) -> dict:
    """The record with its checksum, ready to be written."""
    return {**record, "checksum": checksum(record)}


def _build(record: dict) -> Profile:
    sources = {key: SourceGroup(**row) for key, row in record["sources"].items()}
    for key, group in sources.items():
        if group.kind not in SOURCE_KINDS:
            raise ValueError(f"source {key} has kind {group.kind!r}, not one of {', '.join(SOURCE_KINDS)}")
    tables = [_kernel_table(row, sources) for row in record["kernels"]]
    curves = [_collective(row, sources) for row in record["collectives"]]
    return Profile(
        name=record["name"],
        device=DeviceSheet(**record["device"]),
        defaults=dict(record["defaults"]),
        sources=sources,
        kernels={(table.op, table.dtype): table for table in tables},
        collectives={curve.key: curve for curve in curves},
        curves={name: _curve(row, sources) for name, row in record["curves"].items()},
        constants={
            name: Constant(**{**row, "fitted_on": tuple(row.get("fitted_on", ()))})
            for name, row in record["constants"].items()
        },
        overlap={
            kind: Overlap(
                row["compute"],
                row["own"],
                sources[row["source"]],
                *(tuple(row.get(key, ())) for key in ("size_bytes", "compute_at", "own_at")),
            )
            for kind, row in record["overlap"].items()
        },
        fits={name: FitError(**row) for name, row in record["fits"].items()},
        checksum=record["checksum"],
        pieces=tuple(_piece(row) for row in record.get("pieces", ())),
    )


def _kernel_table(row: dict, sources: dict[str, SourceGroup]) -> KernelTable:
    columns = {axis: np.array(values, dtype=np.float64) for axis, values in row["columns"].items()}
    median = _positive(row["median_ns"], row["op"]) * 1e-9
    for axis, values in columns.items():
        if values.shape != median.shape:
            raise ValueError(f"{row['op']}: {len(values)} values of {axis} for {len(median)} times")
    extra = {
        field: np.array(row[name], dtype=np.float64) * scale
        for field, name, scale in (
            ("spread_s", "spread_ns", 1e-9),
            ("count", "count", 1),
            ("quantiles_s", "quantiles_ns", 1e-9),
        )
        if name in row
    }
    return KernelTable(row["op"], row["dtype"], sources[row["source"]], columns, median, **extra)


def _collective(row: dict, sources: dict[str, SourceGroup]) -> CollectiveCurve:
    size = _positive(row["size_bytes"], row["op"])
    if (np.diff(size) <= 0).any():
        raise ValueError(f"sizes of {row['op']} over {row['group_size']} do not rise")
    median = _positive(row["median_ns"], row["op"]) * 1e-9
    quantiles = np.array(row["quantiles_ns"], dtype=np.float64) * 1e-9 if "quantiles_ns" in row else None
    algorithm = row.get("algorithm", RING_CURVE)
    if algorithm not in (RING_CURVE, SWITCH_CURVE):
        raise ValueError(f"{row['op']} over {row['group_size']} went by {algorithm!r}")
    count = np.array(row["count"], dtype=np.float64) if "count" in row else None
    ranks, nodes = row["group_size"], row.get("nodes", 1)
    if (row["tier"] == INTER_NODE) != (nodes > 1) or ranks % nodes:
        raise ValueError(f"{row['op']} over {ranks} lies on {nodes} nodes, {row['tier']}")
    return CollectiveCurve(
        row["op"], ranks, row["tier"], sources[row["source"]], size, median, quantiles, algorithm, count, nodes
    )


def _piece(row: dict) -> MeasuredPiece:
    kernels = tuple(Kernel(op, tuple(shape), dtype, bytes_moved=moved) for op, shape, dtype, moved in row["kernels"])
    median, *quantiles = (_positive([row["median_ns"], *row["quantiles_ns"]], row["name"]) * 1e-9).tolist()
    return MeasuredPiece(row["name"], row["source"], kernels, median, row["count"], tuple(quantiles))


def _curve(row: dict, sources: dict[str, SourceGroup]) -> Curve:
    columns = {axis: np.array(values, dtype=np.float64) for axis, values in row["columns"].items()}
    return Curve(row["unit"], sources[row["source"]], columns, np.array(row["value"], dtype=np.float64))


def _positive(values: list, op: str) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    if not (array.size and np.isfinite(array).all() and (array > 0).all()):
        raise ValueError(f"{op} holds values that are not positive numbers")
    return array

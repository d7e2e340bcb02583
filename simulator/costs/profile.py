"""Profile: what one kind of device costs, with the origin of every number. One JSON file, read once and frozen.

    {"schema_version": 1, "name": ..., "checksum": sha256 of the rest,
     "device": {name, memory_bytes, memory_bandwidth_bytes_per_s, l2_bytes, peak_flops_per_s {dtype: FLOP/s},
                host_link_bytes_per_s, intra_link_bytes_per_s},
     "defaults": {"stack"?: name in `model/stacks.py`, "attention"?: "unfused" | "flash"},
     "sources":   {key: {kind, citation, date, command}},
     "kernels":   [{op, dtype, source, columns {axis: [...]}, median_ns [...], spread_ns?, count?, quantiles_ns?}],
     "collectives": [{op, group_size, tier, source, size_bytes [...], median_ns [...], quantiles_ns?, algorithm?}],
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
from dataclasses import dataclass, field, replace
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from simulator import kinds
from simulator.errors import ProfileError
from simulator.model.work import Kernel

SCHEMA_VERSION = 1
SOURCE_KINDS = ("measured", "published", "transferred", "assumed")
DATA_OVERLAP = "data_overlap_slowdown"
"""Constant of a variant: how much slower kernels are beside messages of data parallelism."""
INTRA_NODE, INTER_NODE = "intra_node", "inter_node"
MACHINE = "machine"
"""Of a fit: what all prices of a measured machine have in common, its speed at the time of a run."""
RING_CURVE, SWITCH_CURVE = "ring", "in_switch"


@dataclass(frozen=True, slots=True)
class DeviceSheet:
    """The datasheet of the device the profile was made on. intra_link_bytes_per_s: one GPU to its node, one way."""

    name: str
    memory_bytes: int
    memory_bandwidth_bytes_per_s: float
    l2_bytes: int
    peak_flops_per_s: dict[str, float]
    host_link_bytes_per_s: float
    intra_link_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """Where a group of entries comes from. kind: one of SOURCE_KINDS. command: what anyone can run to get it again."""

    kind: str
    citation: str
    date: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A named number. fitted_on: the declared rows that set it (never rows it is judged on); empty where none did."""

    value: float
    unit: str
    kind: str
    citation: str
    fitted_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelTable:
    """n measured points of one op and dtype. columns: axis -> float64[n]; median_s float64[n].

    spread_s: standard deviation of repeats, count: repeats, quantiles_s[n, q]: whole samples; None where unpublished.
    """

    op: str
    dtype: str
    source: SourceGroup
    columns: dict[str, np.ndarray]
    median_s: np.ndarray
    spread_s: np.ndarray | None = None
    count: np.ndarray | None = None
    quantiles_s: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class CollectiveCurve:
    """Time of one collective against message size (as `model.work.Collective` counts it), one group size and tier.

    op: a collective, or `send` for one message of a pair. quantiles_s[n, q]: whole samples, None where unpublished.
    algorithm: how large messages went, RING_CURVE or SWITCH_CURVE (the node's switch added them up). count[n]: repeats.
    """

    op: str
    group_size: int
    tier: str
    source: SourceGroup
    size_bytes: np.ndarray
    median_s: np.ndarray
    quantiles_s: np.ndarray | None = None
    algorithm: str = RING_CURVE
    count: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class MeasuredPiece:
    """Kernels that were measured together, as the training code runs them (`costs/pieces.py`).

    name: what they are, such as `sasrec.attention.F`. source_key: `together` or `alone`. quantiles_s: the whole sample.
    """

    name: str
    source_key: str
    kernels: tuple[Kernel, ...]
    median_s: float
    count: int
    quantiles_s: tuple[float, ...]

    @property
    def repeat_error(self) -> float:
        """Sigma of the lognormal with the sample's median and mean (see `measured.repeat_errors`)."""
        mean_over_median = sum(self.quantiles_s) / len(self.quantiles_s) / self.median_s
        return sqrt(2.0 * log(mean_over_median)) if mean_over_median > 1.0 else 0.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A published relation: value[n] at points given by columns (one or two axes)."""

    unit: str
    source: SourceGroup
    columns: dict[str, np.ndarray]
    value: np.ndarray


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much slower a compute op is while this communication runs (`compute` >= 1), and the communication (`own`).

    size_bytes: messages at which both were measured, rising; compute_at, own_at: what they were there. Empty where one
    number stands for all.
    """

    compute: float
    own: float
    source: SourceGroup
    size_bytes: tuple[float, ...] = ()
    compute_at: tuple[float, ...] = ()
    own_at: tuple[float, ...] = ()

    def at(self, size_bytes: int) -> tuple[float, float]:
        """(compute, own) beside a message of this size: between two sizes by the log, beyond them as at the last."""
        if not self.size_bytes:
            return self.compute, self.own
        place, sizes = log(max(size_bytes, 1)), np.log(self.size_bytes)
        return float(np.interp(place, sizes, self.compute_at)), float(np.interp(place, sizes, self.own_at))

    @property
    def worst(self) -> tuple[float, float]:
        """(compute, own), the greatest at any size."""
        return max((self.compute, *self.compute_at)), max((self.own, *self.own_at))


@dataclass(frozen=True, slots=True)
class FitError:
    """Standard deviation of log(true / predicted) on held-out points: `error` inside the table, `outside_error` beyond.

    figures: the held-out errors as printed (mean absolute percent and the like), by name.
    """

    error: float
    outside_error: float
    points: int
    figures: dict[str, float] = field(default_factory=dict)


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
        collectives={(curve.op, curve.tier, curve.group_size): curve for curve in curves},
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
    return CollectiveCurve(
        row["op"], row["group_size"], row["tier"], sources[row["source"]], size, median, quantiles, algorithm, count
    )  # fmt: skip


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

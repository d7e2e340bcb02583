"""Entries into a profile's record: tables and curves with provenance, and the held-out errors of both."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, pstdev

from calibration import fits
from calibration.imports.entries import Entries
from simulator.costs import measured
from simulator.costs.profile import profile_from_record, sealed
from simulator.costs.profile_entries import INTER_NODE, INTRA_NODE, RING_CURVE

PREFIX = "imported "
"""Of the keys of sources that imports have written."""


@dataclass(frozen=True)
class Origin:
    """kind: nccl-tests, kineto or csv. file: its name without folders. checksum: sha256 of its bytes."""

    kind: str
    file: str
    checksum: str
    date: str
    command: str

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.file} {self.checksum[:12]}"

    def source(self, device: str) -> dict:
        """The record of a source group."""
        ran = f" on {device}" if device else ""
        cited = f"imported: {self.file} ({self.kind}{ran}, sha256 {self.checksum})"
        return {"kind": "measured", "citation": cited, "date": self.date, "command": self.command}


def merged(record: dict, entries: Entries, origin: Origin) -> dict:
    """The sealed record with what a file holds in it. A point that was imported before takes the new time."""
    found = {**record, "sources": {**record["sources"], origin.key: origin.source(entries.device)},
             "kernels": list(record["kernels"]), "collectives": list(record["collectives"])}  # fmt: skip
    tables: dict[tuple[str, str], dict[tuple[int, ...], list[float]]] = {}
    for (op, dtype, shape), times in entries.kernels.items():
        tables.setdefault((op, dtype), {})[shape] = times
    for (op, dtype), points in tables.items():
        _put_table(found, op + measured.IMPORTED, dtype, points, origin.key)
    curves: dict[tuple[str, int], dict[int, list[float]]] = {}
    for (op, ranks, size), times in entries.collectives.items():
        curves.setdefault((op, ranks), {})[size] = times
    for (op, ranks), sizes in curves.items():
        _put_curve(found, op, ranks, sizes, origin.key)
    between: dict[tuple[str, int, int], dict[int, list[float]]] = {}
    for (op, ranks, nodes, size), times in entries.between.items():
        between.setdefault((op, ranks, nodes), {})[size] = times
    for (op, ranks, nodes), sizes in between.items():
        _put_curve_between(found, op, ranks, nodes, sizes, origin.key)
    return _refitted(found)


def carried(record: dict, before: dict) -> dict:
    """The sealed record with what an earlier one of the same file had imported: calibrating on keeps it."""
    sources = {key: row for key, row in before["sources"].items() if key.startswith(PREFIX)}
    if not sources:
        return record
    found = {**record, "sources": {**record["sources"], **sources}}
    for part, names in (("kernels", ("op", "dtype")), ("collectives", ("op", "group_size", "nodes"))):
        kept = [row for row in before[part] if row["source"] in sources]
        places = {tuple(row.get(name) for name in names) for row in kept}
        found[part] = [row for row in record[part] if tuple(row.get(name) for name in names) not in places] + kept
    return _refitted(found)


def _put_table(record: dict, op: str, dtype: str, points: dict[tuple[int, ...], list[float]], source: str) -> None:
    """One table of imported kernels; what an earlier file told of other points stays, and both are cited."""
    axes = measured.axes(op)
    rows = {shape: (median(times), pstdev(times), len(times)) for shape, times in points.items()}
    (before,) = [row for row in record["kernels"] if (row["op"], row["dtype"]) == (op, dtype)] or [None]
    if before is not None:
        columns = zip(*(before["columns"][axis] for axis in axes), strict=True)
        old = zip(before["median_ns"], before["spread_ns"], before["count"], strict=True)
        stays = {tuple(shape): row for shape, row in zip(columns, old, strict=True) if tuple(shape) not in rows}
        if stays and before["source"] != source:
            source = _both(record["sources"], before["source"], source)
        rows = stays | rows
        record["kernels"].remove(before)
    record["kernels"].append(
        {"op": op, "dtype": dtype, "source": source,
         "columns": {axis: [shape[place] for shape in rows] for place, axis in enumerate(axes)},
         "median_ns": [row[0] for row in rows.values()], "spread_ns": [row[1] for row in rows.values()],
         "count": [row[2] for row in rows.values()]}
    )  # fmt: skip


def _both(sources: dict, first: str, second: str) -> str:
    """The key of a source that cites two files."""
    one, other = sources[first], sources[second]
    key = f"{first} + {second.removeprefix(PREFIX)}"
    sources[key] = {**other, "citation": f"{one['citation']}; {other['citation']}"}
    return key


def _put_curve(record: dict, op: str, ranks: int, sizes: dict[int, list[float]], source: str) -> None:
    """In place of the profile's curve of this op and group; an assumed one of another group size goes as well: the
    algorithm's formula leads on from what was timed. The library is taken to choose the algorithm it was seen to."""
    kinds = {key: row["kind"] for key, row in record["sources"].items()}
    own = [row for row in record["collectives"] if row["op"] == op and row["tier"] == INTRA_NODE]
    same = [row for row in own if row["group_size"] == ranks]
    for row in own:
        if row in same or kinds[row["source"]] == "assumed":
            record["collectives"].remove(row)
    algorithm = same[0].get("algorithm", RING_CURVE) if same else RING_CURVE
    record["collectives"].append(
        {"op": op, "group_size": ranks, "tier": INTRA_NODE, "source": source, "size_bytes": sorted(sizes),
         "median_ns": [median(sizes[size]) for size in sorted(sizes)],
         "count": [len(sizes[size]) for size in sorted(sizes)], "algorithm": algorithm}
    )  # fmt: skip


def _put_curve_between(
    record: dict, op: str, ranks: int, nodes: int, sizes: dict[int, list[float]], source: str
) -> None:  # fmt: skip
    """In place of the profile's curve of a group that lies as this one."""
    own = {"op": op, "group_size": ranks, "tier": INTER_NODE, "nodes": nodes}
    for row in [row for row in record["collectives"] if own.items() <= row.items()]:
        record["collectives"].remove(row)
    record["collectives"].append(
        {**own, "source": source, "size_bytes": sorted(sizes),
         "median_ns": [median(sizes[size]) for size in sorted(sizes)],
         "count": [len(sizes[size]) for size in sorted(sizes)]}
    )  # fmt: skip


def _refitted(record: dict) -> dict:
    """The record, sealed, with the errors of its imported tables and curves on points held out."""
    profile = profile_from_record(sealed(record))
    cited = {row["citation"] for key, row in record["sources"].items() if key.startswith(PREFIX)}
    found = fits.imported(profile, cited)
    return sealed({**record, "fits": {**record["fits"], **found}})

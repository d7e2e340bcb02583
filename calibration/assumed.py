"""What a profile must hold and nobody measured: the datasheet profile's entries, as `assumed`."""

from __future__ import annotations

from simulator.cluster import NodeType
from simulator.costs.datasheet import datasheet_profile
from simulator.costs.profile import SCHEMA_VERSION, sealed
from simulator.costs.profile_entries import INTRA_NODE
from simulator.kinds import CONTEXT, DATA, EMBEDDING, PIPELINE, TENSOR

SOURCE = "datasheet"
ASSUMED = {"kind": "assumed", "citation": "datasheet times assumed efficiencies"}


def datasheet_record(node: NodeType) -> dict:
    """The sealed record of a device that nobody has measured, to import into."""
    sheet = datasheet_profile(node.device, node.fabric).device
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": f"{node.device.name}_datasheet",
        "device": {name: getattr(sheet, name) for name in sheet.__slots__},
        "defaults": {"attention": "flash"},
        "sources": {SOURCE: ASSUMED},
        "kernels": [], "collectives": [], "curves": {}, "constants": {}, "overlap": {}, "fits": {},
    }  # fmt: skip
    fill(record, node)
    return sealed(record)


def fill(record: dict, node: NodeType) -> None:
    """Adds to a record what it lacks: rules of families without a table, collectives, constants, overlap."""
    base = datasheet_profile(node.device, node.fabric)
    kernels = {(row["op"], row["dtype"]) for row in record["kernels"]}
    for (op, dtype), table in base.kernels.items():
        if (op, dtype) not in kernels:
            record["kernels"].append(
                {"op": op, "dtype": dtype, "source": SOURCE,
                 "columns": {axis: values.tolist() for axis, values in table.columns.items()},
                 "median_ns": (table.median_s * 1e9).tolist()}
            )  # fmt: skip
    curves = {row["op"] for row in record["collectives"] if row["tier"] == INTRA_NODE}
    for (op, tier, ranks), curve in base.collectives.items():
        if op not in curves:
            record["collectives"].append(
                {"op": op, "group_size": ranks, "tier": tier, "source": SOURCE,
                 "size_bytes": curve.size_bytes.tolist(), "median_ns": (curve.median_s * 1e9).tolist()}
            )  # fmt: skip
    record["curves"] |= {
        name: {"unit": curve.unit, "source": SOURCE,
               "columns": {axis: values.tolist() for axis, values in curve.columns.items()},
               "value": curve.value.tolist()}
        for name, curve in base.curves.items()
    }  # fmt: skip
    record["constants"] |= {
        name: {"value": one.value, "unit": one.unit, "kind": one.kind, "citation": one.citation, "fitted_on": []}
        for name, one in base.constants.items()
    }
    for kind in (TENSOR, CONTEXT, EMBEDDING, DATA, PIPELINE):
        record["overlap"].setdefault(kind, {"compute": 1.0, "own": 1.0, "source": SOURCE})

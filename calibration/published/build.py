"""Writes the published profiles from the raw tables beside this file: python -m calibration.published.build

Deterministic: the same tables give the same bytes, on every machine (a test rebuilds and compares). Every fit is
cross-validated and carries its held-out error (`fits`).
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

from calibration.published import cluster_fits, constants, crossval, fits
from calibration.published.raw import citation, column, microseconds_as_ns, rows
from simulator.costs.profile import SCHEMA_VERSION, profile_from_record, sealed
from simulator.costs.profile_entries import SWITCH_CURVE
from simulator.kinds import CONTEXT, DATA, EMBEDDING, PIPELINE, TENSOR
from topologies.devices import A100_SXM4_80GB, H100_SXM5_80GB

ACCIDENT = 1.5
COMMAND = "python -m calibration.published.build"
MIB = 2**20
IN_SWITCH = ("h100_sxm", "all_reduce", 8)
"""The curve that NCCL's NVLS made: its bus bandwidth is 1.32 times that of all-gathers over the same 8 GPUs (A100's, by
rings: 1.08; over 4 H100: 1.10), and it meets a log with "NVLS on" (tests)."""
DEVICES = {
    "a100_sxm4_80gb": (A100_SXM4_80GB, "a100_sxm", 40 * MIB, 300e9, "megatron_2022", constants.A100),
    "h100_sxm5_80gb": (H100_SXM5_80GB, "h100_sxm", 50 * MIB, 450e9, "current", constants.H100),
}
"""profile -> device, its name in the tables, L2 bytes and NVLink bytes/s one way (datasheets), the software of its
generation (`simulator/model/stacks.py`), its own constants."""


def build(name: str) -> dict:
    """The record of one published profile, checksum included."""
    device, system, l2_bytes, link, stack, own_constants = DEVICES[name]
    ampere = system == "a100_sxm"
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "device": {
            "name": device.name,
            "memory_bytes": device.memory_bytes,
            "memory_bandwidth_bytes_per_s": device.memory_bandwidth_bytes_per_s,
            "l2_bytes": l2_bytes,
            "peak_flops_per_s": dict(device.peak_flops_per_s),
            "host_link_bytes_per_s": device.host_link_bytes_per_s,
            "intra_link_bytes_per_s": link,
        },
        "defaults": {"stack": stack},
        "sources": _sources(ampere),
        "kernels": [*_gemm(system), _attention(system)],
        "collectives": _collectives(system),
        "curves": {
            **fits.memory_curves("llmcompass"),
            **fits.wide_rows("llmcompass"),
            **fits.attention_curves("fa3", ampere),
        },
        "constants": {
            **constants.COMMON,
            **own_constants,
            **cluster_fits.entries(name),
            **fits.inter_node_constants(),
            **({} if ampere else fits.switch_constants()),
        },
        "overlap": {
            **{kind: _measured_overlap() for kind in (TENSOR, CONTEXT, EMBEDDING, DATA)},
            PIPELINE: {"compute": 1.0, "own": 1.0, "source": "no_slowdown"},
        },
        "fits": {},
    }
    shortest = min(min(table["median_ns"]) for table in record["kernels"] if table["op"] == "gemm")
    record["constants"]["kernel_startup_s"] = constants.constant(
        fits.digits(shortest * 1e-9),
        "s",
        "published",
        "shortest GEMM of the table: what a kernel takes to start and drain",
    )
    record["fits"] = crossval.fits(profile_from_record(sealed(record)))
    return sealed(record)


def text(record: dict) -> str:
    """The file's text: one line for each entry, so that a diff shows what changed."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list):
            body = ",\n".join("  " + _compact(row) for row in value)
            lines.append(f"{_compact(key)}: [\n{body}\n ]")
        elif isinstance(value, dict):
            body = ",\n".join(f"  {_compact(name)}: {_compact(row)}" for name, row in value.items())
            lines.append(f"{_compact(key)}: {{\n{body}\n }}")
        else:
            lines.append(f"{_compact(key)}: {_compact(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _measured_overlap() -> dict:
    """Galvatron's one coefficient; its cost model slows both sides by it while they overlap."""
    found = rows("overlap_and_bandwidth_galvatron", key="overlap_coe")
    slowdown = round(float(found[0]["value"]), 4)
    return {"compute": slowdown, "own": slowdown, "source": "galvatron"}


def _sources(ampere: bool) -> dict:
    def group(kind: str, cited: str) -> dict:
        return {"kind": kind, "citation": cited, "date": "2026-11", "command": COMMAND}

    return {
        "gemm": group("published", citation("kernel_gemm")),
        "attention": group("published", citation("kernel_attention_fwd")),
        "nccl": group("published", citation("nccl_intranode_curves")),
        "llmcompass": group("published" if ampere else "transferred", citation("kernel_llmcompass_a100")),
        "fa3": group("transferred" if ampere else "published", citation("kernel_flash_attention3_h100")),
        "galvatron": group("published" if ampere else "transferred", citation("overlap_and_bandwidth_galvatron")),
        "no_slowdown": group("assumed", "pipeline sends are copies by few SMs and short"),
    }


def _gemm(system: str) -> list[dict]:
    tables = []
    for dtype in ("bf16", "fp8"):
        points = without_accidents(rows("kernel_gemm", system=system, dtype=dtype))
        if points:
            columns = {axis: column(points, axis) for axis in ("m", "n", "k")}
            tables.append({"op": "gemm", "dtype": dtype, "source": "gemm", "columns": columns,
                           "median_ns": microseconds_as_ns(points, "time_us")})  # fmt: skip
    return tables


def without_accidents(points: list[dict[str, str]]) -> list[dict[str, str]]:
    """GEMM points but those that took 1.5 times as long as a product at least as large in every dimension.

    A product can be padded to the larger one, so no library is that slow for a reason: something else ran. (13 of 3,960
    on A100, 2 of 5,271 on H100, all but one under 20 us.)
    """
    shape = np.array([[int(row[axis]) for axis in "mnk"] for row in points]).reshape(len(points), 3)
    time = np.array([float(row["time_us"]) for row in points])
    least = np.array([time[(shape >= point).all(axis=1)].min() for point in shape])
    return [row for row, keep in zip(points, time <= ACCIDENT * least, strict=True) if keep]


def _attention(system: str) -> dict:
    points = rows("kernel_attention_fwd", system=system)
    columns = {axis: column(points, axis) for axis in ("batch", "seq", "heads", "kv_heads", "head_dim")}
    return {"op": "attention_forward", "dtype": "bf16", "source": "attention", "columns": columns,
            "median_ns": microseconds_as_ns(points, "time_us")}  # fmt: skip


def _collectives(system: str) -> list[dict]:
    """message_size is in elements of 2 bytes, and counts the whole buffer as nccl-tests does."""
    found = []
    for theirs, op in (("all_reduce", "all_reduce"), ("all_gather", "all_gather"),
                       ("reduce_scatter", "reduce_scatter"), ("alltoall", "all_to_all")):  # fmt: skip
        for ranks in (2, 4, 8):
            points = rows("nccl_intranode_curves", system=system, op=theirs, num_gpus=str(ranks))
            points.sort(key=lambda row: int(row["message_size"]))
            found.append({"op": op, "group_size": ranks, "tier": "intra_node", "source": "nccl",
                          "size_bytes": [2 * size for size in column(points, "message_size")],
                          "median_ns": microseconds_as_ns(points, "latency_us"),
                          **({"algorithm": SWITCH_CURVE} if (system, op, ranks) == IN_SWITCH else {})})  # fmt: skip
    return found


def main() -> int:
    """Writes both profiles into calibration/profiles and prints their held-out errors."""
    folder = Path(str(files("calibration.profiles")))
    for name in DEVICES:
        record = build(name)
        (folder / f"{name}.json").write_text(text(record), encoding="utf-8")
        print(f"{name}: checksum {record['checksum'][:12]}", file=sys.stderr)
        for op_class, fit in record["fits"].items():
            print(f"  {op_class}: {fit}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

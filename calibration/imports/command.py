"""`rehearse calibrate --import KIND FILE`: files into a profile, nothing measured, no torch needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePath

from calibration import assumed, files, machine
from calibration.imports import csv_file, kineto, nccl_tests
from calibration.imports.entries import Entries, refusal
from calibration.imports.merging import Origin, merged
from simulator import registry
from simulator.costs.profile import load_profile
from simulator.errors import ScenarioError

READERS: dict[str, Callable[[str, str], Entries]] = {
    "nccl-tests": nccl_tests.read,
    "kineto": kineto.read,
    "csv": csv_file.read,
}


def import_file(kind: str, path: str, *, onto: str | None, out: str | None, command: str) -> list[str]:
    """Reads a file into a profile, writes that, and returns the lines that say what was read.

    onto: the profile that the file goes into, or a topology whose datasheet stands in for one; None: the profile that
    is at `out`, or where there is none yet, that of the device that the file names (else of this machine). Raises
    ScenarioError for what cannot be read; then nothing is written.
    """
    if kind not in READERS:
        raise ScenarioError(f"{kind!r} cannot be imported; use one of {', '.join(READERS)}", key="--import")
    entries, checksum = _read(kind, path)
    is_new = onto is None and (out is None or not Path(out).exists())
    record, out = _base(_own_base(kind, entries.device) if is_new else onto, out)
    origin = Origin(kind, PurePath(path).name, checksum, machine.today(), command)
    record = merged(record, entries, origin)
    files.write(record, out)
    base = [f"{'into':<30} what is known of {record['device']['name']}; --onto takes another"] if is_new else []
    other = _other_device(entries.device, record["device"]["name"])
    return [*_lines(entries, origin), *base, *other, *_closing(record, out)]


def _own_base(kind: str, ran_on: str) -> str:
    """The profile that ships of the device that a file names, or a topology of it; of a file that names none, this
    machine. Raises ScenarioError where the device is none of those that are known."""
    if not ran_on and kind != "nccl-tests" and not machine.num_gpus():
        return "cpu_host"
    device = next((own for part, own in machine.GPU_NAMES.items() if part in ran_on), None)
    device = machine.gpu_device() if not ran_on and kind != "nccl-tests" else device
    if device in registry.profile_names():
        return device
    for name in registry.topology_names():
        if device is not None and registry.topology(name).node_type.device.name == device:
            return name
    raise ScenarioError(
        f"the file {f'ran on {ran_on!r}, which is not known' if ran_on else 'does not name its device'}; say what it "
        f"goes into: --onto with a profile ({', '.join(registry.profile_names())}, a path) or a machine of `rehearse "
        "show topologies`, or --out with a profile that is there", key="--onto",
    )  # fmt: skip


def _base(onto: str | None, out: str | None) -> tuple[dict, str]:
    """(the record that entries go into, where it is written to)."""
    if onto is None:
        return _record_at(Path(out)), out
    if onto in registry.topology_names():
        record = assumed.datasheet_record(registry.topology(onto).node_type)
        name = f"{onto}_imported"
    else:
        record = _record_at(registry.profile_path(onto))
        name = f"{record['name']}_imported"
    out = f"{name}.json" if out is None else out
    if Path(out).exists():
        raise ScenarioError(
            f"{out} is there already; leave --onto out to import into it, or give another --out", key="--out"
        )
    return {**record, "name": name}, out


def _record_at(path: Path) -> dict:
    load_profile(path)  # says what is wrong with a damaged or foreign file
    return json.loads(path.read_text(encoding="utf-8"))


def _read(kind: str, path: str) -> tuple[Entries, str]:
    """(what the file holds, the sha256 of its bytes)."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}; give the path of a file", key="--import") from None
    try:
        text = kineto.decoded(path, data) if kind == "kineto" else data.decode("utf-8")
    except UnicodeDecodeError:
        raise refusal(path, None, f"is not text; {kind} files are") from None
    return READERS[kind](path, text), hashlib.sha256(data).hexdigest()


def _lines(entries: Entries, origin: Origin) -> list[str]:
    found: dict[str, list[int]] = {}
    for (op, dtype, _), times in entries.kernels.items():
        found.setdefault(f"{op} {dtype}", []).append(len(times))
    for (op, ranks, _), times in entries.collectives.items():
        found.setdefault(f"{op} over {ranks}", []).append(len(times))
    ran = f", {entries.device}" if entries.device else ""
    for (op, ranks, nodes, _), times in entries.between.items():
        found.setdefault(f"{op} over {ranks} on {nodes} nodes", []).append(len(times))
    lines = [f"{origin.file} ({origin.kind}{ran}), sha256 {origin.checksum[:12]}"]
    lines += [f"{'imported':<30} {'points':>6} {'repeats':>8}"]
    lines += [f"{name:<30} {len(counts):>6} {sum(counts):>8}" for name, counts in found.items()]
    return lines + [f"left out: {sentence}" for sentence in entries.left_out]


def _other_device(ran_on: str, priced: str) -> list[str]:
    """A warning where the driver's name in the file is that of another device than the profile's."""
    known = next((device for part, device in machine.GPU_NAMES.items() if part in ran_on), priced)
    if known == priced:
        return []
    return [f"warning: the file ran on {ran_on}, the profile is of {priced}; import it into one of {known}"]


def _closing(record: dict, out: str) -> list[str]:
    return [
        "",
        "imported shapes cost what they took; others are priced as before, or between imported ones where the profile",
        "had timed none. Nobody has checked these files against this profile's device.",
        f"profile   {out}, schema {record['schema_version']}, checksum {record['checksum'][:12]}",
        f"          use it with `profile: {out}` in a scenario",
    ]

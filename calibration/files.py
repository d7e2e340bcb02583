"""Profile files that calibration writes and goes on with: never torn, whatever interrupts the writing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibration.journal import Journal
from simulator.costs.profile import load_profile
from simulator.errors import ProfileError, ScenarioError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def write(record: dict, path: str | Path) -> None:
    """Writes a profile's record in one piece: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:  # a write that fails does not say of which file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def text(record: dict) -> str:
    """One line for each entry, so that a diff shows what changed."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list) and value:
            body = ",\n".join("  " + _compact(row) for row in value)
            lines.append(f"{_compact(key)}: [\n{body}\n ]")
        elif isinstance(value, dict) and value:
            body = ",\n".join(f"  {_compact(name)}: {_compact(row)}" for name, row in value.items())
            lines.append(f"{_compact(key)}: {{\n{body}\n }}")
        else:
            lines.append(f"{_compact(key)}: {_compact(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def resume(path: str | Path, machine: dict) -> Journal:
    """The journal of a profile that is there already, else an empty one.

    Raises ScenarioError for a file that is no calibrated profile, or one of another machine or torch: samples of two
    machines must not mix.
    """
    for torn in Path(path).parent.glob(f".{Path(path).name}.*.tmp"):  # of a session that was killed while it wrote
        torn.unlink(missing_ok=True)
    if not Path(path).exists():
        return Journal()
    try:
        load_profile(path)
    except ProfileError as error:
        raise ScenarioError(f"{error}; or give another --out, or remove the file", key="--out") from error
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    if "journal" not in record or "machine" not in record:
        raise ScenarioError(f"{path} was not written by calibrate; give another --out", key="--out")
    for key in ("processor", "cores", "torch", "device"):
        then, now = record["machine"].get(key), machine.get(key)
        if then != now:
            raise ScenarioError(
                f"{path} was measured with {key} {then!r}, this is {now!r}; give another --out or remove the file",
                key="--out",
            )
    try:
        return Journal.from_record(record["journal"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScenarioError(
            f"the samples of {path} are another version's ({error}); give another --out or remove the file", key="--out"
        ) from error


@contextmanager
def held(path: str | Path) -> Iterator[None]:
    """One calibration at a time writes a profile: two would each throw away what the other has measured.

    Raises ScenarioError where another process is at it. Whatever ends a process lets go.
    """
    if fcntl is None:
        yield
        return
    name = hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:16]
    with open(Path(tempfile.gettempdir()) / f"rehearse-calibrate-{os.getuid()}-{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ScenarioError(
                f"another calibration is writing {path}; wait for it or give another --out", key="--out"
            ) from error
        try:
            yield
        finally:
            Path(file.name).unlink(missing_ok=True)


def carried_on(path: str | Path) -> dict | None:
    """The record that is there already: what was imported into it stays when it is measured on."""
    return json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else None


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)

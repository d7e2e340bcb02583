"""What a long run has predicted so far, in a file: it goes on where it was cut off, under the same code only."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

import calibration
import simulator
import studies
import topologies
from simulator.errors import ScenarioError


def fingerprint() -> str:
    """Of every source file and profile that a prediction could depend on."""
    found = hashlib.sha256()
    for package in (simulator, calibration, topologies, studies):
        root = Path(package.__file__).parent
        for path in sorted(path for suffix in ("*.py", "*.json", "*.csv") for path in root.rglob(suffix)):
            found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()


class Kept:
    """A context: the outcomes in a file, each stored as soon as it is known. path None: nothing is kept.

    Raises ScenarioError where the file's outcomes are of other code.
    """

    def __init__(self, path: Path | None):
        self.path, self.known, self._file = path, {}, None

    def __enter__(self) -> Kept:
        if self.path is None:
            return self
        own = fingerprint()
        if self.path.exists():
            with self.path.open("rb") as file:
                theirs, self.known = _read(file)
            if theirs not in (own, None):
                raise ScenarioError(f"{self.path} was predicted by other code; delete it, or name another file")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb")
        self._store(own, *self.known.items())
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def all(self, pool: Executor, task: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
        """task of every one given, in that order; only what is not known yet runs."""
        name = task.__qualname__
        wanted = {pool.submit(task, one): one for one in given if (name, one) not in self.known}
        for future in as_completed(wanted):
            self.known[name, wanted[future]] = future.result()
            self._store(((name, wanted[future]), future.result()))
            print(f"{name}: {wanted[future]}", file=sys.stderr, flush=True)
        return [self.known[name, one] for one in given]

    def _store(self, *entries: Any) -> None:
        if self._file is not None:
            for entry in entries:
                pickle.dump(entry, self._file)
            self._file.flush()


def _read(file: Any) -> tuple[str | None, dict[Any, Any]]:
    """(fingerprint, outcomes) as far as they were written whole."""
    found = []
    try:
        while True:
            found.append(pickle.load(file))
    except (EOFError, pickle.UnpicklingError):
        return (found[0] if found else None), dict(found[1:])

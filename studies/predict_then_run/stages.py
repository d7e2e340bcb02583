"""What the study keeps between runs: a calibrated profile, and each plan's run. Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import signal
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrate
from calibration.machine import num_cores, processor
from simulator import execute
from simulator.costs.profile import load_profile
from simulator.datasets import movielens, next_item
from simulator.datasets.histories import Histories, generated
from simulator.errors import RehearseError, ScenarioError
from simulator.version import __version__
from studies.predict_then_run.plans import scenario

Say = Callable[..., None]
"""Takes lines of progress, and the share that is done where it is known."""


def write_whole(path: Path, data: bytes) -> None:
    """The file appears complete or not at all, whatever ends this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def fingerprint(*more: str) -> str:
    """What must be the same for a kept file to be used again: machine, versions, this project's code, and `more`."""
    facts = (processor(), str(num_cores()), platform.python_version(), version("torch"), __version__, code(), *more)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


@lru_cache
def code() -> str:
    """sha256 over the sources that predict, calibrate and run."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for folder in ("simulator", "calibration", "topologies"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def calibrated(folder: Path, plans: Sequence[str], budget_s: float, say: Say) -> str:
    """The profile's file. Measured unless this very machine and code have done so before; a calibration that was cut
    short is continued."""
    profile, mark = folder / "profile.json", folder / "profile.done"
    scenarios = []
    for name in plans:
        path = folder / "plans" / f"{file_name(name)}.yaml"
        write_whole(path, scenario(name).canonical_json().encode())
        scenarios.append(str(path))
    known = fingerprint(*(scenario(name).canonical_json() for name in plans), str(budget_s))
    if profile.exists() and mark.exists():
        if mark.read_text() == f"{known} {_checksum(profile)}":
            say(f"using {profile}, calibrated on this machine before")
            return str(profile)
        mark.unlink()
        profile.unlink()
    say(f"calibrating this machine for {budget_s:.0f} s; keep it idle")
    options = {"budget_s": budget_s, "out": str(profile), "missing": scenarios, "say": say}
    with Interruptible():
        try:
            calibrate("cpu", **options)
        except ScenarioError:  # the part of a profile that another machine has left here
            profile.unlink()
            calibrate("cpu", **options)
    write_whole(mark, f"{known} {_checksum(profile)}".encode())
    return str(profile)


class Interruptible:
    """Ctrl-C while calibrating ends the study too: `calibrate` itself would write what it has and return."""

    def __enter__(self) -> None:
        self.seen, self.before = False, signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, self._see)

    def _see(self, number: int, frame: Any) -> None:
        self.seen = True
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.before)
        if self.seen:
            raise KeyboardInterrupt


def data(seed: int, say: Say) -> tuple[Histories, Any, str]:
    """(histories, source of batches, a sentence on where they come from)."""
    try:
        movielens.fetch(say)
        return movielens.load(), next_item.movielens_batches, "MovieLens-100K (GroupLens), next item by time"
    except RehearseError as error:
        say(f"{error}; using the generator")
        return generated(seed), next_item.generated_batches, f"seeded Zipf histories, because {error}"


def executed(name: str, folder: Path, steps: int, histories: Histories, source: Any, say: Say) -> tuple[Any, float]:
    """(the plan's run, NDCG@10 of the trained model); the run of an earlier call where it is the same."""
    own = scenario(name)
    known = fingerprint(own.canonical_json(), str(steps), histories.source)
    path = folder / "runs" / f"{known[:24]}.pickle"
    if path.exists():
        say(f"{name}: using the run that is kept")
        return pickle.loads(path.read_bytes())
    say(f"{name}: running {steps} steps")
    execution = execute(own, steps=steps, source=source, keep_weights=True)
    from simulator.executor.evaluation import whole_weights

    after = ndcg(own, whole_weights(own, execution.records), histories)
    for record in execution.records:  # a hundred times the size of all the rest
        record.weights.clear()
        record.tables.clear()
    write_whole(path, pickle.dumps((execution, after)))
    return execution, after


def ndcg(own: Any, weights: Any, histories: Histories) -> float:
    """NDCG@10 of the held-out items under a whole model's weights."""
    from simulator.executor.evaluation import last_scores

    ids, last = next_item.contexts(histories, own.model.trunk.seq)
    return next_item.ndcg(last_scores(own, weights, ids, last), histories)


def file_name(plan: str) -> str:
    """A plan's name as part of a path."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in plan).split())


def _checksum(profile: Path) -> str:
    return load_profile(profile).checksum


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()

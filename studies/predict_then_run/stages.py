"""What the study keeps between runs: a calibrated profile, and the plans' runs. Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrating
from calibration.machine import num_cores, processor
from simulator.costs.profile import load_profile
from simulator.datasets import movielens, next_item
from simulator.datasets.histories import Histories, generated
from simulator.errors import RehearseError, ScenarioError
from simulator.version import __version__
from studies.predict_then_run.plans import scenario
from studies.predict_then_run.turns import run_in_turns

WARMUP = 3
"""Steps of a run that are not measured."""

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


def measured(
    folder: Path, plans: Sequence[str], budget_s: float, steps: int, histories: Histories, source: Any, say: Say
) -> tuple[str, list[tuple[Any, float]]]:
    """(the profile's file, each plan's run and the NDCG@10 of its trained model).

    This machine is calibrated for `budget_s`; then the plans run in turns, and between turns what they are made of is
    measured again. Both are kept and used again by this very machine and code; a calibration that was cut short is
    continued.
    """
    profile, mark = folder / "profile.json", folder / "profile.done"
    scenarios = [scenario(name) for name in plans]
    files = [folder / "plans" / f"{file_name(name)}.yaml" for name in plans]
    for path, own in zip(files, scenarios, strict=True):
        write_whole(path, own.canonical_json().encode())
    known = fingerprint(*(own.canonical_json() for own in scenarios), str(budget_s), str(steps), histories.source)
    kept = folder / "runs" / f"{known[:24]}.pickle"
    if profile.exists() and mark.exists():
        if kept.exists() and mark.read_text() == f"{known} {_checksum(profile)}":
            say(f"using {profile}, calibrated on this machine before")
            for name in plans:
                say(f"{name}: using the run that is kept")
            return str(profile), pickle.loads(kept.read_bytes())
        mark.unlink()
        profile.unlink()
    say(f"calibrating this machine for {budget_s:.0f} s, then running in turns; keep it idle")
    how = {"budget_s": budget_s, "out": str(profile), "missing": [str(path) for path in files], "say": say}
    try:
        executions = _calibrated_and_run(scenarios, steps, source, say, how)
    except ScenarioError:  # the part of a profile that another machine has left here
        profile.unlink(missing_ok=True)
        executions = _calibrated_and_run(scenarios, steps, source, say, how)
    runs = [_judged(own, execution, histories) for own, execution in zip(scenarios, executions, strict=True)]
    write_whole(kept, pickle.dumps(runs))
    write_whole(mark, f"{known} {_checksum(profile)}".encode())
    return str(profile), runs


def _calibrated_and_run(scenarios: Sequence[Any], steps: int, source: Any, say: Say, how: dict) -> list[Any]:
    with calibrating("cpu", **how) as session, tempfile.TemporaryDirectory(prefix="rehearse-turns-") as pipes:
        try:
            session.run(time.monotonic() + how["budget_s"])
            for own in scenarios:
                say(f"{own.name}: running {steps} steps")
            return run_in_turns(
                scenarios, Path(pipes), source, session.revisit, steps=steps, warmup=WARMUP, keep_weights=True
            )
        finally:
            if session.has_measured:  # else it was interrupted at once, and there is nothing to keep
                session.flush()


def _judged(own: Any, execution: Any, histories: Histories) -> tuple[Any, float]:
    """(the run without its weights, NDCG@10 of the trained model)."""
    from simulator.executor.evaluation import whole_weights

    after = ndcg(own, whole_weights(own, execution.records), histories)
    for record in execution.records:  # a hundred times the size of all the rest
        record.weights.clear()
        record.tables.clear()
    return execution, after


def data(seed: int, say: Say) -> tuple[Histories, Any, str]:
    """(histories, source of batches, a sentence on where they come from)."""
    try:
        movielens.fetch(say)
        return movielens.load(), next_item.movielens_batches, "MovieLens-100K (GroupLens), next item by time"
    except RehearseError as error:
        say(f"{error}; using the generator")
        return generated(seed), next_item.generated_batches, f"seeded Zipf histories, because {error}"


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

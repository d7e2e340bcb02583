"""What the study's parts are made of: files that appear whole or not at all, fingerprints, data, a model's NDCG."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration.machine import num_cores, processor
from simulator.datasets import movielens, next_item
from simulator.datasets.histories import Histories, generated
from simulator.errors import RehearseError
from simulator.version import __version__

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


def judged(own: Any, execution: Any, histories: Histories) -> tuple[Any, float]:
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


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()

"""What training with each method was measured to need: `learned.json`, from the last whole run of `learning.py`.

For each method, at its own best learning rate, the steps that each of five seeds took to the loss that training without
compression has after 60 steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("learned.json")


@dataclass(frozen=True)
class Learned:
    """steps: to the target, of each seed; inf where it was not reached. rate: its learning rate."""

    method: str
    rate: float
    steps: tuple[float, ...]


def learned(file: Path = FILE) -> tuple[Learned, ...]:
    """What was measured, none first."""
    rows = json.loads(file.read_text())["methods"]
    return tuple(
        Learned(row["method"], row["rate"], tuple(inf if step is None else step for step in row["steps_to_target"]))
        for row in rows
    )


def record(runs: Sequence[Any], methods: Sequence[str], target: float, where: str) -> dict[str, Any]:
    """The file's content. runs: `learning.Trained` of every method and seed. where: of the data."""
    rows = []
    for method in methods:
        own = [run for run in runs if run.method == method]
        rows.append({"method": method, "rate": own[0].rate, "steps_to_target": [run.steps_to(target) for run in own],
                     "ndcg_at_10": [round(run.ndcg, 6) for run in own]})  # fmt: skip
    return {"data": where, "steps": len(runs[0].losses), "target_loss": round(target, 6), "methods": rows}

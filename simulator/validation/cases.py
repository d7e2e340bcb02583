"""A published row: the scenario that it measured, and the seconds it found."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simulator.registry import published

STEP, LAYER_FORWARD, LAYER_BACKWARD = "step", "layer_forward", "layer_backward"
SCALED_STEP, KERNELS = "scaled_step", "kernels"


@dataclass(frozen=True)
class Case:
    """One measurement.

    source: name of the table it comes from. name: the row, in the source's own words.
    scenario: what a user would write in a file. measured_s: seconds, as published or derived from a published rate.
    group: rows of the same group are ranked against each other (same model, GPUs and batch: only the plan differs).
    quantity: step; the forward or backward time of one layer, which is the difference between `scenario` and
    `baseline`; a scaled step: that of `baseline` as measured (baseline_s) times the ratio of the two as predicted; or
    the sum of kernels, those of `ops`, in one step.
    rounding_percent: half a unit of the last digit that was published, % of the measurement; 0 where it is far below
    the errors here.
    fitted: whether a constant was fitted to it (its source's FIT_ROWS): it then checks nothing, and is shown apart.
    stand_in: empty for the plan that was measured; otherwise what differs: such a row is shown, and kept out of the
    source's means.
    """

    source: str
    name: str
    scenario: dict[str, Any] = field(repr=False)
    measured_s: float
    group: str
    quantity: str = STEP
    baseline: dict[str, Any] | None = field(default=None, repr=False)
    baseline_s: float | None = None
    ops: tuple[str, ...] = ()
    stand_in: str = ""
    rounding_percent: float = 0.0
    fitted: bool = False


def read_rows(file: str) -> Iterator[dict[str, str]]:
    """The rows of a published table under calibration/published/cases; `#` lines are its citation."""
    with published(f"cases/{file}").open(encoding="utf-8", newline="") as text:
        yield from csv.DictReader(line for line in text if not line.startswith("#"))


def gpt_model(*, layers: int, hidden: int, heads: int, seq: int, vocab: int) -> dict[str, Any]:
    """GPT as Megatron-LM trains it: learned positions, GELU MLP of 4h, tied token embedding."""
    trunk = {"block": "gpt", "layers": layers, "hidden": hidden, "heads": heads, "seq": seq, "vocab": vocab}
    return {"trunk": trunk, "head": {"kind": "lm"}}


def scenario(name: str, *, model: dict, cluster: dict, plan: dict, **keys: Any) -> dict[str, Any]:
    """A scenario of version 1."""
    return {"schema_version": 1, "name": name, "model": model, "cluster": cluster, "plan": plan, **keys}


def rounded_percent(published: str) -> float:
    """Half a unit of the last digit of a published number, % of it: '149' -> 0.34."""
    _, _, decimals = published.partition(".")
    return 50.0 * 10.0 ** -len(decimals) / float(published)

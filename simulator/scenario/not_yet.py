"""What the scenario file can say and this version does not build: one table, from which later work deletes lines.

A line is (key, whether the scenario asks for it, what to use instead). An option that has nothing to act on (zero 3
with one replica) asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.errors import NotSupportedYet
from simulator.scenario.messages import shown
from simulator.scenario.schema import ScenarioFile, Serving
from simulator.values import Value

Line = tuple[str, Callable[[ScenarioFile], bool], str]


NOT_YET: tuple[Line, ...] = (
    ("model.tables.*.dtype", lambda f: any(t.dtype == "fp8" for t in f.model.tables), "use fp32, fp16 or bf16"),
    ("dtype", lambda f: f.dtype == "fp8", "use bf16"),
    ("precision.parameters", lambda f: f.precision.parameters == "fp8", "use bf16"),
    ("precision.gradients", lambda f: f.precision.gradients == "fp8", "use bf16 or fp32"),
    ("precision.vectors", lambda f: f.precision.vectors == "fp8", "use fp16, bf16 or fp32"),
    ("precision.reduce", lambda f: f.precision.reduce == "fp8", "use bf16 or fp32"),
    ("plan.sync.mode", lambda f: f.plan.sync.mode != "synchronous", "use synchronous"),
    ("plan.sync.servers", lambda f: f.plan.sync.servers is not None, "leave it out"),
    ("faults.mtbf_hours", lambda f: f.faults.mtbf_hours is not None, "leave it out"),
    ("faults.checkpoint", lambda f: f.faults.checkpoint is not None, "leave it out"),
    ("faults.spares", lambda f: f.faults.spares > 0, "use 0"),
    ("serving", lambda f: f.serving != Serving(), "leave it empty"),
    ("prices", lambda f: f.prices is not None, "use null"),
)  # fmt: skip


def check_supported(file: ScenarioFile) -> None:
    """Raises NotSupportedYet for the first thing asked for that is not built, with key, value and what to use.

    Called for what is stated, and again when the data degree is known.
    """
    for key, asks, instead in NOT_YET:
        if asks(file):
            key, value = _first_value(file, key)
            said = str(value) if isinstance(value, str) else shown(value)
            said = "this" if isinstance(value, tuple | Value) else said
            raise NotSupportedYet(f"{said} is not supported yet; {instead}", key=key)


def _first_value(file: ScenarioFile, key: str) -> tuple[str, Any]:
    """(key, value) where `*` stands for the first list item that is not at its default."""
    value: Any = file
    path: list[str] = []
    parts = key.split(".")
    for place, part in enumerate(parts):
        if part == "*":
            rest = parts[place + 1]
            default = type(value[0]).model_fields[rest].default
            wrong = [i for i, item in enumerate(value) if getattr(item, rest) != default]
            index = next((i for i in wrong if getattr(value[i], rest) not in ("bf16", "fp16")), wrong[0])
            value, part = value[index], str(index)
        else:
            value = getattr(value, part)
        path.append(part)
    if isinstance(value, Serving):  # say which of its keys
        part = next(key for key, held in value if held != type(value).model_fields[key].default)
        return f"{key}.{part}", getattr(value, part)
    return ".".join(path), value

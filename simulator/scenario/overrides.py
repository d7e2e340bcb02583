"""`--set a.b=c`: one value of a file replaced, without touching the file."""

from __future__ import annotations

from typing import Any

from simulator.errors import ScenarioError
from simulator.scenario.messages import shown
from simulator.scenario.source import Path, Source, dotted, parse_value, printable

Override = tuple[Path, Any, str]
"""(path, value, the text as the user wrote it)."""


def parse_override(text: str) -> Override:
    """The parts of `plan.tensor=8`; the value is read as YAML. Raises ScenarioError for anything else."""
    label = f"--set {printable(text)}"
    key, sign, value = text.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise ScenarioError("write it as key=value, such as --set plan.tensor=8", file=label)
    path = tuple(int(part) if part.isdecimal() else part for part in parts)
    try:
        return path, parse_value(value, label), label
    except ScenarioError as error:
        raise ScenarioError(error.message, file=label, key=dotted(path)) from None


def apply_override(source: Source, override: Override) -> None:
    """Puts the value at its place in the source's data, and remembers that `--set` put it there.

    Mappings on the way are made where there is none; a list item must exist.
    """
    path, value, label = override
    holder = source.data
    for depth, part in enumerate(path):
        here = path[:depth]
        if isinstance(holder, list):
            if not isinstance(part, int) or part >= len(holder):
                raise ScenarioError(
                    f"{dotted(here)} is a list of {len(holder)}; use an index from 0 to {len(holder) - 1}"
                    if holder else f"{dotted(here)} is an empty list; set the whole list",
                    key=dotted(path), file=label,
                )  # fmt: skip
        elif not isinstance(holder, dict):
            raise ScenarioError(f"{dotted(here)} is {shown(holder)}, which has no keys; set {dotted(here)} itself",
                                key=dotted(path), file=label)  # fmt: skip
        else:
            part = str(part) if isinstance(part, int) else part
        if depth == len(path) - 1:
            holder[part] = value
            break
        if isinstance(holder, dict) and holder.get(part) is None:
            if isinstance(path[depth + 1], int):
                there = dotted((*here, part))
                raise ScenarioError(f"{there} is not there, so it has no item {path[depth + 1]}; set the whole list",
                                    key=dotted(path), file=label)  # fmt: skip
            holder[part] = {}
        holder = holder[part]
    for known in [known for known in source.places if known[: len(path)] == path]:
        del source.places[known]
    source.places[path] = (label, None)

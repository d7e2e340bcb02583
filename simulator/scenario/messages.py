"""What is wrong with a file, in one plain sentence: pydantic's findings in a user's words, with a remedy."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from simulator.errors import ScenarioError
from simulator.scenario.keys import keys_at, nearest, unknown_key
from simulator.scenario.source import Path, Source, dotted
from simulator.values import MAX_INTEGER

EXAMPLES = {
    "schema_version": "`schema_version: 1`",
    "name": "`name: my-run`",
    "model": "`model: {preset: gpt3_175b}`",
    "cluster": "`cluster: {preset: dgx_a100, nodes: 8}`",
    "plan": "`plan: {tensor: 8, microbatch: 1, global_batch: 64}`",
    "microbatch": "`microbatch: 1` (samples in a microbatch of one data-parallel rank)",
    "global_batch": "`global_batch: 64` (samples in a step over all data-parallel ranks)",
    "rows": "`rows: 1000000`",
    "dim": "`dim: 128`",
}
"""What to add for a required key that is missing."""


def scenario_error(source: Source, error: ValidationError) -> ScenarioError:
    """The one finding to tell first: a key that does not exist, then wrong values, then missing ones, in file order."""

    def rank(found: dict[str, Any]) -> tuple[int, int]:
        group = {"extra_forbidden": 0, "missing": 2}.get(found["type"], 1)
        return group, source.place(_path(source.data, found))[1] or 0

    found = min(error.errors(include_url=False), key=rank)
    path = _path(source.data, found)
    if found["type"] == "union_tag_not_found" and isinstance(found["input"], dict):
        for key in found["input"]:  # the kind may be there, misspelt
            if key not in keys_at(path):
                return source.error((*path, key), unknown_key((*path, key)))
    return source.error(path, _sentence(path, found))


def _path(data: Any, found: dict[str, Any]) -> Path:
    """The finding's place in the user's data: pydantic adds the names of alternatives, which nobody wrote."""
    path: list[str | int] = []
    names_a_key = found["type"] in ("missing", "extra_forbidden")
    for position, part in enumerate(found["loc"]):
        present = (isinstance(data, dict) and part in data) or (
            isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        )
        if present:
            data = data[part]
            path.append(part)
        elif names_a_key and position == len(found["loc"]) - 1:
            path.append(part)
    return tuple(path)


def _sentence(path: Path, found: dict[str, Any]) -> str:
    kind, value, context = found["type"], found.get("input"), found.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind == "missing":
        key = str(path[-1])
        return f"this key is required; add {EXAMPLES.get(key, f'`{key}: ...`')}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "union_tag_invalid", "union_tag_not_found"):
        return _not_a_choice(value, context, kind)
    plain = found["msg"][:1].lower() + found["msg"][1:]
    wanted = next((wanted for fits, wanted in _WANTED if fits(kind)), plain)
    if callable(wanted):
        wanted = wanted(path, context)
    if value is None:
        return f"nothing stands here, and it must be {wanted}; give one (a key with a default may also be left out)"
    return f"{shown(value)} does not fit; it must be {wanted}"


def _not_a_choice(value: Any, context: dict[str, Any], kind: str) -> str:
    listed = context.get("expected", context.get("expected_tags", ""))
    choices = [word.strip().strip("'\"") for word in listed.replace(" or ", ", ").split(",") if word.strip()]
    if kind == "union_tag_invalid":
        value = context.get("tag")
    if kind == "union_tag_not_found":
        return f"{shown(value)} does not say its kind; add `kind: ...`, as `rehearse show schema` lists them"
    close = nearest(value, choices) if isinstance(value, str) else None
    among = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    hint = f"did you mean {close}? ({among})" if close else f"use {among}"
    return f"{shown(value)} is not a choice here; {hint}"


def _mapping(path: Path, context: dict[str, Any]) -> str:
    keys = keys_at(path)
    return f"a mapping with keys such as {', '.join(keys[:4])}" if keys else "a mapping of keys to values"


def _bound(path: Path, context: dict[str, Any]) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    key = next(name for name in words if name in context)
    bound = context[key]
    if bound == MAX_INTEGER:
        return f"at most 2^53 ({MAX_INTEGER})"
    return f"{words[key]} {bound:g}"


_WANTED = (
    (lambda kind: kind.startswith("int"), "a whole number, without a point or quotes"),
    (lambda kind: kind.startswith("bool"), "true or false"),
    (lambda kind: kind == "finite_number", "a finite number"),
    (lambda kind: kind.startswith("float"), "a number, without quotes"),
    (lambda kind: kind == "string_too_short", "a text of at least one letter"),
    (lambda kind: kind.startswith("string"), "text; put it in quotes"),
    (lambda kind: kind in ("model_type", "model_attributes_type", "dict_type"), _mapping),
    (lambda kind: kind in ("tuple_type", "list_type"), "a list, such as [1, 2]"),
    (lambda kind: kind.startswith(("greater_than", "less_than")), _bound),
)


def shown(value: Any) -> str:
    """A value as a sentence shows it: short, in YAML's spelling."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | BaseModel):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def root_error(source: Source) -> ScenarioError | None:
    """What is wrong where the whole file is not a mapping; None where it is one."""
    if isinstance(source.data, dict):
        return None
    if source.data is None:
        return ScenarioError(
            "the file is empty; write a scenario to start from with `rehearse init gpt3_175b --out FILE`",
            file=source.label,
        )
    return ScenarioError(
        f"a scenario is `key: value` lines, and this is {shown(source.data)}; see `rehearse init gpt3_175b`",
        file=source.label,
        line=source.place(())[1],
    )


__all__ = ["dotted", "root_error", "scenario_error", "shown"]

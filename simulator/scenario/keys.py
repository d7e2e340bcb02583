"""The keys of the scenario file as a tree, and the nearest one to a key that is not there."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from simulator.scenario.schema import ScenarioFile
from simulator.scenario.source import Path, dotted


def sections_at(path: Path) -> tuple[type[BaseModel], ...]:
    """The values that may stand at `path`: one, several where the kind decides, none where a plain value stands."""
    found: tuple[type[BaseModel], ...] = (ScenarioFile,)
    for part in path:
        if isinstance(part, int):
            continue
        fields = [section.model_fields[part] for section in found if part in section.model_fields]
        found = tuple(value for field in fields for value in _values_in(field.annotation))
    return found


def keys_at(path: Path) -> tuple[str, ...]:
    """The valid keys of the mapping at `path`, in the order of the schema."""
    return tuple(dict.fromkeys(key for section in sections_at(path) for key in section.model_fields))


@cache
def homes(key: str) -> tuple[str, ...]:
    """Every place where `key` is valid, as dotted paths with [] for list items."""
    return tuple(f"{prefix}.{key}" if prefix else key for prefix, keys in _tree(ScenarioFile, "") if key in keys)


def unknown_key(path: Path, extra: Iterable[str] = ()) -> str:
    """One sentence for a key that is not valid where it stands, with the nearest one that is.

    extra: keys that are valid there besides the schema's.
    """
    key, parent = str(path[-1]), path[:-1]
    valid = tuple(dict.fromkeys((*keys_at(parent), *extra)))
    where = dotted(parent) or "a scenario"
    close = nearest(key, valid)
    elsewhere = homes(key)
    if close is not None:
        return f"no such key; did you mean {close}?"
    if elsewhere:
        return f"no such key in {where}; {key} belongs at {' or '.join(elsewhere[:2])}"
    if not valid:
        return f"{where} takes no keys; write a plain value"
    return f"no such key; the nearest of the valid keys is {_most_alike(key, valid)} (of {', '.join(valid)})"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that this one was meant to be, None where none is near: at most a third of its letters differ."""
    words = tuple(words)
    if not words:
        return None
    best = _most_alike(word, words)
    ratio = difflib.SequenceMatcher(None, word.lower(), best.lower()).ratio()
    return best if ratio >= 0.6 or _edits(word.lower(), best.lower()) <= 1 else None


def _most_alike(word: str, words: tuple[str, ...]) -> str:
    def rank(other: str) -> tuple[int, float]:
        lowered = other.lower()
        return _edits(word.lower(), lowered), -difflib.SequenceMatcher(None, word.lower(), lowered).ratio()

    return min(words, key=rank)


def _edits(left: str, right: str) -> int:
    """Letters to add, drop, change or swap with their neighbour to turn one word into the other."""
    older, old = [0] * (len(right) + 1), list(range(len(right) + 1))
    for i, letter in enumerate(left, 1):
        new = [i]
        for j, other in enumerate(right, 1):
            cost = min(old[j] + 1, new[-1] + 1, old[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            new.append(cost)
        older, old = old, new
    return old[-1]


def _tree(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield prefix, tuple(section.model_fields)
    for key, field in section.model_fields.items():
        mark = "[]" if "tuple" in str(field.annotation) else ""
        for value in _values_in(field.annotation):
            yield from _tree(value, f"{prefix}.{key}{mark}" if prefix else f"{key}{mark}")


def _values_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The pydantic values that an annotation such as `tuple[Table, ...] | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(value for part in typing.get_args(annotation) for value in _values_in(part))

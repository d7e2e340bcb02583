"""`model.preset` and `model.huggingface` replaced by what they stand for; keys beside them win."""

from __future__ import annotations

import os
from typing import Any

from simulator.scenario.messages import shown
from simulator.scenario.presets import preset_model
from simulator.scenario.schema import PRESET_KEYS
from simulator.scenario.source import Path, Source

MERGED = ("trunk", "dense")


def is_expansion(path: Path) -> bool:
    """Whether an override at this path stands beside the preset (`model.trunk={...}`), rather than within it."""
    return path[0] == "model" and len(path) <= 2


def expand_model(source: Source, folder: str) -> None:
    """Merges what the preset or Hugging Face file says under the model's own keys.

    `trunk` and `dense` are merged key by key; tables, head and adapter are replaced whole where they are given.
    folder: what a relative path to a Hugging Face file starts from. Raises ScenarioError, NotSupportedYet.
    """
    model = source.data.get("model")
    if not isinstance(model, dict):
        return  # the schema says what is wrong with it
    preset, file = model.get("preset"), model.get("huggingface")
    for key, value in (("preset", preset), ("huggingface", file)):
        if value is not None and not (isinstance(value, str) and value):
            raise source.error(("model", key), f"{shown(value)} does not fit; it must be text")
    if preset is not None and file is not None:
        raise source.error(("model", "huggingface"), f"preset {preset} stands beside it; keep one of the two")
    brought: dict[str, Any] = {}
    if preset is not None:
        brought = preset_model(preset)
    elif file is not None:
        from simulator.scenario.huggingface import trunk_from_config

        brought = {"trunk": trunk_from_config(os.path.join(folder, os.path.expanduser(file)))}
    for key in PRESET_KEYS:
        model.pop(key, None)
    if "trunk" in brought and model.get("trunk") is None:
        model.pop("trunk", None)
    for key, value in brought.items():
        stated = model.get(key)
        if key not in model:
            model[key] = value
        elif key in MERGED and isinstance(stated, dict):
            model[key] = {**value, **stated}

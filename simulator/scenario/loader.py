"""The road from a file to a Scenario: read, override, expand presets, check, resolve."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from simulator.errors import ScenarioError
from simulator.scenario.expand import expand_model, is_expansion
from simulator.scenario.lengths import from_folder
from simulator.scenario.messages import root_error, scenario_error
from simulator.scenario.overrides import apply_override, parse_override
from simulator.scenario.resolve import resolve
from simulator.scenario.scenario import Scenario
from simulator.scenario.schema import ScenarioFile
from simulator.scenario.source import Source, parse_yaml, read_text


def load_scenario(path: str | os.PathLike[str], set: Iterable[str] = ()) -> Scenario:
    """The scenario in a YAML file, or on standard input where path is "-".

    set: overrides as `--set` takes them, such as "plan.tensor=8", applied in order.
    Raises ScenarioError with file, line, key, value and remedy; NotSupportedYet for what this version does not build.
    The error's `name` is the scenario's name where the file got as far as saying it.
    """
    path = os.fspath(path)
    text, label = read_text(path)
    return _build(parse_yaml(text, label), tuple(set), folder=os.path.dirname(path))


def scenario_from(data: Mapping[str, Any], set: Iterable[str] = (), *, label: str = "scenario") -> Scenario:
    """The scenario that plain data describes: the same keys as a file's. The data is not changed."""
    return _build(Source(label, deepcopy(dict(data))), tuple(set), folder="")


def _build(source: Source, overrides: tuple[str, ...], folder: str) -> Scenario:
    try:
        if error := root_error(source):
            raise error
        parsed = [parse_override(text) for text in overrides]
        # Which preset is known before anything inside it can be set: `--set model.tables.0.rows=1000`.
        for override in parsed:
            if is_expansion(override[0]):
                apply_override(source, override)
        expand_model(source, folder)
        for override in parsed:
            if not is_expansion(override[0]):
                apply_override(source, override)
        from_folder(source, folder)
        try:
            stated = ScenarioFile.model_validate(source.data)
        except ValidationError as error:
            raise scenario_error(source, error) from None
        return resolve(stated, source)
    except ScenarioError as error:
        located = source.located(error)
        name = source.data.get("name") if isinstance(source.data, dict) else None
        located.name = name if isinstance(name, str) else None
        raise located from None

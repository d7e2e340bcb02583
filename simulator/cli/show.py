"""`rehearse show`: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from simulator.errors import ScenarioError

NOT_YET = "not supported yet"


def show(
    what: Annotated[str, typer.Argument(metavar="presets|topologies|profiles|schema|policies", help="What to list.")],
) -> None:
    """List models, clusters, cost profiles, the scenario's JSON Schema, or the policies of a plan."""
    if what not in LISTS:
        from simulator.scenario.keys import nearest

        close = nearest(what, LISTS)
        hint = f"did you mean {close}?" if close else f"use one of {', '.join(LISTS)}"
        raise ScenarioError(f"there is no list of {what!r}; {hint}", key="show")
    LISTS[what]()


def presets() -> None:
    """Names of models with what each is."""
    from simulator.scenario.presets import PRESETS, preset_summary

    _columns([(name, preset_summary(name)) for name in PRESETS])


def topologies() -> None:
    """Names of machine rooms with what each is and its keywords."""
    from simulator import registry

    rows = []
    for name in registry.topology_names():
        rows.append((name, f"{registry.topology_summary(name)} ({', '.join(registry.topology_keywords(name))})"))
    _columns(rows)


def profiles() -> None:
    """Names of the cost profiles that ship with the package."""
    from simulator import registry

    for name in registry.profile_names():
        print(name)


def schema() -> None:
    """The JSON Schema of a scenario file."""
    from simulator.scenario.schema import json_schema

    print(json.dumps(json_schema(), indent=2))


def policies() -> None:
    """The named choices of a plan, and which of them this version builds."""
    from simulator.scenario.policies import policies as named

    for key, choices in named():
        print(f"{key}: " + ", ".join(name if built else f"{name} ({NOT_YET})" for name, built in choices))


LISTS: dict[str, Callable[[], None]] = {
    "presets": presets,
    "topologies": topologies,
    "profiles": profiles,
    "schema": schema,
    "policies": policies,
}


def _columns(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")

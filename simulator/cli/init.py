"""`rehearse init`: a commented scenario that runs as it stands."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from simulator.cli.output import check_writable
from simulator.errors import ScenarioError


def init(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A model of `rehearse show presets`.")],
    out: Annotated[str | None, typer.Option(metavar="F.yaml", help="Write here instead of printing.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented scenario to start from."""
    from simulator.scenario.starters import starter

    text = starter(preset)
    if out is None:
        print(text, end="")
        return
    check_writable(out, "--out")
    if os.path.exists(out) and not force:
        raise ScenarioError(f"{out} is already there; give another name, or --force to overwrite it", key="--out")
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    print(f"{out}: run it with `rehearse simulate {out}`", file=sys.stderr)

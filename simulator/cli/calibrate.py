"""`rehearse calibrate`: measures this machine and writes a cost profile."""

from __future__ import annotations

import sys
from math import inf
from typing import Annotated

import typer

from simulator.cli.output import check_writable
from simulator.errors import ScenarioError

LEAST_BUDGET_S = 1.0
BAR_WIDTH = 24


def calibrate(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is a GPU.")] = "auto",
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="Measure this long, starting included.")] = 90.0,
    out: Annotated[str | None, typer.Option(metavar="PROFILE.json", help="Write (or go on with) this profile.")] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Measure what a scenario needs first, or just a simulation's list."),
    ] = None,
    imported: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--import", metavar="nccl-tests|kineto|csv FILE", help="Add a file's times to a profile; measures nothing."
        ),
    ] = None,
    onto: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="What --import adds to, where --out is new: a profile, or a topology."),
    ] = None,
) -> None:
    """Measure this machine and write a cost profile."""
    if not budget >= LEAST_BUDGET_S:
        raise ScenarioError(f"{budget:g} s is too short to measure anything; give 20 or more", key="--budget")
    if budget == inf:
        raise ScenarioError("a calibration ends; give it seconds, such as 600", key="--budget")
    check_writable(out, "--out")
    from simulator.registry import calibration

    command, room = " ".join(("rehearse", *sys.argv[1:])), calibration()
    if imported is not None:
        if missing:
            raise ScenarioError("--import measures nothing; leave --missing to another call", key="--missing")
        print(*room.import_file(*imported, onto=onto, out=out, command=command), sep="\n")
        return
    if onto is not None:
        raise ScenarioError("--onto says what --import adds to; give it with --import", key="--onto")
    if room.follows(device):
        return
    record, path = room.calibrate(device, budget_s=budget, out=out, missing=missing or (), command=command, say=say)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for line in room.report_lines(record, path):
        print(line)


def say(line: str, share: float | None = None) -> None:
    """One line of progress on stderr; on a terminal a bar that stays in its line."""
    if share is None or not sys.stderr.isatty():
        print(f"calibrate: {line}", file=sys.stderr, flush=True)
        return
    done = round(BAR_WIDTH * min(1.0, share))
    end = "\n" if share >= 1.0 else ""
    print(f"\r\x1b[2K[{'#' * done}{'.' * (BAR_WIDTH - done)}] {line}", end=end, file=sys.stderr, flush=True)

"""What the verbs share: data on stdout, progress on stderr, files that can be written."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

from simulator.errors import RehearseError, ScenarioError

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as plan.tensor=4; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing on stderr.")]


def print_json(value: Any) -> None:
    """One JSON object on a line of its own, seen at once by whoever reads the pipe."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")
    sys.stdout.flush()


def failure(name: str, error: Exception) -> dict[str, Any]:
    """What stands in the place of a result that failed."""
    kind = error.kind if isinstance(error, RehearseError) else "internal"
    message = str(error) if isinstance(error, RehearseError) else f"{type(error).__name__}: {error}"
    return {"name": name, "error": {"kind": kind, "message": message}}


def check_writable(path: str | None, option: str) -> None:
    """Finds out before a long run whether its result can be written. Raises ScenarioError."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ScenarioError(f"{path} is a folder; give the file's name", key=option)
    if not os.path.isdir(folder):
        raise ScenarioError(f"there is no folder {folder} for {path}; make it first", key=option)
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ScenarioError(f"{path} cannot be written; choose another place", key=option)


class Progress:
    """How far a verb is, on stderr: a bar with the time left on a terminal, lines elsewhere, nothing when quiet."""

    def __init__(self, total: int, *, quiet: bool, of: str):
        self.total, self.done, self.of = total, 0, of
        self.lines = not quiet and not sys.stderr.isatty()
        self.bar: Any = None
        if not quiet and sys.stderr.isatty() and total > 1:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(of, total=total)

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, text: str) -> None:
        """One more is done."""
        self.done += 1
        if self.bar:
            self.bar.update(self.task, advance=1, description=f"{self.of} {text}")
        elif self.lines:
            print(f"{self.of} {self.done}/{self.total}: {text}", file=sys.stderr, flush=True)

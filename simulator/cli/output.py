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


OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def explained(error: BaseException) -> tuple[str, str, int]:
    """(kind, sentence, exit code) of whatever went wrong: an error of ours, typer's, the system's, or a fault."""
    if isinstance(error, RehearseError):
        return error.kind, str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":  # Abort: how typer hands on Ctrl-C
        return "interrupted", "interrupted", INTERRUPTED
    if hasattr(error, "format_message"):  # a usage error of typer (of click, in older versions)
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "rehearse"
        return "bad_usage", f"{error.format_message().rstrip('.')}; see `{path} --help`", BAD_INPUT
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        place = error.filename or "a file"
        return "failed", f"{place}: {reason}; check the path, its permissions and the space left", FAILED
    text = " ".join(str(error).split()) or "no message"
    sentence = f"a fault of rehearse itself ({type(error).__name__}: {text}); set REHEARSE_TRACEBACK=1 to see where"
    return "internal", sentence, FAILED


def wants_traceback(error: BaseException) -> bool:
    """Whether somebody who looks for a fault of ours has asked for more than a sentence."""
    return bool(os.environ.get("REHEARSE_TRACEBACK")) and explained(error)[0] in ("internal", "failed")


def whole(text: str | int) -> int:
    """A count on the command line. Raises typer's error for anything but a whole number of at least 0."""
    if str(text).isdecimal():
        return int(text)
    raise typer.BadParameter(f"{text!r} is not a whole number of at least 0")


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

"""`rehearse`: the verbs, and the one place where whatever goes wrong becomes a sentence and an exit code.

Exit codes: 0 ok (also an infeasible simulation), 1 failed, 2 bad usage or input, 3 nothing feasible was found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from simulator.cli import calibrate, compare, doctor, execute, init, not_built, show, simulate, trace, validate
from simulator.cli.output import FAILED, INTERRUPTED, OK, explained, wants_traceback

app = typer.Typer(
    name="rehearse",
    help="Rehearse a training run before paying for it: predicts steps of LLM-based recommenders on a cluster.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from simulator.version import __version__

        print(f"rehearse {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


app.command("init")(init.init)
app.command("simulate")(simulate.simulate)
app.command("trace")(trace.trace)
app.command("validate")(validate.validate)
app.command("calibrate")(calibrate.calibrate)
app.command("execute")(execute.execute)
app.command("compare")(compare.compare)
app.command("show")(show.show)
app.command("doctor")(doctor.doctor)
for _verb, _help in not_built.VERBS.items():
    app.command(_verb, help=f"{_help} Not supported yet.", context_settings=not_built.TAKES_ANYTHING)(not_built.refuse)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of the command."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; prints no traceback unless REHEARSE_TRACEBACK is set."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="rehearse", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # newer typers turn Ctrl-C into this code themselves
            raise KeyboardInterrupt
        return code if isinstance(code, int) else OK
    except BrokenPipeError:
        # the reader is gone: silence the interpreter's own flush at exit too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if wants_traceback(error):
            raise
        _, sentence, code = explained(error)
        print(f"rehearse: {sentence}", file=sys.stderr)
        return code


if __name__ == "__main__":
    main()

"""`rehearse simulate`: predicts each scenario in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from simulator.cli.output import (
    OK,
    Json,
    Progress,
    Sets,
    check_writable,
    explained,
    print_json,
    wants_traceback,
    whole,
)
from simulator.errors import ScenarioError


def simulate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenarios; - is standard input.")],
    sets: Sets = None,
    engine: Annotated[str, typer.Option(help="simpy, auto; compiled and both are not supported yet.")] = "auto",
    samples: Annotated[
        int, typer.Option(parser=whole, metavar="K", help="Draws of the costs' errors; 0 takes every median.")
    ] = 0,
    as_json: Json = False,
    report: Annotated[str | None, typer.Option(metavar="R.html", help="Write a report of all results.")] = None,
    trace: Annotated[str | None, typer.Option(metavar="T.json.gz", help="Write a Perfetto trace of one FILE.")] = None,
    decisions: Annotated[
        str | None, typer.Option(metavar="D.jsonl", help="Write what the policies of one FILE decided.")
    ] = None,
    missing: Annotated[
        str | None, typer.Option(metavar="M.json", help="Write what no profile has measured, for calibrate --missing.")
    ] = None,
) -> int:
    """Predict the training step of each scenario."""
    single = (
        ("--trace", trace, "a trace shows one scenario"),
        ("--decisions", decisions, "decisions are one scenario's"),
    )
    for option, path, why in single:
        if path is not None and len(files) > 1:
            raise ScenarioError(f"{why}, and {len(files)} files are given; give one", key=option)
    written = {"--report": report, "--trace": trace, "--decisions": decisions, "--missing": missing}
    for option, path in written.items():
        check_writable(path, option)
    from simulator.simulation import check_engine

    check_engine(engine)
    results, code = [], OK
    with Progress(len(files), quiet=as_json, of="simulate") as progress:
        for file in files:
            try:
                result = predicted(file, sets or (), engine, samples)
                printed: dict[str, Any] = result.to_dict() if as_json else {}
            except Exception as error:  # one bad file must not cost the others
                if wants_traceback(error):
                    raise
                code = max(code, _say(error, file, as_json))  # bad input (2) outranks a failure (1)
                progress.step(f"{file} failed")
                continue
            results.append(result)
            if as_json:
                print_json(printed)
            progress.step(result.name)
    if results and not as_json:
        from rich.console import Console

        from simulator.report.tables import print_to, simulation_table

        print_to(Console(), simulation_table(results))
    if results:
        _write(results, **{option.removeprefix("--"): path for option, path in written.items()})
    return code


def _say(error: Exception, file: str, as_json: bool) -> int:
    """Says what went wrong with a file, in its place among the answers; returns its exit code."""
    kind, sentence, code = explained(error)
    if as_json:
        name = getattr(error, "name", None)
        named = name if isinstance(name, str) else file
        print_json({"name": named, "error": {"kind": kind, "message": sentence}})
    else:
        print(f"rehearse: {sentence}", file=sys.stderr)
    return code


def _write(results: list[Any], report: str | None, trace: str | None, decisions: str | None, missing: str | None):
    """Writes the files that were asked for. results: at least one."""
    if report is not None:
        from simulator.report.html import write_report

        write_report(results, report, command=("rehearse", *sys.argv[1:]))
    if trace is not None:
        from simulator.report.trace import write_trace

        write_trace(results[0], trace)
    if decisions is not None:
        from simulator.policies.decisions import decisions_text

        Path(decisions).write_text(decisions_text(results[0].decisions), encoding="utf-8")
    if missing is not None:
        rows = dict.fromkeys(json.dumps(row) for result in results for row in result.unmeasured)
        Path(missing).write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


def predicted(file: str, sets: Sequence[str], engine: str = "auto", samples: int = 0) -> Any:
    """The Result of a scenario file; an error names the file's line, a fault the scenario."""
    from simulator.scenario.loader import load_scenario
    from simulator.simulation import simulate as predict

    scenario = load_scenario(file, sets)
    try:
        return predict(scenario, engine=engine, samples=samples)
    except ScenarioError as error:
        raise scenario.located(error) from error
    except Exception as error:
        error.name = scenario.name
        raise

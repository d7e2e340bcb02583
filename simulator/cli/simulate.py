"""`rehearse simulate`: predicts each scenario in turn."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from simulator.cli.output import Json, Progress, Sets, check_writable, explained, print_json, wants_traceback, whole
from simulator.errors import NotSupportedYet, ScenarioError


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
    check_writable(missing, "--missing")
    if trace is not None and len(files) > 1:
        raise ScenarioError(f"a trace shows one scenario, and {len(files)} files are given; give one", key="--trace")
    if decisions is not None and len(files) > 1:
        raise ScenarioError(
            f"decisions are one scenario's, and {len(files)} files are given; give one", key="--decisions"
        )
    check_writable(decisions, "--decisions")
    check_writable(report, "--report")
    check_writable(trace, "--trace")
    check_engine(engine)
    results, code = [], 0
    with Progress(len(files), quiet=as_json, of="simulate") as progress:
        for file in files:
            try:
                result = _predict(file, sets or (), engine, samples)
                printed: dict[str, Any] = result.to_dict() if as_json else {}
            except Exception as error:  # one bad file must not cost the others
                if wants_traceback(error):
                    raise
                kind, sentence, failed_code = explained(error)
                code = max(code, failed_code)  # bad input (2) outranks a failure (1)
                name = getattr(error, "name", None)
                if as_json:
                    named = name if isinstance(name, str) else file
                    print_json({"name": named, "error": {"kind": kind, "message": sentence}})
                else:
                    print(f"rehearse: {sentence}", file=sys.stderr)
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
    if results and report is not None:
        from simulator.report.html import write_report

        write_report(results, report, command=("rehearse", *sys.argv[1:]))
    if results and trace is not None:
        from simulator.report.trace import write_trace

        write_trace(results[0], trace)
    if results and missing is not None:
        rows = {json.dumps(row): None for result in results for row in result.unmeasured}
        with open(missing, "w", encoding="utf-8") as file:
            file.write("[\n" + ",\n".join(rows) + "\n]\n")
    if results and decisions is not None:
        from simulator.policies.decisions import decisions_text

        with open(decisions, "w", encoding="utf-8") as file:
            file.write(decisions_text(results[0].decisions))
    return code


def check_engine(engine: str) -> None:
    """Raises ScenarioError for an engine that does not exist, NotSupportedYet for one that is not built."""
    from simulator.simulation import ENGINES, NOT_BUILT

    if engine in NOT_BUILT:
        raise NotSupportedYet(f"engine {engine} is not supported yet; use {' or '.join(ENGINES)}", key="--engine")
    if engine not in ENGINES:
        raise ScenarioError(f"{engine!r} is not an engine; use {' or '.join(ENGINES)}", key="--engine")


def _predict(file: str, sets: list[str] | tuple[()], engine: str, samples: int) -> Any:
    from simulator.scenario.loader import load_scenario
    from simulator.simulation import simulate as predict

    scenario = load_scenario(file, sets)
    try:
        return predict(scenario, engine=engine, samples=samples)
    except ScenarioError as error:
        raise scenario.located(error) from error
    except OverflowError:
        message = "times or bytes do not fit 63 bits (292 years in nanoseconds); make the model or the batch smaller"
        raise scenario.located(ScenarioError(message)) from None
    except Exception as error:
        error.name = scenario.name
        raise

"""`rehearse compare`: predicts a scenario's step, runs the same program, and says how far the two are apart."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from simulator.cli.execute import check_torch
from simulator.cli.output import Json, Sets, check_writable, print_json, whole
from simulator.errors import ScenarioError


def compare(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A scenario; - is standard input.")],
    sets: Sets = None,
    samples: Annotated[
        int, typer.Option(parser=whole, metavar="K", help="Draws of the costs' errors; 0 takes every median.")
    ] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Measured steps, after 3 others; default 30.")] = None,
    backend: Annotated[str, typer.Option(help="gloo on CPUs, nccl on CUDA devices.")] = "gloo",
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Of the run and every collective.")] = 600,
    as_json: Json = False,
    report: Annotated[str | None, typer.Option(metavar="R.html", help="Write a report with the comparison.")] = None,
    trace: Annotated[str | None, typer.Option(metavar="T.json.gz", help="Write both timelines for Perfetto.")] = None,
) -> None:
    """Predict a step, run the same program, and print the error."""
    check_writable(report, "--report")
    check_writable(trace, "--trace")
    check_torch("compare")
    from simulator.comparison import compare as predict_and_run
    from simulator.executor.execution import is_launched
    from simulator.scenario.loader import load_scenario

    if is_launched():
        raise ScenarioError("compare starts a process for each rank itself; run it without torchrun")

    def progress(text: str) -> None:
        if not as_json:
            print(f"compare: {text}", file=sys.stderr, flush=True)

    scenario = load_scenario(file, sets or ())
    try:
        comparison = predict_and_run(
            scenario, samples=samples, steps=steps, progress=progress, backend=backend, timeout_s=timeout
        )
    except ScenarioError as error:
        raise scenario.located(error) from error
    if trace is not None:
        from simulator.report.comparison_trace import write_comparison_trace

        write_comparison_trace(comparison, trace)
    if report is not None:
        from simulator.report.comparison_blocks import comparison_blocks
        from simulator.report.comparison_tables import found_sentence
        from simulator.report.html import write_report

        blocks, notes = comparison_blocks([comparison]), [found_sentence(comparison)]
        write_report(comparison.result, report, command=("rehearse", *sys.argv[1:]), notes=notes, blocks=blocks)
    if as_json:
        print_json(comparison.to_dict())
        return
    from rich.console import Console

    from simulator.report.comparison_tables import comparison_table
    from simulator.report.tables import print_to

    print_to(Console(), comparison_table(comparison))

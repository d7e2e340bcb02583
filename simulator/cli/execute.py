"""`rehearse execute`: really runs a scenario's program, one process a rank."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from simulator.cli.output import Json, Sets, check_writable, print_json
from simulator.errors import NotSupportedYet, ScenarioError
from simulator.files import text_of
from simulator.policies.decisions import Decision, read_decisions


def execute(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A scenario; - is standard input.")],
    sets: Sets = None,
    ranks: Annotated[int | None, typer.Option(min=1, help="Processes; must be the product of the degrees.")] = None,
    backend: Annotated[str, typer.Option(help="gloo on CPUs, nccl on CUDA devices.")] = "gloo",
    steps: Annotated[int | None, typer.Option(min=1, help="Measured steps, after 3 others; default 10.")] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Of the run and every collective.")] = 600,
    as_json: Json = False,
    trace: Annotated[str | None, typer.Option(metavar="T.json.gz", help="Write the measured timeline.")] = None,
    decisions: Annotated[
        str | None, typer.Option(metavar="D.jsonl", help="Replay what `simulate --decisions` wrote.")
    ] = None,
    policies: Annotated[
        str | None, typer.Option(metavar="live", help="live: policies decide anew, which is the default.")
    ] = None,
) -> None:
    """Run the scenario's program with torch.distributed and measure it."""
    replayed = decided(decisions, policies)
    check_writable(trace, "--trace")
    check_torch()
    from simulator.executor.execution import execute as run
    from simulator.executor.execution import is_launched
    from simulator.scenario.loader import load_scenario

    def progress(text: str) -> None:
        if not as_json:
            print(f"execute: {text}", file=sys.stderr, flush=True)

    scenario = load_scenario(file, sets or ())
    execution = run(scenario, ranks, backend, steps, timeout_s=timeout, progress=progress, decisions=replayed)
    if is_launched() and os.environ["RANK"] != "0":
        return
    if trace is not None:
        write_whole_trace(execution, trace)
    if as_json:
        print_json(execution.to_dict())
        return
    _print(execution)


def decided(decisions: str | None, policies: str | None) -> tuple[Decision, ...] | None:
    """The decisions to replay; None where policies decide anew. Raises ScenarioError for what is no such file."""
    if policies not in (None, "live"):
        raise ScenarioError(f"{policies!r} is not a way to decide; use live, or --decisions FILE", key="--policies")
    if decisions is None:
        return None
    if policies is not None:
        raise ScenarioError("live decides anew, and --decisions replays; give one of the two", key="--policies")
    remedy = "give a file that `rehearse simulate --decisions` wrote"
    return read_decisions(text_of(decisions, key="--decisions", remedy=remedy), decisions)


def check_torch(verb: str = "execute") -> None:
    """Raises NotSupportedYet where torch is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise NotSupportedYet(f"{verb} needs torch, which is not installed; pip install 'rehearse[torch]'")


def write_whole_trace(execution, path: str) -> None:
    """The trace appears complete or not at all."""
    from simulator.report.trace import write_trace

    folder, name = os.path.split(path)
    part = os.path.join(folder, f".part-{os.getpid()}-{name}")  # keeps the suffix, by which it is compressed
    try:
        write_trace(execution, part)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _print(execution) -> None:
    from rich.console import Console
    from rich.table import Table

    found = execution.to_dict()
    table = Table(title=f"{execution.name}, measured on {execution.ranks} ranks ({execution.backend})")
    table.add_column("")
    table.add_column("median step", justify="right")
    rows = {
        "step": f"{found['step_time_s'] * 1e3:,.2f} ms",
        "p5 to p95": f"{found['step_time_s_p5'] * 1e3:,.2f} to {found['step_time_s_p95'] * 1e3:,.2f} ms "
        f"of {found['steps']} steps",
        "samples": f"{found['samples_per_s']:,.1f} /s",
        **({"emulated": found["emulated"]} if found["emulated"] else {}),
        "loss": f"{found['losses'][0]:.4f} to {found['losses'][-1]:.4f}",
    }
    rows |= {name: f"{value * 1e3:,.2f} ms" for name, value in found["breakdown_s"].items() if value}
    rows |= {
        f"{table}: rows found on the device": f"{cache['hit_rate']:.1%}, {cache['expected_hit_rate']:.1%} expected"
        for table, cache in found["table_cache"].items() if cache["lookups"]
    }  # fmt: skip
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), value)
    Console().print(table)

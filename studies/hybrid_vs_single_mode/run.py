"""Does a hybrid plan beat the best single mode by 30 % in throughput and 20 % in utilization, and where?

    python -m studies.hybrid_vs_single_mode.run [--report FILE] [--quick]

Prints the answer as tables and writes one offline HTML report. Every number is a prediction from the published H100
profile; nothing here ran on an H100.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from simulator import simulate
from simulator.report.html import study_block, write_report
from simulator.report.palette import time_look
from simulator.report.tables import study_table
from simulator.road import memory_of
from studies.hybrid_vs_single_mode.plans import GPUS, MODELS, NETWORKS, hybrids, single_modes, tunings

CLAIM_THROUGHPUT, CLAIM_UTILIZATION = 0.30, 0.20
"""arXiv 2506.17551's abstract: throughput "over 30 %", resource utilisation "approximately 20 %"."""


@dataclass(frozen=True)
class Entry:
    """The best tuning of one mode; result None where none fits in memory, and then why."""

    mode: str
    result: Any
    reason: str = ""

    @property
    def samples_per_s(self) -> float:
        return self.result.to_dict()["samples_per_s"] if self.result else 0.0

    @property
    def gpus(self) -> int:
        return self.result.scenario.layout.ranks if self.result else GPUS


def best(mode: str, scenarios: list[Any], most: int) -> Entry:
    """The fastest of the `most` largest microbatches that fit in memory, recomputing only where nothing else fits."""
    fitting = fitting_of(scenarios)
    if not fitting:
        return Entry(mode, None, simulate(scenarios[-1]).reason)
    entries = (Entry(mode, simulate(scenario)) for scenario in fitting[:most])
    return max(entries, key=lambda entry: entry.samples_per_s)


def fitting_of(scenarios: list[Any]) -> list[Any]:
    """Scenarios that fit, large microbatches first: once one fits, smaller ones of the same plan do too."""
    for recompute in ("none", "full"):
        group = [scenario for scenario in scenarios if scenario.plan.recompute == recompute]
        for index, scenario in enumerate(group):
            if memory_of(scenario).over is None:
                return group[index:]
    return []


def compare(model: str, network: str, quick: bool) -> tuple[list[Entry], Entry]:
    """The single modes, each tuned over every microbatch size, and the best hybrid (the three largest that fit)."""
    singles = [best(mode, list(tunings(model, network, plan)), 5) for mode, plan in single_modes(model).items()]
    plans = [plan for plan in hybrids(model) if not quick or plan["data"] in (8, 16)]
    found = [best("hybrid", scenarios, 3) for plan in plans if (scenarios := list(tunings(model, network, plan)))]
    return singles, max((entry for entry in found if entry.result), key=lambda entry: entry.samples_per_s)


def row(model: str, entry: Entry, hybrid: Entry) -> dict[str, Any]:
    """One line of the table; gains are the hybrid's over this mode."""
    if entry.result is None:
        return {"model": model, "mode": entry.mode, "plan": "does not fit in memory"}
    numbers = entry.result.to_dict()
    shares = {time_look(label).words: s / numbers["step_time_s"] for label, s in numbers["breakdown_s"].items()}
    others = [f"{words} {share:.0%}" for words, share in sorted(shares.items(), key=lambda item: -item[1])
              if words != "compute"][:2]  # fmt: skip
    return {
        "model": model,
        "mode": entry.mode,
        "plan": entry.result.name.split(", ", 1)[1],
        "samples/s": entry.samples_per_s,
        "per GPU used": entry.samples_per_s / entry.gpus,
        "busy": f"{numbers['utilization']['busy']:.0%}",
        "MFU": f"{numbers['mfu']:.1%}",
        "after compute": ", ".join(others),
        "hybrid gains": "" if entry is hybrid else f"{hybrid.samples_per_s / entry.samples_per_s - 1:+.0%}",
    }


def verdict(model: str, network: str, singles: list[Entry], hybrid: Entry) -> str:
    """One sentence: against the best single mode per GPU owned, do the paper's two figures hold?"""
    fitting = [entry for entry in singles if entry.result]
    if not fitting:
        return f"{model}, {network}: no single mode fits; only the hybrid runs."
    rival = max(fitting, key=lambda entry: entry.samples_per_s)
    gain = hybrid.samples_per_s / rival.samples_per_s - 1
    ours, theirs = (entry.result.to_dict() for entry in (hybrid, rival))
    busy, mfu = ours["utilization"]["busy"] / theirs["utilization"]["busy"] - 1, ours["mfu"] / theirs["mfu"] - 1
    throughput, utilization = ("holds" if got >= claim else "does not hold" for got, claim in
                               ((gain, CLAIM_THROUGHPUT), (busy, CLAIM_UTILIZATION)))  # fmt: skip
    plan = hybrid.result.name.split(", ", 1)[1]
    return (
        f"{model}, {network}: the best hybrid ({plan}) against {rival.mode}: "
        f"{gain:+.0%} throughput (+30 % {throughput}), {busy:+.0%} busy (+20 % {utilization}), "
        f"{mfu:+.0%} MFU of the GPUs used."
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/hybrid_vs_single_mode.html"))
    parser.add_argument("--quick", action="store_true", help="the smallest model and few hybrids")
    options = parser.parse_args(arguments)
    console, blocks, notes, results = Console(), [], [], []
    models = list(MODELS)[: 1 if options.quick else None]
    with ProcessPoolExecutor() as pool:
        runs = {
            (model, network): pool.submit(compare, model, network, options.quick)
            for network in NETWORKS
            for model in models
        }
        for network in NETWORKS:
            rows = []
            for model in models:
                singles, hybrid = runs[model, network].result()
                print(f"predicted {model} on {GPUS} H100, {network}", file=sys.stderr)
                rows += [row(model, entry, hybrid) for entry in (*singles, hybrid)]
                notes.append(verdict(model, network, singles, hybrid))
                results += [entry.result for entry in (*singles, hybrid) if entry.result]
            console.print(study_table(rows, title=f"{GPUS} H100, {network}"), "")
            blocks.append(study_block(network, rows))
    for note in notes:
        console.print(f"- {note}", highlight=False, soft_wrap=True)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    write_report(results, options.report, title="Hybrid against single-mode plans", notes=notes, blocks=blocks)
    console.print(f"\nreport: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

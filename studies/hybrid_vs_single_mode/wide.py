"""From 0.1B to 70B, 100 Mb/s to NVLink, 8 to 1,024 GPUs: where does the best hybrid beat the best single mode?

    python -m studies.hybrid_vs_single_mode.wide [--report FILE] [--quick]

Every number is a prediction from the published H100 profile; nothing here ran on an H100.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from simulator import simulate
from simulator.errors import RehearseError
from simulator.report.html import Block, write_report
from simulator.report.tables import study_table
from studies.hybrid_vs_single_mode.run import CLAIM_THROUGHPUT, CLAIM_UTILIZATION, cell
from studies.hybrid_vs_single_mode.wide_plans import BASE, POLICIES, QUICK, TAKEN_APART, TOGETHER, SetUp, set_ups

SCREENED = 2
"""Hybrids that are tuned over every microbatch, after all were tried at one."""


def rate(result: Any) -> float:
    return result.to_dict()["samples_per_s"]


def fastest(scenarios: list[Any]) -> Any:
    """The fastest result of those scenarios; None without any."""
    return max((simulate(scenario) for scenario in scenarios), key=rate, default=None)


def best_single(set_up: SetUp) -> tuple[str, Any]:
    """(mode, result) of the fastest single mode over its four largest microbatches; ("none fits", None) of none."""
    found = {mode: fastest(set_up.fitting(plan)[:4]) for mode, plan in set_up.single_modes().items()}
    fits = {mode: result for mode, result in found.items() if result is not None}
    return max(fits.items(), key=lambda item: rate(item[1]), default=("none fits", None))


def best_hybrid(set_up: SetUp) -> Any:
    """The fastest hybrid: each at its second largest microbatch that fits, the fastest two at the three around it."""
    fitting = [scenarios for plan in set_up.hybrids() if (scenarios := set_up.fitting(plan))]
    screened = [(simulate(scenarios[:2][-1]), scenarios) for scenarios in fitting]
    screened.sort(key=lambda item: -rate(item[0]))
    tuned = [fastest([scenarios[0], *scenarios[2:4]]) for _, scenarios in screened[:SCREENED]]
    return max((*tuned, *(result for result, _ in screened[:1])), key=rate, default=None)


def deciding_term(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """The term of the step that makes most of the difference, with its seconds there and here."""
    sign = 1 if theirs["step_time_s"] >= ours["step_time_s"] else -1
    here, there = ours["breakdown_s"], theirs["breakdown_s"]
    term = max(here, key=lambda label: sign * (there[label] - here[label]))
    return f"{term} {there[term]:.3g} -> {here[term]:.3g} s"


def compare(set_up: SetUp) -> dict[str, Any]:
    """One line of the table: the hybrid's gains over the best single mode."""
    mode, single = best_single(set_up)
    hybrid = best_hybrid(set_up)
    line: dict[str, Any] = {"model": set_up.model, "fabric": set_up.fabric, "GPUs": set_up.gpus, "single mode": mode}
    if single is None or hybrid is None:
        words = "only the hybrid runs" if hybrid else "only the single mode runs" if single else "nothing fits"
        plan = hybrid.name.split(", ", 1)[1] if hybrid else ""
        return {**line, "its samples/s": rate(single) if single else "", "hybrid": plan,
                "samples/s": rate(hybrid) if hybrid else "", "decided by": words}  # fmt: skip
    ours, theirs = hybrid.to_dict(), single.to_dict()
    busy, idle = ours["utilization"]["busy"], theirs["utilization"]["busy"]
    return {
        **line,
        "its samples/s": rate(single),
        "hybrid": hybrid.name.split(", ", 1)[1],
        "samples/s": rate(hybrid),
        "throughput": f"{rate(hybrid) / rate(single) - 1:+.0%}",
        "busy": f"{busy / idle - 1:+.0%}",
        "MFU": f"{ours['mfu'] / theirs['mfu'] - 1:+.0%}",
        "decided by": deciding_term(ours, theirs),
        "both hold": "yes" if rate(hybrid) / rate(single) >= 1 + CLAIM_THROUGHPUT
        and busy / idle >= 1 + CLAIM_UTILIZATION else "",
    }  # fmt: skip


def taken_apart(set_up: SetUp) -> dict[str, Any]:
    """One line: the base hybrid's samples/s, and what each policy adds alone and together."""
    base = rate(simulate(set_up.scenario(BASE)))
    line: dict[str, Any] = {"model": set_up.model, "fabric": set_up.fabric, "base samples/s": base}
    for name, policy in {**POLICIES, "together": TOGETHER}.items():
        try:
            line[name] = f"{rate(simulate(set_up.scenario({**BASE, **policy}))) / base - 1:+.0%}"
        except RehearseError as error:
            line[name] = f"not legal: {error}"
    return line


def markdown(line: dict[str, Any]) -> str:
    """A line as the README writes it."""
    return "| " + " | ".join(cell(value) for value in line.values()) + " |"


def summary(rows: list[dict[str, Any]]) -> str:
    """How many set-ups each figure holds in, of those where a single mode and a hybrid both fit."""
    both = [row for row in rows if "throughput" in row]
    faster, busier, wins = (
        sum(float(row[key].rstrip("%")) / 100 >= claim for row in both)
        for key, claim in (("throughput", CLAIM_THROUGHPUT), ("busy", CLAIM_UTILIZATION), ("throughput", 0.01))
    )
    held = sum(row["both hold"] == "yes" for row in both)
    return (
        f"{len(rows)} set-ups, {len(both)} where a single mode and a hybrid fit: the hybrid is ahead in {wins}, by "
        f"30 % or more in {faster}; 20 % busier in {busier}; both in {held}."
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/hybrid_vs_single_mode_wide.html"))
    parser.add_argument("--quick", action="store_true", help="three set-ups, and the policies on one")
    parser.add_argument("--markdown", action="store_true", help="also print the lines as the README has them")
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor() as pool:
        apart = [pool.submit(taken_apart, one) for one in TAKEN_APART[: 1 if options.quick else None]]
        rows = list(pool.map(compare, QUICK if options.quick else set_ups()))
        policies = [one.result() for one in apart]
    console, blocks = Console(width=230), []
    titles = ("The best hybrid against the best single mode", "A hybrid (tensor 4, pipeline 4, data 4) with policies")
    for title, lines in zip(titles, (rows, policies), strict=True):
        console.print(study_table(lines, title=title), "")
        header = tuple(max(lines, key=len))
        blocks.append(Block(title, header=header, rows=tuple(tuple(cell(x.get(k, "")) for k in header) for x in lines)))
    if options.markdown:
        print(*(markdown(line) for line in (*rows, *policies)), sep="\n")
    console.print(summary(rows), highlight=False, soft_wrap=True)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    write_report([], options.report, title="Hybrid against single mode, wide", notes=[summary(rows)], blocks=blocks)
    console.print(f"\nreport: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From 0.1B to 70B, 100 Mb/s to NVLink, 8 to 1,024 GPUs: where does the best hybrid beat the best single mode, and why?

    python -m studies.hybrid_vs_single_mode.wide [--report FILE] [--quick] [--markdown FILE] [--resume FILE]

Every number is a prediction from the published H100 profile; nothing here ran on an H100.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from simulator import simulate
from simulator.errors import ScenarioError
from simulator.report.gain_map import gain_map
from simulator.report.html import Block, study_block, write_report
from simulator.report.study_tables import study_cell
from simulator.report.tables import study_table
from studies.hybrid_vs_single_mode import ablation
from studies.hybrid_vs_single_mode.kept import Kept
from studies.hybrid_vs_single_mode.wide_plans import QUICK, SetUp, set_ups
from studies.hybrid_vs_single_mode.wide_rows import Outcome, Row, by_size, summary, why

SCREENED = 2
"""Hybrids that are tuned over every microbatch, after all were tried at one."""


def fastest(scenarios: Sequence[Any]) -> Outcome | None:
    """The fastest of those scenarios; None without any."""
    return best(Outcome.of(simulate(scenario)) for scenario in scenarios)


def best(outcomes: Any) -> Outcome | None:
    return max((one for one in outcomes if one is not None), key=lambda one: one.samples_per_s, default=None)


def best_single(set_up: SetUp) -> tuple[str | None, Outcome | None]:
    """(mode, outcome) of the fastest single mode, each over its four largest microbatches that fit."""
    found = {mode: fastest(set_up.fitting(plan)[:4]) for mode, plan in set_up.single_modes().items()}
    winner = best(found.values())
    return next(((mode, one) for mode, one in found.items() if one is winner and one is not None), (None, None))


def best_hybrid(set_up: SetUp) -> Outcome | None:
    """The fastest hybrid: each at its second largest microbatch that fits, the fastest two at the three around it."""
    fitting = [scenarios for plan in set_up.hybrids() if (scenarios := set_up.fitting(plan))]
    screened = [(Outcome.of(simulate(scenarios[:2][-1])), scenarios) for scenarios in fitting]
    screened.sort(key=lambda item: item[0].step_s)
    tuned = [fastest([scenarios[0], *scenarios[2:4]]) for _, scenarios in screened[:SCREENED]]
    return best((*tuned, *(outcome for outcome, _ in screened[:1])))


def compare(set_up: SetUp) -> Row:
    """The best single mode and the best hybrid of a set-up."""
    return Row(set_up, *best_single(set_up), best_hybrid(set_up))


def markdown(line: dict[str, Any]) -> str:
    """A line as the README writes it."""
    return "| " + " | ".join(study_cell(value) for value in line.values()) + " |"


def markdown_table(lines: Sequence[dict[str, Any]]) -> str:
    """A whole table of them."""
    header = lines[0]
    return "\n".join(map(markdown, (dict(zip(header, header, strict=True)), dict.fromkeys(header, "---"), *lines)))


def figure(rows: Sequence[Row]) -> Block:
    """The hybrid's gain over every model, size and fabric."""
    columns = tuple(dict.fromkeys(row.set_up.fabric for row in rows))
    names = tuple(dict.fromkeys(f"{row.set_up.model}, {row.set_up.gpus:,} GPUs" for row in rows))
    gains = {(f"{row.set_up.model}, {row.set_up.gpus:,} GPUs", row.set_up.fabric): row.throughput
             for row in rows if row.compared}  # fmt: skip
    return Block(
        "Throughput of the best hybrid over the best single mode",
        ("Blue: the hybrid is faster; vermilion: slower; empty: not both fit, or one node alone.",),
        figure=gain_map(names, columns, gains), alt="A map of the hybrid's gain by model, number of GPUs and fabric.",
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("out/hybrid_vs_single_mode_wide.html"))
    parser.add_argument("--quick", action="store_true", help="three set-ups, and the policies on one")
    parser.add_argument("--markdown", type=Path, help="also write the tables as the README has them")
    parser.add_argument("--resume", type=Path, help="keep what was predicted there, and go on where a run was cut off")
    options = parser.parse_args(arguments)
    grounds = list(ablation.grounds())
    ways = ((compare, list(QUICK if options.quick else set_ups())),
            (ablation.taken_apart, grounds[1:2] if options.quick else grounds))  # fmt: skip
    try:
        with Kept(options.resume) as kept, ProcessPoolExecutor() as pool:
            rows, apart = (kept.all(pool, task, given) for task, given in ways)
    except ScenarioError as error:
        parser.error(str(error))
    singles = {row.set_up: row.single for row in rows}
    tables = {
        "How often, by number of GPUs": by_size(rows),
        "Why, by term of the step": why(rows),
        "The best hybrid against the best single mode": [row.line() for row in rows],
        "A hybrid with policies, alone and together": [one.line(singles.get(one.set_up)) for one in apart],
    }
    notes = [summary(rows), ablation.summary(apart, rows)]
    console, blocks = Console(), [figure(rows)]
    for title, lines in tables.items():
        console.print(study_table(lines, title=title), "")
        blocks.append(study_block(title, lines))
    for note in notes:
        console.print(f"- {note}", highlight=False, soft_wrap=True)
    if options.markdown:
        pieces = [f"{title}\n\n{markdown_table(lines)}" for title, lines in tables.items()]
        options.markdown.write_text("\n\n".join([*pieces, *notes]) + "\n", encoding="utf-8")
    options.report.parent.mkdir(parents=True, exist_ok=True)
    command = ("python", "-m", "studies.hybrid_vs_single_mode.wide", *(arguments or sys.argv[1:]))
    title = "Hybrid against single mode, from 8 to 1,024 GPUs"
    write_report([], options.report, title=title, notes=notes, blocks=blocks, command=command)
    console.print(f"\nreport: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

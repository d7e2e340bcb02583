"""The study: plans predicted and run, their table, their report and their figures (`run.py` starts it)."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from simulator.comparison import Comparison, decided_tau, predict
from simulator.registry import profile_path
from simulator.report import format
from simulator.report.comparison_blocks import comparison_blocks, table_block
from simulator.report.comparison_tables import plan_rows, signed_percent
from simulator.report.comparison_trace import write_comparison_trace
from simulator.report.html import report_html
from simulator.report.tables import print_to, study_table
from studies.predict_then_run import kept, stages
from studies.predict_then_run.plans import ALL_PLANS, PLANS, scenario

STEPS = 60
BUSY = 0.02
"""Share of a step spent waiting for a core from which on the machine was not idle."""

LAST = 10
"""Steps that the loss at the end is averaged over."""


def say(line: str, share: float | None = None) -> None:
    print(f"predict_then_run: {line}", file=sys.stderr, flush=True)


def learning_rows(comparisons: list[Comparison], before: float, after: list[float]) -> list[dict[str, str]]:
    """One row for each plan: what training did to the loss and to NDCG@10 of the held-out items."""
    return [
        {
            "plan": one.name,
            "loss, first step": f"{one.execution.losses[0]:.3f}",
            f"loss, last {LAST}": f"{fmean(one.execution.losses[-LAST:]):.3f}",
            "NDCG@10 before": f"{before:.4f}",
            "NDCG@10 after": f"{ndcg:.4f}",
        }
        for one, ndcg in zip(comparisons, after, strict=True)
    ]


def interval_sentence(comparisons: list[Comparison]) -> str:
    """How often a predicted interval held the measured median, and how wide it was for that."""
    found = [(one.result.percentile_s(5), one.measured_s, one.result.percentile_s(95)) for one in comparisons]
    inside = sum(low <= measured_s <= high for low, measured_s, high in found)
    width = stages.median([(high - low) / measured_s for low, measured_s, high in found])
    return (
        f"{inside} of {len(found)} measured p50 steps lie within the predicted p5 to p95; the median interval is as "
        f"wide as {format.percent(width)} of its step."
    )


def answers(comparisons: list[Comparison], where: str) -> list[str]:
    """The study's sentences."""
    errors = [abs(one.error_percent) for one in comparisons]
    worst = max(comparisons, key=lambda one: abs(one.error_percent))
    tau, pairs = decided_tau(comparisons)
    total = len(comparisons) * (len(comparisons) - 1) // 2
    ranking = "no two plans differ by more than their spreads" if tau is None else (
        f"Kendall's tau {tau:+.2f} over the {pairs} of {total} pairs of plans that differ by more than their spreads"
    )  # fmt: skip
    best, fastest = (min(comparisons, key=key).name for key in (lambda c: c.predicted_s, lambda c: c.measured_s))
    lost = stages.median([one.lost_core_s / one.measured_s for one in comparisons])
    return [
        f"Median absolute error of the p50 step {stages.median(errors):.1f} %, worst "
        f"{signed_percent(worst.error_percent)} ({worst.name}), {len(comparisons)} plans.",
        interval_sentence(comparisons),
        f"Ranking: {ranking}. Predicted fastest: {best}; measured fastest: {fastest}.",
        f"Steps waited {format.percent(lost)} of their time for a core"
        + (": other processes ran beside them, so the error is theirs too." if lost > BUSY else "."),
        f"Data: {where}; fixed windows of {comparisons[0].result.scenario.model.trunk.seq} items, the last of each "
        "user held out.",
    ]


def to_dict(comparisons: list[Comparison], before: float, after: list[float], said: list[str]) -> dict[str, Any]:
    tau, pairs = decided_tau(comparisons)
    return {
        "answers": said,
        "kendall_tau": tau,
        "decidable_pairs": pairs,
        "median_absolute_error_percent": stages.median([abs(one.error_percent) for one in comparisons]),
        "worst_error_percent": max((one.error_percent for one in comparisons), key=abs),
        "ndcg_at_10_before": before,
        "plans": [one.to_dict() | {"ndcg_at_10_after": ndcg} for one, ndcg in zip(comparisons, after, strict=True)],
    }


def study(arguments: list[str] | None, about: str) -> int:
    """Runs the study as the command line says; 0. about: what `--help` begins with."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--budget", type=float, default=40.0, help="seconds of calibration before the runs")
    parser.add_argument("--steps", type=int, default=STEPS, help="measured steps of each plan")
    parser.add_argument("--plans", type=int, choices=(len(PLANS), len(ALL_PLANS)), default=len(PLANS), help="how many")
    parser.add_argument("--only", action="append", choices=list(ALL_PLANS), metavar="PLAN", help="one plan; repeatable")
    parser.add_argument("--folder", type=Path, default=Path("out/predict_then_run"), help="where everything is kept")
    parser.add_argument(
        "--profile", metavar="FILE", help="judge this profile (or a shipped one, by name) instead of calibrating"
    )
    parser.add_argument("--again", action="store_true", help="forget what earlier runs have measured")
    options = parser.parse_args(arguments)
    folder = options.folder
    if options.again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    plans = options.only or list(ALL_PLANS)[: options.plans]
    first = scenario(plans[0])
    histories, source, where = stages.data(first.seed, say)
    own = kept.Study(folder, plans, options.steps, histories, source, say)
    if options.profile:
        profile, runs = kept.judged_by(own, str(profile_path(options.profile)))
    else:
        profile, runs = kept.measured(own, options.budget)
    from simulator.executor.evaluation import initial_weights

    before = stages.ndcg(first, initial_weights(first), histories)
    comparisons, after = [], [one.ndcg for one in runs]
    for name, one in zip(plans, runs, strict=True):
        result, samples = predict(scenario(name, profile))
        comparisons.append(Comparison(result, one.execution, samples))

    age = kept.age_sentence(json.loads(Path(profile).read_text(encoding="utf-8")), runs)
    said, learnt = [*answers(comparisons, where), age], learning_rows(comparisons, before, after)
    console = Console()
    for table in (plan_rows(comparisons), learnt):
        print_to(console, study_table(table))
        console.print()
    for line in said:
        console.print(f"- {line}", highlight=False, soft_wrap=True)
    blocks = comparison_blocks(comparisons)
    blocks.insert(1, table_block("What training did", learnt, f"Two processes, {where}."))
    results = [replace(one.result, wall_s=0.0) for one in comparisons]
    page = report_html(results, title="Predicted, then run", notes=said, blocks=blocks)
    stages.write_whole(folder / "report.html", page.encode())
    stages.write_whole(folder / "answers.json", stages.to_json(to_dict(comparisons, before, after, said)))
    for one in comparisons:
        write_comparison_trace(one, folder / "plans" / f"{stages.file_name(one.name)}.trace.json.gz")
    console.print(f"\nreport: {folder / 'report.html'}, figures: {folder / 'answers.json'}, traces: {folder / 'plans'}")
    return 0

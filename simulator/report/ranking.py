"""Several results side by side: their order, the sentence that says who wins, the table and the chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.report import format, words
from simulator.report.breakdown import results_figure, same_batch
from simulator.report.sections import Figures


def rank_results(results: Sequence[Any]) -> list[Any]:
    """What fits first, each in order of samples/s; equal ones stay as given."""
    return sorted(results, key=lambda result: (not result.feasible, -_samples_per_s(result)))


def _samples_per_s(result: Any) -> float:
    return result.scenario.plan.global_batch / result.step_time_s if result.step_time_s else 0.0


def comparison_table(ranked: Sequence[Any], names: Sequence[str], figures: Figures) -> dict[str, Any]:
    """The table of all results and their breakdowns under each other."""
    all_numbers = [result.to_dict() for result in ranked]
    fits = [numbers for numbers in all_numbers if numbers["feasible"]]
    best = fits[0] if fits else None
    rows = [
        {
            "name": name,
            "plan": words.degrees_words(result.scenario.plan),
            "feasible": numbers["feasible"],
            "reason": numbers["reason"],
            "cells": (
                _step_cell(numbers, words.num_samples(result)),
                format.quantity(numbers["samples_per_s"]),
                format.quantity(numbers["tokens_per_s"]),
                format.percent(numbers["mfu"]),
                format.percent(numbers["utilization"]["busy"]),
                f"{format.bytes_text(numbers['memory_bytes']['peak_max'])} of "
                f"{format.bytes_text(numbers['memory_bytes']['limit'])}",
                "" if best is None else f"{numbers['samples_per_s'] / best['samples_per_s']:.2f}×",
            ),
        }
        for result, name, numbers in zip(ranked, names, all_numbers, strict=True)
    ]
    per_step = same_batch(ranked)
    alt = "Stacked bars, one for each result: where the time of " + ("a step" if per_step else "a sample") + " goes."
    return {
        "sentence": _best_sentence(all_numbers, names),
        "rows": rows,
        "figure": figures.add("all-breakdowns", results_figure(ranked), alt),
    }


def _step_cell(numbers: dict, samples: int) -> str:
    text = format.duration(numbers["step_time_s"])
    if samples:
        text += f" ({format.duration(numbers['step_time_s_p5'])} to {format.duration(numbers['step_time_s_p95'])})"
    return text


def _best_sentence(all_numbers: Sequence[dict], names: Sequence[str]) -> str:
    fitting = sum(numbers["feasible"] for numbers in all_numbers)
    if not fitting:
        return f"None of the {len(all_numbers)} plans fits into memory; the reasons are in the table."
    best = all_numbers[0]
    text = f"{names[0]} is the fastest: {format.rate(best['samples_per_s'], 'samples/s')}"
    if best["mfu"] is not None:
        text += f" at {format.percent(best['mfu'])} MFU"
    if fitting > 1:
        gain = best["samples_per_s"] / all_numbers[1]["samples_per_s"]
        text += f", {gain:.2f} times the next ({names[1]})"
    if fitting < len(all_numbers):
        text += f"; {len(all_numbers) - fitting} of {len(all_numbers)} do not fit into memory"
    return text + "."

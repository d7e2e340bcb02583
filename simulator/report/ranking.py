"""Several results side by side: their order, the sentence that says who wins, the table and the chart.

Results of one model on one cluster compete; others are listed apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report import format, words
from simulator.report.breakdown import MEASURES, measure, results_figure, same_model, unique_names
from simulator.report.plan_words import degrees_words
from simulator.report.sections import Figures


def leagues(results: Sequence[Any]) -> list[list[Any]]:
    """Results of one model on one cluster, together, in the order in which the first of each was given.

    In each what fits comes first, by samples/s; equal ones stay as given.
    """
    found: list[list[Any]] = []
    for result in results:
        mine = next((league for league in found if _compete(league[0], result)), None)
        if mine is None:
            found.append(mine := [])
        mine.append(result)
    return [sorted(league, key=lambda one: (not one.feasible, -_samples_per_s(one))) for league in found]


def _compete(one: Any, other: Any) -> bool:
    return one.scenario.cluster == other.scenario.cluster and same_model([one, other])


def _samples_per_s(result: Any) -> float:
    return result.scenario.plan.global_batch / result.step_time_s if result.step_time_s else 0.0


def detailed(groups: Sequence[Sequence[Any]], most: int) -> list[Any]:
    """At most so many results, in the order of the table: the winners of all leagues first, then the seconds."""
    places = [(place, number, result) for number, group in enumerate(groups) for place, result in enumerate(group)]
    chosen = sorted(places, key=lambda entry: entry[:2])[:most]
    return [result for _, _, result in sorted(chosen, key=lambda entry: (entry[1], entry[0]))]


def comparison_table(groups: Sequence[Sequence[Any]], links: Mapping[int, str], figures: Figures) -> dict[str, Any]:
    """The table of all results, league by league, and their breakdowns under each other.

    links: for results that have a section of their own, by `id`, the section's.
    """
    ranked = [result for group in groups for result in group]
    tables = []
    for group in groups:
        names = unique_names([result.name for result in group])
        scenario = group[0].scenario
        title = f"{words.model_size(scenario.model)} on {words.cluster_size(scenario.cluster)}"
        rows = _rows(group, names, links)
        tables.append({"title": title, "rows": rows, "sentence": _best_sentence(group, names)})
    return {
        "title": "All results, fastest first",
        "groups": tables,
        "figure": figures.add("all-breakdowns", results_figure(ranked), f"Stacked bars: {MEASURES[measure(ranked)]}."),
    }


def _rows(group: Sequence[Any], names: Sequence[str], links: Mapping[int, str]) -> list[dict[str, Any]]:
    all_numbers = [result.to_dict() for result in group]
    best = next((numbers for numbers in all_numbers if numbers["feasible"]), None)
    return [
        {
            "name": name,
            "link": links.get(id(result)),
            "plan": degrees_words(result.scenario.plan),
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
        for result, name, numbers in zip(group, names, all_numbers, strict=True)
    ]


def _step_cell(numbers: dict, samples: int) -> str:
    text = format.duration(numbers["step_time_s"])
    if samples:
        text += f" ({format.duration(numbers['step_time_s_p5'])} to {format.duration(numbers['step_time_s_p95'])})"
    return text


def _best_sentence(group: Sequence[Any], names: Sequence[str]) -> str:
    """Who wins a league, by how much, and whether the intervals agree that it does."""
    fitting = sum(result.feasible for result in group)
    if not fitting:
        return f"None of {len(group)} fits into memory; the reasons are in the table."
    best = group[0].to_dict()
    text = f"{names[0]} is the fastest: " if len(group) > 1 else f"{names[0]}: "
    text += format.rate(best["samples_per_s"], "samples/s")
    if best["mfu"] is not None:
        text += f" at {format.percent(best['mfu'])} MFU"
    if fitting > 1:
        text += f", {_samples_per_s(group[0]) / _samples_per_s(group[1]):.2f} times the next ({names[1]})"
        if _overlap(group[0], group[1]):
            text += ", though their 90 % intervals overlap"
    if fitting < len(group):
        text += f"; {len(group) - fitting} of {len(group)} do not fit into memory"
    return text + "."


def _overlap(one: Any, other: Any) -> bool:
    """Whether the slow end of the faster result is slower than the fast end of the slower one; both sampled."""
    if not (words.num_samples(one) and words.num_samples(other)):
        return False
    slowest = one.scenario.plan.global_batch / one.to_dict()["step_time_s_p95"]
    return slowest < other.scenario.plan.global_batch / other.to_dict()["step_time_s_p5"]

"""Runs the published rows through the simulator, one after another in one process."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import NotSupportedYet
from simulator.units import NS_PER_S, ns_to_seconds
from simulator.validation.cases import LAYER_FORWARD, STEP, Case
from simulator.validation.report import Row, ValidationReport, summarise
from simulator.validation.sources import SOURCES, load_cases

if TYPE_CHECKING:
    from simulator.timeline import Timeline

Simulate = Callable[[dict[str, Any]], Any]


def validate(
    source: str | None = None,
    *,
    simulate: Simulate | None = None,
    on_row: Callable[[Row, int, int], None] | None = None,
) -> ValidationReport:
    """Predicts every bundled published measurement, or those of one source.

    simulate: scenario as plain data -> `simulator.simulation.Result`; default: the simulator with shipped profiles.
    on_row: called after each row with (row, rows done, rows in all), for progress.
    Raises ScenarioError for an unknown source. A row whose plan is not built yet is reported, not raised.
    """
    run = simulate or simulate_case
    names = SOURCES if source is None else (source,)
    cases = [(name, case) for name in names for case in load_cases(name)]
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for done, (name, case) in enumerate(cases, 1):
        rows[name].append(predict_case(case, run))
        if on_row is not None:
            on_row(rows[name][-1], done, len(cases))
    return ValidationReport(
        rows=tuple(row for name in names for row in rows[name]),
        sources=tuple(summarise(name, rows[name]) for name in names),
    )


def predict_case(case: Case, simulate: Simulate) -> Row:
    """The row of one case; `reason` says why where it cannot be predicted yet."""
    known = {
        "source": case.source, "name": case.name, "group": case.group, "quantity": case.quantity,
        "stand_in": case.stand_in, "measured_s": case.measured_s,
    }  # fmt: skip
    try:
        result = simulate(case.scenario)
        if case.quantity == STEP:
            terms_s = {label: ns_to_seconds(ns) for label, ns in result.breakdown.items()}
            return Row(**known, predicted_s=result.step_time_s, terms_s=terms_s, feasible=result.feasible)
        less = simulate(case.one_layer_less)
        verb = "F" if case.quantity == LAYER_FORWARD else "B"
        return Row(**known, predicted_s=action_seconds(result.timeline, verb) - action_seconds(less.timeline, verb))
    except NotSupportedYet as refusal:
        return Row(**known, reason=f"{refusal.key}: {refusal.message}")


def action_seconds(timeline: Timeline, verb: str) -> float:
    """Seconds from start to end of the first microbatch's forward (F) or backward (B) on the first stage.

    A backward in segments counts from its first to its last.
    """
    names = [re.split(r"[ .]", text)[0] for text in timeline.actions]
    ops = np.isin(timeline.action, [index for index, name in enumerate(names) if name == f"0{verb}0"])
    if not ops.any():
        raise ValueError(f"no op of action 0{verb}0 in the timeline")
    return int(timeline.end_ns[ops].max() - timeline.start_ns[ops].min()) / NS_PER_S


def simulate_case(scenario: dict[str, Any]) -> Any:
    from simulator.scenario.loader import scenario_from
    from simulator.simulation import simulate

    return simulate(scenario_from(scenario))

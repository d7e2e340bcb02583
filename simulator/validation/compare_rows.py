"""Runs the published rows through the simulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import NotSupportedYet
from simulator.units import NS_PER_S, ns_to_seconds
from simulator.validation.cases import KERNELS, LAYER_FORWARD, SCALED_STEP, STEP, Case
from simulator.validation.foundations import fitted_constants, held_out_figures
from simulator.validation.report import Row, ValidationReport, summarise
from simulator.validation.sources import SOURCES, load_cases

if TYPE_CHECKING:
    from simulator.timeline import Timeline

Simulate = Callable[[dict[str, Any]], Any]


def validate(
    source: str | None = None,
    *,
    simulate: Simulate | None = None,
    workers: int = 1,
    on_row: Callable[[Row, int, int], None] | None = None,
) -> ValidationReport:
    """Predicts every bundled published measurement, or those of one source.

    simulate: scenario as plain data -> `simulator.simulation.Result`; default: the simulator with shipped profiles.
    workers: processes that share the rows, where `simulate` is left out.
    on_row: called after each row with (row, rows done, rows in all), for progress.
    Raises ScenarioError for an unknown source. A row whose plan is not built yet is reported, not raised.
    """
    run = simulate or simulate_case
    names = SOURCES if source is None else (source,)
    cases = [(name, case) for name in names for case in load_cases(name)]
    rows: dict[str, list[Row]] = {name: [] for name in names}
    if workers > 1 and simulate is None:
        found = _in_processes(cases, workers)
    else:
        found = (predict_case(case, run) for _, case in cases)
    for done, ((name, _), row) in enumerate(zip(cases, found, strict=True), 1):
        rows[name].append(row)
        if on_row is not None:
            on_row(rows[name][-1], done, len(cases))
    return ValidationReport(
        rows=tuple(row for name in names for row in rows[name]),
        sources=tuple(summarise(name, rows[name]) for name in names),
        constants=fitted_constants(),
        held_out=held_out_figures(),
    )


def _in_processes(cases: list[tuple[str, Case]], workers: int) -> Iterator[Row]:
    """Rows in their order, predicted by several processes."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_predict, [case for _, case in cases], chunksize=4)


def _predict(case: Case) -> Row:
    return predict_case(case, simulate_case)


def predict_case(case: Case, simulate: Simulate) -> Row:
    """The row of one case; `reason` says why where it cannot be predicted yet."""
    known = {
        "source": case.source, "name": case.name, "group": case.group, "quantity": case.quantity,
        "stand_in": case.stand_in, "fitted": case.fitted, "measured_s": case.measured_s,
    }  # fmt: skip
    try:
        if case.quantity == KERNELS:
            return Row(**known, predicted_s=kernel_seconds(case.scenario, case.ops))
        result = simulate(case.scenario)
        if case.quantity == STEP:
            terms_s = {label: ns_to_seconds(ns) for label, ns in result.breakdown.items()}
            return Row(**known, predicted_s=result.step_time_s, terms_s=terms_s, feasible=result.feasible)
        if case.quantity == SCALED_STEP:
            alone = simulate(case.baseline)
            return Row(**known, predicted_s=result.step_time_s * case.baseline_s / alone.step_time_s)
        less = simulate(case.baseline)
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


def kernel_seconds(scenario: dict[str, Any], ops: tuple[str, ...]) -> float:
    """Seconds that the first rank's kernels of these names take in a step, one by one, nothing beside them."""
    from simulator.road import Road
    from simulator.scenario.loader import scenario_from

    road = Road(scenario_from(scenario))
    graph = road.expanded(road.prices, contracted=False).graph
    first = np.array([stream.rank == graph.ranks[0] for stream in graph.streams])[graph.stream]
    wanted = np.array([name in ops for name in graph.op_names])
    return int(graph.duration_ns[first & wanted].sum()) / NS_PER_S


def simulate_case(scenario: dict[str, Any]) -> Any:
    from simulator.scenario.loader import scenario_from
    from simulator.simulation import simulate

    return simulate(scenario_from(scenario))

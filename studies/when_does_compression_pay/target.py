"""Plans by the way to a target: measured steps to it (`learned.py`) times predicted steps, and what that costs.

    python -m studies.when_does_compression_pay.run --objective time_to_target

That a large model needs as many times the steps as the small one did is assumed, whatever the network and the number of
GPUs; so plans are ordered within a set-up only, where cost in GPU-hours has the order of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from simulator import simulate
from simulator.report.html import study_block, write_report
from simulator.report.tables import study_table
from studies.when_does_compression_pay.learned import Learned, learned
from studies.when_does_compression_pay.setups import MODELS, SetUp

WIN = 0.01
"""A method wins by more than this."""
SURE = 0.8
"""... and in so many of the seeds."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Plan:
    """One method on one set-up. step_s: predicted. seconds: to the target, by seed. over_none: the same over what none
    takes with the same seed."""

    method: str
    step_s: float
    seconds: tuple[float, ...]
    over_none: tuple[float, ...]
    gpus: int

    @property
    def time_s(self) -> float:
        """Of the median seed."""
        return median(self.seconds)

    @property
    def gpu_hours(self) -> float:
        return self.time_s * self.gpus / SECONDS_PER_HOUR

    @property
    def wins(self) -> bool:
        """Ahead of none by over 1 % in the median, and ahead of it in four of five seeds."""
        ahead = sum(ratio < 1.0 for ratio in self.over_none)
        return median(self.over_none) < 1.0 / (1.0 + WIN) and ahead >= SURE * len(self.over_none)


def plans(set_up: SetUp, measured: Sequence[Learned], steps_s: Sequence[float]) -> tuple[Plan, ...]:
    """Every method's, the soonest at the target first; of equals the first in `measured`. steps_s: of each method."""
    place = next(number for number, one in enumerate(measured) if one.method == "none")
    none, none_s = measured[place].steps, steps_s[place]
    found = []
    for one, step_s in zip(measured, steps_s, strict=True):
        ratios = tuple(own * step_s / (plain * none_s) for own, plain in zip(one.steps, none, strict=True))
        found.append(Plan(one.method, step_s, tuple(own * step_s for own in one.steps), ratios, 8 * set_up.nodes))
    return tuple(sorted(found, key=lambda plan: plan.time_s))


def ordered(set_up: SetUp) -> tuple[Plan, ...]:
    """The plans of one set-up, predicted."""
    measured = learned()
    return plans(set_up, measured, [simulate(set_up.scenario(one.method)).step_time_s for one in measured])


def row(set_up: SetUp, found: Sequence[Plan], methods: Sequence[str]) -> dict[str, Any]:
    """One line of a table: which is first, what it and none cost, and each method's time to the target over none's."""
    by = {plan.method: plan for plan in found}
    shown: dict[str, Any] = {"network": set_up.network, "first": found[0].method,
                             "GPU-hours": f"{found[0].gpu_hours:.3g}",
                             "of none": f"{by['none'].gpu_hours:.3g}"}  # fmt: skip
    for method in methods:
        ratio = median(by[method].over_none)
        shown[method] = "-" if ratio == inf else f"{ratio:.2f}"
    return shown


def counts(found: Sequence[tuple[SetUp, Sequence[Plan]]]) -> list[str]:
    """The sentences that answer."""
    said = []
    for words, fast in (("fast", True), ("slower", False)):
        chosen = [order for set_up, order in found if set_up.fast == fast]
        first = Counter(order[0].method for order in chosen)
        wins = Counter(plan.method for order in chosen for plan in order if plan.method != "none" and plan.wins)
        best = max((1.0 / min(median(plan.over_none) for plan in order) for order in chosen), default=1.0)
        said.append(
            f"{words} networks: of {len(chosen)} set-ups first at the target: {_listed(first)}; ahead of none by over "
            f"1 %, and in four of five seeds: {_listed(wins) or 'nothing'}; the largest gain is {best:.1f} times"
        )
    return said


def answer(chosen: list[SetUp], report: Path) -> None:
    """Predicts the set-ups, prints their orders and writes them down."""
    console, blocks, methods = Console(), [], [one.method for one in learned()]
    with ProcessPoolExecutor() as pool:
        found = list(zip(chosen, pool.map(ordered, chosen, chunksize=4), strict=True))
    for model in MODELS:
        if rows := [row(one, order, methods) for one, order in found if one.model == model and one.batch == 1]:
            console.print(study_table(rows, title=f"{model}: time to the target over that without compression"), "")
            blocks.append(study_block(model, rows))
    notes = counts(found)
    for note in notes:
        console.print(f"- {note}", highlight=False, soft_wrap=True)
    shown = [simulate(chosen[0].scenario(method)) for method in methods[:4]]
    report.parent.mkdir(parents=True, exist_ok=True)
    write_report(shown, report, title="Which gradient compression is first at a target?", notes=notes, blocks=blocks)
    console.print(f"\nreport: {report}")


def _listed(found: Counter) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.most_common())

"""What a set-up came to: the best single mode and the best hybrid, who is ahead, and which term of the step decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.report.palette import time_look
from studies.hybrid_vs_single_mode.run import CLAIM_THROUGHPUT, CLAIM_UTILIZATION
from studies.hybrid_vs_single_mode.wide_plans import SetUp

AHEAD = 0.01
"""A hybrid is ahead by more than this."""


@dataclass(frozen=True)
class Outcome:
    """One plan's step: seconds, shares of one, and (label, seconds) of the breakdown."""

    plan: str
    step_s: float
    samples_per_s: float
    busy: float
    mfu: float
    breakdown_s: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, result: Any) -> Outcome:
        """Of a Result whose name is a model and its plan."""
        step_s = result.step_time_s
        return cls(
            result.name.split(", ", 1)[1], step_s, result.scenario.plan.global_batch / step_s, result.utilization.busy,
            result.flops.rates(step_s)["mfu"], tuple((label, ns * 1e-9) for label, ns in result.breakdown.items()),
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One set-up. mode: of the fastest single mode; None where none fits, as `single` and `hybrid` are."""

    set_up: SetUp
    mode: str | None
    single: Outcome | None
    hybrid: Outcome | None

    @property
    def compared(self) -> bool:
        """Whether both fit."""
        return self.single is not None and self.hybrid is not None

    @property
    def throughput(self) -> float:
        """How much more samples/s than the single mode, per GPU owned."""
        return self.hybrid.samples_per_s / self.single.samples_per_s - 1

    @property
    def busy(self) -> float:
        """How much busier the GPUs are that each of the two uses."""
        return self.hybrid.busy / self.single.busy - 1

    @property
    def faster(self) -> bool:
        return self.throughput >= CLAIM_THROUGHPUT

    @property
    def busier(self) -> bool:
        return self.busy >= CLAIM_UTILIZATION

    @property
    def term(self) -> tuple[str, float, float]:
        """(label, seconds there, seconds here) of what makes most of the difference between the two steps."""
        here, there = dict(self.hybrid.breakdown_s), dict(self.single.breakdown_s)
        sign = 1 if self.single.step_s >= self.hybrid.step_s else -1
        label = max(here, key=lambda one: sign * (there[one] - here[one]))
        return label, there[label], here[label]

    def line(self) -> dict[str, Any]:
        """The line of the table."""
        found = {"model": self.set_up.model, "fabric": self.set_up.fabric, "GPUs": f"{self.set_up.gpus:,}"}
        found |= {
            "best single mode": self.mode or "none fits",
            "its samples/s": "",
            "best hybrid": "",
            "samples/s": "",
            "throughput": "",
            "busy": "",
            "MFU": "",
            "decided by, s a step": "",
            "both hold": "",
        }
        if self.single:
            found["its samples/s"] = self.single.samples_per_s
        if self.hybrid:
            found |= {"best hybrid": self.hybrid.plan, "samples/s": self.hybrid.samples_per_s}
        if not self.compared:
            return found | {"best hybrid": found["best hybrid"] or "none fits"}
        label, there, here = self.term
        return found | {
            "throughput": f"{self.throughput:+.0%}",
            "busy": f"{self.busy:+.0%}",
            "MFU": f"{self.hybrid.mfu / self.single.mfu - 1:+.0%}",
            "decided by, s a step": f"{time_look(label).words} {there:.3g} to {here:.3g}",
            "both hold": "yes" if self.faster and self.busier else "",
        }  # fmt: skip


def summary(rows: Sequence[Row]) -> str:
    """How many set-ups each figure holds in, of those where a single mode and a hybrid both fit."""
    both = [row for row in rows if row.compared]
    return (
        f"{len(rows)} set-ups, {len(both)} where a single mode and a hybrid fit: the hybrid is ahead in "
        f"{sum(row.throughput > AHEAD for row in both)}, by 30 % or more in {sum(row.faster for row in both)}; "
        f"20 % busier in {sum(row.busier for row in both)}; both in {sum(row.faster and row.busier for row in both)}."
    )


def why(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One line for each rival and each term that decides against it: in how many set-ups, and which figures hold."""
    both = [row for row in rows if row.compared]
    keys = Counter((row.mode, row.throughput > 0, row.term[0]) for row in both)
    lines = []
    for mode, wins, label in sorted(keys, key=lambda key: (key[0], not key[1], -keys[key], key[2])):
        own = [row for row in both if (row.mode, row.throughput > 0, row.term[0]) == (mode, wins, label)]
        gains = sorted(row.throughput for row in own)
        lines.append({
            "best single mode": mode,
            "the hybrid": "gains" if wins else "loses",
            "by": time_look(label).words,
            "set-ups": str(len(own)),
            "throughput": " to ".join(dict.fromkeys(f"{gain:+.0%}" for gain in (gains[0], gains[-1]))),
            "+30 %": str(sum(row.faster for row in own)),
            "20 % busier": str(sum(row.busier for row in own)),
            "both": str(sum(row.faster and row.busier for row in own)),
        })  # fmt: skip
    return lines


def by_size(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One line for each number of GPUs: set-ups where the two are compared, and in how many each figure holds."""
    lines = []
    for gpus in dict.fromkeys(row.set_up.gpus for row in rows):
        own = [row for row in rows if row.set_up.gpus == gpus and row.compared]
        lines.append({
            "GPUs": f"{gpus:,}",
            "set-ups": str(len(own)),
            "hybrid ahead": str(sum(row.throughput > AHEAD for row in own)),
            "+30 %": str(sum(row.faster for row in own)),
            "20 % busier": str(sum(row.busier for row in own)),
            "both": str(sum(row.faster and row.busier for row in own)),
        })  # fmt: skip
    return lines

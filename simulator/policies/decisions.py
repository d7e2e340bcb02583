"""Decision: what a policy changed, when, and what it expected of it; the line of a `--decisions` file.

    {"step":3,"policy":"length","before":[[0,1],[2,3]],"after":[[0,2],[1,3]],"predicted_gain":0.31}

before, after: the policy's own words for what it decides, plain JSON. predicted_gain: the share of its cost that the
policy expects to save, throughput(after) / throughput(before) - 1. A decision holds from its step on, until the same
policy's next one. `simulate --decisions` writes them, `execute --decisions` replays them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.errors import ScenarioError

KEYS = ("step", "policy", "before", "after", "predicted_gain")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of one policy; lists in before and after are tuples here, so that it is frozen throughout."""

    step: int
    policy: str
    before: Any
    after: Any
    predicted_gain: float

    @property
    def text(self) -> str:
        """The line that `from_text` reads back: gains keep 9 significant digits."""
        gain = float(f"{self.predicted_gain:.8e}")
        return json.dumps({**asdict(self), "predicted_gain": gain}, separators=(",", ":"))

    @classmethod
    def from_text(cls, line: str) -> Decision:
        """Raises ValueError for a line that is no decision."""
        found = json.loads(line)
        if not isinstance(found, dict) or set(found) != set(KEYS):
            raise ValueError(f"a decision has the keys {', '.join(KEYS)}")
        step, gain = found["step"], found["predicted_gain"]
        if type(step) is not int or step < 0 or not isinstance(found["policy"], str):
            raise ValueError("step is a whole number of at least 0, policy a name")
        if isinstance(gain, bool) or not isinstance(gain, int | float):
            raise ValueError(f"predicted_gain is a number, not {gain!r}")
        return cls(step, found["policy"], _frozen(found["before"]), _frozen(found["after"]), float(gain))


def decisions_text(decisions: Iterable[Decision]) -> str:
    """A file of decisions, by step, then policy."""
    ordered = sorted(decisions, key=lambda one: (one.step, one.policy))
    return "".join(one.text + "\n" for one in ordered)


def read_decisions(text: str, label: str) -> tuple[Decision, ...]:
    """The decisions of a file. Raises ScenarioError with the label and the line that cannot be read."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(Decision.from_text(line))
        except ValueError as error:
            raise ScenarioError(
                f"{label} line {number} is no decision ({error}); write the file with `rehearse simulate --decisions`",
                key="--decisions",
            ) from None
    return tuple(found)


def in_force(decisions: Sequence[Decision], policy: str, step: int) -> Decision | None:
    """The policy's last decision at or before a step; None where it has made none."""
    made = [one for one in decisions if one.policy == policy and one.step <= step]
    return max(made, key=lambda one: one.step, default=None)


def policies_at_work(plan) -> tuple[str, ...]:
    """The policies of a plan that decide something while it runs."""
    kind = plan.balancer.kind
    balancer = {"none": (), "static": ("static", "replicas", "placement")}.get(kind, (kind,))
    return (*balancer, "compression") if plan.compression.method == "adaptive" else balancer


def check_policies(decisions: Iterable[Decision], at_work: Sequence[str]) -> None:
    """Raises ScenarioError for a decision of a policy that the scenario does not use."""
    for one in decisions:
        if one.policy not in at_work:
            known = f"it uses {', '.join(at_work)}" if at_work else "it uses none that decides"
            raise ScenarioError(
                f"step {one.step} is decided by the policy {one.policy}, which this scenario does not use ({known}); "
                "replay what was decided for this scenario",
                key="--decisions",
            )


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(one) for one in value)
    return {key: _frozen(one) for key, one in value.items()} if isinstance(value, dict) else value

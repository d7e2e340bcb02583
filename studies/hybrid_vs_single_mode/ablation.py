"""A hybrid with a balancer, gradient compression and another aggregation: what each adds alone, and all together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator import simulate
from studies.hybrid_vs_single_mode.run import CLAIM_THROUGHPUT
from studies.hybrid_vs_single_mode.wide_plans import FABRICS, SetUp
from studies.hybrid_vs_single_mode.wide_rows import Outcome, Row

POLICIES: dict[str, dict[str, Any]] = {
    "balancer": {"balancer": {"kind": "static"}},
    "compression": {"compression": {"method": "adaptive", "candidates": ["bf16", "int8", "powersgd"]}},
    "aggregation": {"aggregation": {"algorithm": "hierarchical"}},
}
"""Static: layers dealt out to even FLOPs. Adaptive: a method for each bucket, or none, by its effect on the step."""

TRIED = {**{name: (name,) for name in POLICIES}, "all three": tuple(POLICIES)}

BASE = {"bucket_mib": 153, "aggregation": {"algorithm": "ring"}}
"""Rings, for the aggregation to improve on; buckets of 40 million fp32 gradients, Megatron-Core's default
(DistributedDataParallelConfig.bucket_size)."""


@dataclass(frozen=True)
class Apart:
    """One set-up's base, and what it is with the policies of each entry of TRIED."""

    set_up: SetUp
    base: Outcome
    found: tuple[Outcome, ...]

    def line(self, single: Outcome | None) -> dict[str, Any]:
        """The line of the table. single: the best single mode of the same set-up, without any policy."""
        steps = zip(TRIED, self.found, strict=True)
        gains = {name: f"{self.base.step_s / one.step_s - 1:+.0%}" for name, one in steps}
        against = {}
        if single is not None:
            gained = (one.samples_per_s / single.samples_per_s - 1 for one in (self.base, self.found[-1]))
            against = dict(zip(("base to single mode", "all three to it"), map("{:+.0%}".format, gained), strict=True))
        where = {"model": self.set_up.model, "fabric": self.set_up.fabric, "base": self.base.plan}
        return {**where, "samples/s": self.base.samples_per_s, **gains, **against}


def grounds() -> Iterator[SetUp]:
    """Every fabric with 256 GPUs and the models up to 7B; 70B's steps take long to simulate as often as that."""
    yield from (SetUp(model, fabric, 256) for model in ("0.1B", "1B", "7B") for fabric in FABRICS)


def base(set_up: SetUp) -> dict[str, Any]:
    """The fastest hybrid on which every policy has something to act: stages and replicas, each at the second largest
    microbatch that fits."""
    plans = [plan for plan in set_up.hybrids() if plan["pipeline"] > 1 and plan["data"] > 1]
    fitting = [found[:2][-1] for plan in plans if (found := set_up.fitting({**plan, **BASE}))]
    fastest = min(fitting, key=lambda scenario: simulate(scenario).step_time_s).plan
    keys = ("tensor", "pipeline", "data", "sequence_parallel", "zero", "microbatch", "recompute")
    return {key: getattr(fastest, key) for key in keys} | BASE


def taken_apart(set_up: SetUp) -> Apart:
    """The base alone, with each policy and with all."""
    plan = base(set_up)
    added = [{}, *({key: one for name in names for key, one in POLICIES[name].items()} for names in TRIED.values())]
    first, *found = (Outcome.of(simulate(set_up.scenario({**plan, **policies}))) for policies in added)
    return Apart(set_up, first, tuple(found))


def summary(apart: list[Apart], rows: list[Row]) -> str:
    """How much all policies add, and what that makes of the base against the best single modes."""
    singles = {row.set_up: row.single for row in rows}
    gains = [one.base.step_s / one.found[-1].step_s - 1 for one in apart]
    text = f"All policies together change a hybrid's throughput by {min(gains):+.0%} to {max(gains):+.0%}"
    rivals = [
        (one, single.samples_per_s * (1 + CLAIM_THROUGHPUT)) for one in apart if (single := singles.get(one.set_up))
    ]
    if not rivals:
        return text + "."
    before = sum(one.base.samples_per_s >= least for one, least in rivals)
    after = sum(one.found[-1].samples_per_s >= least for one, least in rivals)
    return (
        f"{text}; it is 30 % ahead of the best single mode (without any) in {before} of {len(rivals)} set-ups without "
        f"and in {after} with them."
    )

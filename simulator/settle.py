"""Settle: a scenario whose policies have decided whatever a program depends on, so that it can be lowered.

Adaptive compression asks the simulator what a step takes (`policies/adaptive.py`) and writes down a method for each
bucket, `plan.compression.decided`; a static balancer writes down its layers for each stage, `plan.partition`
(`stage_balance.py`), its microbatches for each replica,
`plan.balancer.microbatches` (`replica_balance.py`), and the device of each rank (`rank_placement.py`). From
there on nobody needs prices: the same scenario lowers to the same program wherever it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from simulator.errors import ScenarioError
from simulator.policies.adaptive import NONE, Choice, choose
from simulator.policies.decisions import Decision, in_force
from simulator.program.lowering import lower
from simulator.program.program import Program
from simulator.rank_placement import settle_order
from simulator.replica_balance import settle_work
from simulator.road import Prices, Road

POLICY = "compression"
KEY = "plan.compression.decided"


def settle(scenario, decisions: Iterable[Decision] | None = None) -> tuple[object, tuple[Decision, ...]]:
    """(the scenario with everything decided, what was decided here). Others than adaptive ones come back as they are.

    decisions: to be replayed; None: decided anew, unless the plan holds them already. Raises ScenarioError where they
    are not of this scenario's buckets or layers.
    """
    replayed = tuple(decisions or ())
    scenario, dealt = settle_order(scenario, replayed, lambda placed: settle_work(placed, replayed))
    compressed, chosen = _settle_compression(scenario, decisions)
    return compressed, (*dealt, *chosen)


def _settle_compression(scenario, decisions: Iterable[Decision] | None) -> tuple[object, tuple[Decision, ...]]:
    compression = scenario.plan.compression
    if compression.method != "adaptive":
        return scenario, ()
    program = lower(scenario)
    names = bucket_names(program)
    replayed = in_force(tuple(decisions or ()), POLICY, 0)
    if replayed is not None:
        scenario = with_decided(scenario, replayed.after)
    if scenario.plan.compression.decided is not None:
        _check(names, dict(scenario.plan.compression.decided))
        return scenario, () if replayed is None else (replayed,)
    found, none_ns, best_ns = _decide(scenario, names)
    after = tuple(zip(names, found, strict=True))
    before = tuple((name, NONE) for name in names)
    return with_decided(scenario, after), (
        Decision(0, POLICY, before, after, none_ns / best_ns - 1 if best_ns else 0.0),
    )


def bucket_names(program: Program) -> tuple[str, ...]:
    """Every dense bucket of a program as "pipeline rank.bucket", in the order in which backward fills them."""
    stages = {program.layout.coordinates(own.rank)[0]: own for own in reversed(program.ranks)}  # replicas are alike
    return tuple(f"{stage}.{bucket.name}" for stage in sorted(stages) for bucket in stages[stage].buckets)


def with_decided(scenario, decided: Iterable[tuple[str, str]]):
    """The scenario with a method for each bucket. Raises ScenarioError for what is no such list."""
    from pydantic import ValidationError

    stated = scenario.stated
    compression = stated.plan.compression
    try:
        found = type(compression).model_validate({**compression.model_dump(), "decided": dict(decided)})
    except (ValidationError, TypeError, ValueError):
        raise ScenarioError(
            "the decisions are no list of [bucket, method]; replay what `rehearse simulate --decisions` wrote", key=KEY
        ) from None
    plan = stated.plan.model_copy(update={"compression": found})
    return replace(scenario, stated=stated.model_copy(update={"plan": plan}))


def _decide(scenario, names: tuple[str, ...]) -> tuple[Choice, int, int]:
    """(the methods, ns of a step without compression, ns with it)."""
    prices = Prices.of(scenario)
    known: dict[Choice, int] = {}

    def step_ns(choice: Choice) -> int:
        if choice not in known:
            road = Road(with_decided(scenario, zip(names, choice, strict=True)), prices)
            known[choice] = road.timeline(road.expanded(prices)).step_ns
        return known[choice]

    best = choose(tuple(reversed(range(len(names)))), scenario.plan.compression.candidates, step_ns)
    return best, step_ns((NONE,) * len(names)), step_ns(best)


def _check(names: tuple[str, ...], decided: dict[str, str]) -> None:
    for name in decided:
        if name not in names:
            raise ScenarioError(
                f"the plan has no bucket {name!r}; its buckets are {', '.join(names)}; leave it out to decide anew",
                key=KEY,
            )

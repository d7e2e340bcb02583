"""`faults` at the step that is simulated, which is step 0: slow links and slow ranks. A run under the adaptive stage
balancer has many: its stragglers are those of each, its links those of step 0.

A fault with from_step and to_step is there in the steps [from_step, to_step): another step sees nothing of it. Faults
of one link or one rank multiply.
"""

from __future__ import annotations

from simulator.cluster import Cluster, Link
from simulator.errors import ScenarioError
from simulator.scenario.keys import nearest
from simulator.scenario.schema import Faults, SlowLink, Straggler

STEP = 0
"""The step that is simulated."""


def degraded(cluster: Cluster, faults: Faults) -> Cluster:
    """The cluster with the links that are slow in the simulated step.

    Raises ScenarioError for a link or end that is not there, with the nearest, and for steps that are none.
    """
    slow = cluster
    for place, fault in enumerate(faults.links):
        key = f"faults.links.{place}"
        _check_steps(fault, key)
        links = _links(cluster, fault.link, f"{key}.link")
        if _is_there(fault):
            slow = slow.degraded(links, fault.factor)
    return slow


def slow_ranks(scenario, step: int = STEP) -> tuple[tuple[int, float], ...]:
    """`straggler_factors` of the ranks as they are placed: a slow device stays slow, whichever rank runs on it."""
    found = straggler_factors(scenario.faults, scenario.cluster.gpus, step)
    return tuple(sorted((scenario.cluster.rank_at(device), factor) for device, factor in found))


def straggler_factors(faults: Faults, ranks: int, step: int = STEP) -> tuple[tuple[int, float], ...]:
    """(rank, how many times slower its compute is), ascending, of the ranks that straggle in a step.

    Raises ScenarioError for a rank that is not there, with the nearest, and for steps that are none.
    """
    found: dict[int, float] = {}
    for place, fault in enumerate(faults.stragglers):
        key = f"faults.stragglers.{place}"
        _check_steps(fault, key)
        if fault.rank >= ranks:
            raise ScenarioError(
                f"there is no rank {fault.rank}, and the nearest of the {ranks} is {ranks - 1}", key=f"{key}.rank"
            )
        if _is_there(fault, step):
            found[fault.rank] = found.get(fault.rank, 1.0) * fault.factor
    return tuple(sorted((rank, factor) for rank, factor in found.items() if factor != 1.0))


def _is_there(fault: SlowLink | Straggler, step: int = STEP) -> bool:
    return fault.from_step <= step and (fault.to_step is None or fault.to_step > step)


def _check_steps(fault: SlowLink | Straggler, key: str) -> None:
    if fault.to_step is not None and fault.to_step <= fault.from_step:
        raise ScenarioError(
            f"from_step {fault.from_step} to to_step {fault.to_step} holds no step (to_step is the first one after); "
            f"use {fault.from_step + 1} or more, or leave it out",
            key=f"{key}.to_step",
        )


def _links(cluster: Cluster, name: str, key: str) -> tuple[Link, ...]:
    """The link of this name, or all links that begin or end at the end of this name."""
    if ">" in name:
        try:
            return (cluster.find_link(name),)
        except ValueError:
            known = [one for one in cluster.names_like(name) if ">" in one]
    else:
        if found := cluster.links_at(name):
            return found
        known = list(cluster.names_like(name))
    close = nearest(name, known)
    if close is None:
        hint = (
            f"links are named by their ends, such as {', '.join(known[:3])}" if known else "this cluster has no links"
        )
    else:
        hint = f"did you mean {close}?"
    raise ScenarioError(f"there is no link or end {name!r} in this cluster; {hint}", key=key)

"""Which device each rank runs on: the static balancer's placement, `plan.balancer.placement: traffic`.

Orders of ranks are ranked by what their messages take (`traffic_time.py`); the first of them are settled to the end
and simulated beside rank order, and the shortest step that fits in memory is taken. Rank order stays on ties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from simulator.cluster import placed
from simulator.errors import ScenarioError
from simulator.policies.decisions import Decision, in_force
from simulator.policies.rank_orders import PLACEMENT, Cost, Order, best_order, nested_orders
from simulator.road import Prices, Road
from simulator.scenario.divisions import check_order
from simulator.scenario.faults import slow_ranks
from simulator.scenario.legality import check_plan
from simulator.traffic_time import TrafficTime

FINALISTS = 3
"""Orders that are simulated besides rank order."""

LOOKS = 200_000
"""Ranks that the search looks at, at most: tries times ranks."""

FEW_DEVICES, FEW_NODES = 32, 64
"""Above which single devices, and whole nodes, no longer change places one by one."""

Settled = tuple[object, tuple[Decision, ...]]


def settle_order(scenario, decisions: Sequence[Decision], settle_rest: Callable[[object], Settled]) -> Settled:
    """(the scenario with its ranks on devices and everything else decided, what was decided). decisions: to be
    replayed."""
    if scenario.plan.balancer.placement != "traffic":
        return settle_rest(scenario)
    replayed = in_force(decisions, PLACEMENT, 0)
    if replayed is not None:
        settled, others = settle_rest(with_order(scenario, checked_order(scenario, replayed.after)))
        return settled, (replayed, *others)
    orders = finalists(scenario)
    found = [(order, *settle_rest(with_order(scenario, order))) for order in orders]
    worth = [_worth(settled) for _, settled, _ in found]
    order, settled, others = found[worth.index(min(worth))]
    gain = worth[0][1] / min(worth)[1] - 1 if worth[0][1] else 0.0
    return settled, (Decision(0, PLACEMENT, orders[0], order, gain), *others)


def with_order(scenario, order: Order):
    """The scenario with its ranks on these devices. Slow devices stay slow."""
    placement = "natural" if order == tuple(range(len(order))) else order
    balancer = scenario.plan.balancer.model_copy(update={"placement": placement})
    plan = scenario.plan.model_copy(update={"balancer": balancer})
    stated = scenario.stated.model_copy(update={"plan": plan})
    moved = replace(scenario, stated=stated, cluster=placed(scenario.cluster, order))
    return replace(moved, straggling=slow_ranks(moved))


def checked_order(scenario, order: object) -> Order:
    """An order that was replayed. Raises ScenarioError where it is none of this scenario's."""
    whole = isinstance(order, tuple) and all(type(device) is int for device in order)
    if not whole or sorted(order) != list(range(scenario.cluster.gpus)):
        raise ScenarioError(
            f"step 0 does not place {scenario.cluster.gpus} ranks on as many devices, each once; replay what was "
            "decided for this scenario",
            key="--decisions",
        )
    check_order(scenario.model, with_order(scenario, order).plan, placed(scenario.cluster, None))
    return order


def finalists(scenario) -> tuple[Order, ...]:
    """Rank order, then those with the least traffic, the least first; on unequal devices also the order in which a
    replica's stages lie side by side, so that replicas differ rather than stages."""
    cost = TrafficTime(scenario, Prices.of(scenario))
    known: dict[Order, int] = {}

    def asked(order: Order) -> int:
        if order not in known:
            known[order] = cost(order)
        return known[order]

    nested = [order for order in nested_orders(scenario.layout) if _is_legal(scenario, order)]
    natural = tuple(range(scenario.cluster.gpus))
    start = min([natural, *nested], key=asked)
    found = {natural: None}
    if scenario.pace or scenario.cluster.is_mixed:
        layout = scenario.layout
        each = layout.tensor * layout.context
        compact = tuple(
            (data * layout.pipeline + stage) * each + context * layout.tensor + tensor
            for stage, data, context, tensor in map(layout.coordinates, range(layout.ranks))
        )  # fmt: skip
        if _is_legal(scenario, compact):
            found[compact] = None
    searched = _searched(scenario, start, asked)
    cheapest = sorted((order for order in {searched: None, **dict.fromkeys(nested)}), key=asked)
    for order in cheapest[:FINALISTS]:
        if _is_legal(scenario, order):
            found[order] = None
    return tuple(found)


def _searched(scenario, start: Order, cost: Cost) -> Order:
    """Nodes, then devices, change places."""
    cluster = scenario.cluster
    tries = max(1, LOOKS // cluster.gpus)
    nodes: dict[int, list[int]] = {}
    for device in range(cluster.gpus):
        nodes.setdefault(cluster.node_of(device), []).append(device)
    order, sizes = start, {len(node) for node in nodes.values()}
    if len(sizes) == 1 and 1 < len(nodes) <= FEW_NODES and sizes != {1}:
        order = best_order(order, list(nodes.values()), cost, tries)
    if cluster.gpus <= FEW_DEVICES:
        order = best_order(order, [(device,) for device in range(cluster.gpus)], cost, tries)
    return order


def _is_legal(scenario, order: Order) -> bool:
    moved = with_order(scenario, order)
    try:
        check_order(moved.model, moved.plan, placed(scenario.cluster, None))
        check_plan(moved.model, moved.plan, moved.cluster, pads=moved.data.lengths.kind != "fixed")
    except ScenarioError:
        return False
    return True


def _worth(settled) -> tuple[bool, int]:
    """The less the better: what does not fit in memory comes last, then the longer step."""
    road = Road(settled)
    return road.memory.over is not None, road.timeline(road.expanded(road.prices)).step_ns

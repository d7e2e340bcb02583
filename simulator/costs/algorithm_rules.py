"""Which algorithm may run which collective over which group: the names a plan may use, and what each needs.

| algorithm | collectives it knows | needs |
|---|---|---|
| auto | all | - |
| ring | all | - |
| tree | all_reduce; the others are rings | - |
| hierarchical | all_reduce, reduce_scatter, all_gather | as many members on every node |
| halving_doubling | the same three | powers of two: members, and members on a node |
| in_switch | the same three inside a node, all_reduce between nodes | switches that add, in nodes or fabric |

An all_to_all and a broadcast have one form, whatever the algorithm: they add nothing up.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.cluster import Cluster, GroupSpan
from simulator.errors import ScenarioError

ALGORITHMS = ("auto", "ring", "tree", "hierarchical", "halving_doubling", "in_switch")
REDUCING = ("all_reduce", "reduce_scatter", "all_gather")
"""The collectives that sum gradients, and the one that brings their result back."""

KEY = "plan.aggregation.algorithm"


class Switches(NamedTuple):
    """Which switches of a cluster add up what passes through them: inside its nodes (NVLS), in its fabric (SHARP)."""

    in_node: bool = False
    in_fabric: bool = False


NO_SWITCHES = Switches()


def switches_of(cluster: Cluster) -> Switches:
    """What a cluster's switches can do: those of all its nodes, and its fabric's."""
    return Switches(
        in_node=all(node.fabric.in_switch_reduction for node, _ in cluster.groups),
        in_fabric=cluster.fabric.in_network_reduction,
    )


def check_algorithm(op: str, algorithm: str, span: GroupSpan, switches: Switches) -> None:
    """Raises ScenarioError, with numbers and what to use instead, where the algorithm cannot run this collective."""
    if algorithm not in ALGORITHMS:
        raise ScenarioError(f"{algorithm!r} is not an algorithm; use one of {', '.join(ALGORITHMS)}", key=KEY)
    if span.size == 1 or op not in REDUCING:
        return
    if algorithm in ("hierarchical", "halving_doubling") and span.size != span.nodes * span.per_node:
        raise ScenarioError(
            f"{algorithm} needs as many ranks on every node, and the {span.size} that reduce together lie on "
            f"{span.nodes} nodes, up to {span.per_node} on one; use ring or tree",
            key=KEY,
        )
    if algorithm == "halving_doubling" and (_odd(span.size) or _odd(span.per_node)):
        raise ScenarioError(
            f"halving_doubling pairs ranks and needs powers of two, and {span.size} reduce together, {span.per_node} "
            "on a node; use ring or hierarchical",
            key=KEY,
        )
    if algorithm == "in_switch":
        _check_switches(op, span, switches)


def _check_switches(op: str, span: GroupSpan, switches: Switches) -> None:
    helps_inside, helps_between = switches.in_node and span.per_node > 1, switches.in_fabric and span.nodes > 1
    if not helps_inside and not helps_between:
        where = "in one node" if span.nodes == 1 else f"on {span.nodes} nodes, {span.per_node} on each"
        raise ScenarioError(
            f"in_switch needs switches that add, and none lies between the {span.size} ranks that reduce together "
            f"{where}: {_known(switches)}; use auto, ring, tree or hierarchical, "
            "or a cluster whose switches do (dgx_h100 in its nodes; --set cluster.in_network_reduction=true for SHARP)",
            key=KEY,
        )
    if op != "all_reduce" and span.nodes > 1:
        raise ScenarioError(
            f"in_switch adds up whole all-reduces between nodes, and this plan's {op} crosses {span.nodes} nodes; use "
            "hierarchical, or --set plan.zero=0 without a sparse compressor",
            key=KEY,
        )


def _known(switches: Switches) -> str:
    nodes = "its nodes' switches do" if switches.in_node else "no switch in its nodes does"
    return f"of this cluster {nodes}, and its fabric does{'' if switches.in_fabric else ' not'}"


def _odd(count: int) -> bool:
    """Whether a count is not a power of two."""
    return count & (count - 1) != 0

"""Groups of ranks that collectives are timed over: the first ranks of the first node, and as many on each of several.

Imports no torch: the process that leads and those that measure agree on who is a member of what.
"""

from __future__ import annotations

Lie = tuple[int, int]
"""(ranks, nodes): as many of them on each node, the first of each, on the first nodes."""


def lies(world: int, per_node: int) -> list[Lie]:
    """Every group of a world of so many ranks, dealt evenly to nodes: of one node, each size; between nodes, a pair of
    them and all of them, by one rank of each and by all."""
    nodes = world // per_node
    inside = [(size, 1) for size in range(2, per_node + 1)]
    between = [(count * own, count) for count in (2, nodes) for own in (1, per_node)] if nodes > 1 else []
    return list(dict.fromkeys(inside + between))


def lie_of(shape: tuple[int, ...]) -> Lie:
    """How the group of a collective's point lies: (ranks, bytes) or (ranks, bytes, nodes)."""
    ranks, _, *nodes = shape
    return ranks, nodes[0] if nodes else 1


def members(lie: Lie, per_node: int) -> list[int]:
    """The ranks of a group."""
    ranks, nodes = lie
    return [node * per_node + place for node in range(nodes) for place in range(ranks // nodes)]

"""What a group of ranks finds between its members when nothing else runs: rates and latencies, by rule.

The group sends as a ring over its nodes does: each node to the next one, in rank order, and the last to the first. A
node sends as much as the ports that its members own, what feeds them and the leaf switches on the way allow; the
poorest node counts. Ranges on a cluster of one node type cost the same however many nodes they cross: only so many of
their nodes are looked at that every pattern of members occurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from simulator.cluster import wires
from simulator.cluster.parts import NodeType, Ranks

if TYPE_CHECKING:
    from simulator.cluster.cluster import Cluster

T = TypeVar("T")

OUT, INTO = 0, 1
"""Directions of a `wires.Pair`."""


@dataclass(frozen=True, slots=True)
class GroupSpan:
    """What a group of ranks finds between its members.

    size: members. nodes: nodes they lie on. per_node: most members on one node.
    intra_bytes_per_s, intra_latency_s: one member to another inside a node.
    node_bytes_per_s: what the group may send out of each of its nodes (the poorest one), and as much receive;
    0 where it stays inside one node. inter_latency_s: one member to another across nodes.
    """

    size: int
    nodes: int
    per_node: int
    intra_bytes_per_s: int
    intra_latency_s: float
    node_bytes_per_s: int
    inter_latency_s: float


@dataclass(frozen=True, slots=True)
class _Share:
    """A group's members on one node."""

    node: NodeType
    index: int
    ranks: tuple[int, ...]
    first_rank: int

    @property
    def places(self) -> Iterator[tuple[int, int]]:
        """(rank, place in the node) of each member."""
        return ((rank, rank - self.first_rank) for rank in self.ranks)


def group_span(cluster: Cluster, ranks: Ranks) -> GroupSpan:
    """The span of a group that is alone on its links."""
    if isinstance(ranks, range) and ranks.step < 0:
        ranks = ranks[::-1]
    shares, pairs = _looked_at(cluster, ranks)
    several = [share for share in shares if len(share.ranks) > 1] or shares
    crossing = len(shares) > 1
    extra = sorted(share.node.fabric.latency_s if share.node.fabric.carries_nics else 0.0 for share in shares)
    return GroupSpan(
        size=len(ranks),
        nodes=_num_nodes(cluster, ranks, shares),
        per_node=max(len(share.ranks) for share in shares),
        intra_bytes_per_s=min(_ring_inside(cluster, share) for share in several),
        intra_latency_s=max(share.node.fabric.latency_s for share in several),
        node_bytes_per_s=min(_between(cluster, *pair) for pair in pairs) if crossing else 0,
        inter_latency_s=cluster.fabric.latency_s + sum(extra[-2:]) / 2,
    )


def _looked_at(cluster: Cluster, ranks: Ranks) -> tuple[list[_Share], list[tuple[_Share, _Share]]]:
    """(members node by node, neighbouring nodes of the ring): all, or enough that nothing is missed.

    A range of step s < g meets the boundaries of nodes of g devices at the same places again after s nodes, one of a
    larger step after g members. Leaves of one size limit every pair that crosses them alike: only the last may be
    smaller, and the pair of the last and the first node crosses if any does. Beside those, the nodes with stated links
    are looked at with their neighbours.
    """
    gpus = cluster.groups[0][0].gpus
    enough = len(ranks)
    if isinstance(ranks, range) and not cluster.is_mixed and _leaves_are_alike(cluster):
        enough = (gpus + 1) * (ranks.step + 1) if ranks.step < gpus else gpus + 1
    if len(ranks) <= 3 * enough:
        shares = list(_shares(cluster, ranks))
        return shares, ring(shares)
    head, tail = list(_shares(cluster, ranks[:enough])), list(_shares(cluster, ranks[-enough:]))
    head, tail = head[:-1], tail[1:]  # nodes that the cut went through
    pieces = [head, tail, *(list(_shares(cluster, ranks[piece])) for piece in _stated_pieces(cluster, ranks, gpus))]
    pairs = [pair for piece in pieces for pair in ring(piece)[:-1]]
    return [share for piece in pieces for share in piece], [*pairs, (tail[-1], head[0])]


def _stated_pieces(cluster: Cluster, ranks: range, gpus: int) -> Iterator[slice]:
    """Members on the nodes that have stated links, with those on the nodes before and after them in the group."""

    def place(rank: int) -> int:
        """How many members lie below a rank."""
        return min(len(ranks), max(0, -(-(rank - ranks.start) // ranks.step)))

    for index in cluster.stated_nodes:
        first, last = place(index * gpus), place((index + 1) * gpus)
        if first == last:
            continue
        before = ranks[first - 1] // gpus * gpus if first else ranks.start
        after = (ranks[last] // gpus + 1) * gpus if last < len(ranks) else ranks.stop
        yield slice(place(before), place(after))


def _leaves_are_alike(cluster: Cluster) -> bool:
    """False where links of a leaf are stated, and where a single rail is narrower than a port, so that it matters which
    ports lie at the edge of a pod."""
    fabric = cluster.fabric
    if cluster.stated_nodes is None:
        return False
    if fabric.kind != "rail_optimized":
        return True
    last = cluster.nodes - 1
    return wires.trunk_links(cluster, last, 0, last)[0].capacity_bytes_per_s >= cluster.groups[0][0].port_bytes_per_s


def _shares(cluster: Cluster, ranks: Sequence[int]) -> Iterator[_Share]:
    """The members node by node, in the order in which the nodes first occur."""
    members: dict[int, tuple[NodeType, int, list[int]]] = {}
    for rank in ranks:
        node, index, place = cluster.place(rank)
        members.setdefault(index, (node, rank - place, []))[2].append(rank)
    for index, (node, first_rank, own) in members.items():
        yield _Share(node, index, tuple(own), first_rank)


def ring(items: list[T]) -> list[tuple[T, T]]:
    """Each with the next, and the last with the first."""
    return list(zip(items, [*items[1:], *items[:1]], strict=True))


def _num_nodes(cluster: Cluster, ranks: Ranks, shares: list[_Share]) -> int:
    if not isinstance(ranks, range) or cluster.is_mixed:
        return len(shares)
    gpus = cluster.groups[0][0].gpus
    return len(ranks) if ranks.step >= gpus else ranks[-1] // gpus - ranks[0] // gpus + 1


def _ring_inside(cluster: Cluster, share: _Share) -> int:
    """bytes/s of a ring of the members inside their node: the slowest link, or bridge, on the way round."""
    node = share.node
    if not wires.has_hub(node):
        return node.fabric.gpu_bytes_per_s
    rates = [
        cluster.capacity(link) for rank, place in share.places
        for link in wires.hub_links(node, share.index, place, rank)
    ]  # fmt: skip
    sockets = [node.socket_of(place) for _, place in share.places]
    for socket, other in ring(sockets):
        if socket != other:
            rates.append(cluster.capacity(wires.bridge_links(node, share.index, socket, other)[OUT]))
    return min(rates)


def _between(cluster: Cluster, sender: _Share, receiver: _Share) -> int:
    """bytes/s from the members on one node to those on another: what their ports and the leaves between them carry."""
    out, into = _port_rates(cluster, sender, OUT), _port_rates(cluster, receiver, INTO)
    fabric = cluster.fabric
    if not fabric.has_leaves:
        return min(sum(out.values()), sum(into.values()))
    if fabric.kind == "fat_tree":
        rate = min(sum(out.values()), sum(into.values()))
        same_leaf = sender.index // fabric.nodes_per_leaf == receiver.index // fabric.nodes_per_leaf
        return rate if same_leaf else min(rate, *_leaf_rates(cluster, sender, 0, receiver, 0))
    same_pod = sender.index // fabric.nodes_per_leaf == receiver.index // fabric.nodes_per_leaf
    rails = [port for port in out if port in into] if same_pod else []  # below one leaf
    below = sum(min(out.pop(port), into.pop(port)) for port in rails)
    up = sum(min(rate, _leaf_rates(cluster, sender, port, receiver, 0)[0]) for port, rate in out.items())
    down = sum(min(rate, _leaf_rates(cluster, sender, 0, receiver, port)[1]) for port, rate in into.items())
    return below + min(up, down)


def _leaf_rates(cluster: Cluster, sender: _Share, port: int, receiver: _Share, other: int) -> tuple[int, int]:
    """bytes/s out of the leaf of the sender's port towards the receiver, and into that of the receiver's port."""
    up = wires.trunk_links(cluster, sender.index, port, receiver.index)[OUT]
    down = wires.trunk_links(cluster, receiver.index, other, receiver.index)[INTO]
    return cluster.capacity(up), cluster.capacity(down)


def _port_rates(cluster: Cluster, share: _Share, way: int) -> dict[int, int]:
    """bytes/s through each port that the members own: its wire, or what they feed it with."""
    node, index, capacity = share.node, share.index, cluster.capacity
    rates: dict[int, int] = {}
    for port in dict.fromkeys(node.port_of(place) for _, place in share.places if node.ports):
        owners = [(rank, place) for rank, place in share.places if node.port_of(place) == port]
        wire = capacity(wires.wire_links(cluster, node, index, port)[way])
        if not node.fabric.carries_nics:
            fed = sum(capacity(wires.host_links(node, index, port, rank)[way]) for rank, _ in owners)
            rates[port] = min(wire, fed)
            continue
        home = node.socket_of_port(port)
        by_socket: dict[int, int] = {}
        for rank, place in owners:
            socket, own = node.socket_of(place), capacity(wires.hub_links(node, index, place, rank)[way])
            by_socket[socket] = by_socket.get(socket, 0) + own
        for socket in by_socket:
            if socket != home:
                bridge = wires.bridge_links(node, index, socket, home)[way]
                by_socket[socket] = min(by_socket[socket], capacity(bridge))
        slot = capacity(wires.slot_links(node, index, port)[way])
        rates[port] = min(wire, slot, sum(by_socket.values()))
    return rates

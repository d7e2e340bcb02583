"""What a communication op puts on the links of one of its members: bytes, by the slot in which a link serves the rank.

A rank's op loads links on its own side only: those that what it sends crosses up to the middle of the way, and those
that what it receives crosses from there. Summed over a group's members, that is every byte once on every link. A slot
names such a link without saying which it is, so that ranks with the same around them share templates.

Patterns: ring: each node's bytes leave it through the ports of its members, evenly (NCCL turns its channels so that
every member's NIC is the exit of one), towards the same place in the next node of the group; trees and hierarchies are
counted so too (not modelled: which node is whose parent). direct: to every other member alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.cluster import Cluster
from simulator.costs.traffic import DIRECT, RING

__all__ = ["DIRECT", "RING", "Seat", "Slot", "Way", "message_ways", "seat"]

Slot = tuple[str, str, int]
"""(whose messages, whether inside or outside the node and which way, number among the links there)."""

INSIDE, OUTSIDE = "inside", "outside"
Way = tuple[Slot, str, float]
"""A slot, its link, and what share of the bytes inside (or out of) the node crosses it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a rank sits in a group. size: members. near: those in its node, itself included.

    inside, outside: the links of its messages to members in its node and elsewhere.
    """

    size: int
    near: int
    inside: tuple[Way, ...]
    outside: tuple[Way, ...]

    @property
    def ways(self) -> tuple[Way, ...]:
        """All links."""
        return self.inside + self.outside

    @property
    def shape(self) -> tuple:
        """What its messages ask of links, but for which links those are: seats of one shape load theirs alike."""
        return self.size, self.near, tuple((slot, share) for slot, _, share in self.ways)

    def loads(self, pattern: str, member_bytes: float, node_bytes: float) -> tuple[tuple[Slot, float], ...]:
        """Bytes of one collective on each link.

        member_bytes: what one member sends in all; node_bytes: what the group sends out of each of its nodes.
        """
        if self.near == self.size:
            outside = 0.0
        elif pattern == DIRECT:
            outside = member_bytes * (self.size - self.near) / (self.size - 1)
        else:
            outside = node_bytes / self.near
        inside = max(0.0, member_bytes - outside) if self.near > 1 else 0.0
        parts = ((self.inside, inside), (self.outside, outside))
        return tuple((slot, size * share) for ways, size in parts for slot, _, share in ways if size)


def seat(cluster: Cluster, group: Sequence[int], rank: int, kind: str, pattern: str) -> Seat:
    """The seat of `rank` in `group` (ascending ranks), which is called `kind`, when messages take this pattern."""
    group = cluster.in_ring(group)
    near = _members_in_node(cluster, group, rank)
    if pattern == DIRECT:
        there = [peer for peer in near if peer != rank]
        back = there
        afar = [peer for peer in group if peer not in near] if len(near) < len(group) else []
        if cluster.ways_out_are_alike:  # one stands for all
            afar = afar[:1]
        from_afar = afar
    else:
        place, own = near.index(rank), group.index(rank)
        there, back = [near[(place + 1) % len(near)]], [near[place - 1]]
        crosses = len(near) < len(group)
        afar = [group[(own + len(near)) % len(group)]] if crosses else []
        from_afar = [group[own - len(near)]] if crosses else []
    name = f"{kind} {pattern}"
    return Seat(
        len(group),
        len(near),
        (*_sent(cluster, rank, there, name, INSIDE), *_received(cluster, rank, back, name, INSIDE)),
        (*_sent(cluster, rank, afar, name, OUTSIDE), *_received(cluster, rank, from_afar, name, OUTSIDE)),
    )


def message_ways(cluster: Cluster, rank: int, peer: int, towards: str, *, sends: bool) -> tuple[Way, ...]:
    """The links, on the side of `rank`, of a message to (or from) a peer. towards: what the peer is to it."""
    return (_sent if sends else _received)(cluster, rank, [peer], towards, OUTSIDE)


def _members_in_node(cluster: Cluster, group: Sequence[int], rank: int) -> list[int]:
    """In ring order; only the ranks of one node are asked for."""
    return [other for other in cluster.node_ranks(rank) if other in group]


def _sent(cluster: Cluster, rank: int, peers: Sequence[int], name: str, where: str) -> tuple[Way, ...]:
    return _ways((cluster.sender_links(rank, peer) for peer in peers), len(peers), name, f"{where} out")


def _received(cluster: Cluster, rank: int, peers: Sequence[int], name: str, where: str) -> tuple[Way, ...]:
    routes = (cluster.receiver_links(peer, rank)[::-1] for peer in peers)
    return _ways(routes, len(peers), name, f"{where} in")


def _ways(routes: Iterable[tuple[str, ...]], count: int, name: str, place: str) -> tuple[Way, ...]:
    """routes: from the rank outwards, so that links are numbered alike whichever peers come first."""
    crossed = Counter(link for route in routes for link in route)
    return tuple(((name, place, index), link, times / count) for index, (link, times) in enumerate(crossed.items()))

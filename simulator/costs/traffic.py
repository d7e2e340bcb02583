"""Traffic: what a collective puts on the links of its members and of their nodes, in closed form.

The one place that knows how many bytes an algorithm sends. Isolated times (`collectives.py`) are worked out from these
volumes, and so are the loads of links that several groups share. A ring enters and leaves each node once per channel,
whatever the members there (NCCL), so a node sends what one member sends. Sources: `algorithms.py`; BlueConnect (Cho et
al., SysML 2019) and NCCL's CollNet for the hierarchy; Thakur, Rabenseifner and Gropp 2005 for halving and doubling;
Klenk et al., ISCA 2020 (NVLink), and Graham et al., COMHPC 2016 (SHARP) for sums in switches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from simulator.cluster import GroupSpan
from simulator.costs.algorithm_rules import Switches
from simulator.costs.algorithms import ring_volume, tree_volume

RING, DIRECT, PAIR = "ring", "direct", "pair"
"""Who sends to whom: each member to its neighbour (trees and hierarchies too, which load nodes as evenly); each to all
others; one to one."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one collective, or of one message.

    latency_ns: the part of the op's duration that no link's bandwidth explains (start-up, hops, filling a tree); the
    bytes move in the rest. moving_s: that rest at the profile's median, which a sample's draw leaves alone. pattern:
    RING, DIRECT or PAIR. member_bytes: what one member sends in all, inside its node and out of it. node_bytes: what
    the group sends out of each of its nodes, 0 where it stays inside one.
    """

    latency_ns: int
    moving_s: float
    pattern: str
    member_bytes: int
    node_bytes: int


class Volume(NamedTuple):
    """How often the message leaves one member (`member`), and each node (`node`)."""

    pattern: str
    member: float
    node: float

    def inside(self, span: GroupSpan) -> float:
        """How often it leaves a member towards another one of its node, where the fullest node has its members."""
        return self.member - self.node / span.per_node if span.nodes > 1 else self.member


def ring_traffic(op: str, span: GroupSpan) -> Volume:
    """A ring through all members; node after node."""
    sent = ring_volume(op, span.size)
    return Volume(RING, sent, _between(sent, span))


def tree_traffic(op: str, span: GroupSpan) -> Volume:
    """NCCL's double binary tree of nodes, a chain of members inside each."""
    return Volume(RING, tree_volume(span.size), _between(tree_volume(span.nodes), span))


def direct_traffic(op: str, span: GroupSpan) -> Volume:
    """An all-to-all: one n-th of what a member has goes to each other one."""
    sent = ring_volume(op, span.size)
    return Volume(DIRECT, sent, _between(span.per_node * (span.size - span.per_node) / span.size, span))


def pair_traffic(span: GroupSpan) -> Volume:
    """One message."""
    return Volume(PAIR, 1.0, _between(1.0, span))


def hierarchical_traffic(op: str, span: GroupSpan) -> Volume:
    """Rings inside the nodes, then one through the nodes for each place in them, with a per_node-th of the message.

    A member sends as much as in one ring of all ((p - 1)/p + (k - 1)/k/p = (n - 1)/n, p members on each of k nodes),
    but a node only what its own sum must: (k - 1)/k of the message each way.
    """
    return Volume(RING, ring_volume(op, span.size), ring_volume(op, span.nodes))


def halving_doubling_traffic(op: str, span: GroupSpan) -> Volume:
    """Exchanges of half the message with the neighbour, a quarter with the next but one, ...: the same bytes as
    `hierarchical_traffic`, because the members of a node are the near ones."""
    return hierarchical_traffic(op, span)


def in_switch_traffic(op: str, span: GroupSpan, switches: Switches) -> Volume:
    """Sums made by switches.

    Inside a node (NVLS): the owner of each n-th of the message lets the switch read it from all and add, then writes
    it once for all: a member sends the message once and its own part once more. Without: rings, as `hierarchical`.
    Between nodes (SHARP): each node's sum enters the fabric once. Without: a double binary tree of nodes.
    """
    inside = span.per_node
    own = {"all_reduce": 1.0 + 1.0 / inside, "reduce_scatter": 1.0, "all_gather": 1.0}[op] if inside > 1 else 0.0
    sent = own if switches.in_node else ring_volume(op, inside)
    node = _between(1.0 if switches.in_fabric else tree_volume(span.nodes), span)
    return Volume(RING, sent + node / inside, node)


def _between(volume: float, span: GroupSpan) -> float:
    return volume if span.nodes > 1 else 0.0

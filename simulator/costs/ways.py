"""Ways to run a collective over several nodes (or, in a switch, inside one), each with its time and its traffic.

NCCL's rings enter each node once per channel and its trees join the nodes, so a message leaves a node `volume` times
through the group's share of the NICs, while inside the node the measured rate holds; the slower wins. Hop latencies and
the limits of trees are NCCL's own tuning constants; what a tree's pipeline takes to fill, in hops, is fitted to a
published two-node log (every other size, checked on the others). Hierarchies and halving run their stages in turn, as
BlueConnect and MPICH do; sums in switches are one pipeline, as NCCL's NVLS, NVLSTree and CollNet are.
"""

from __future__ import annotations

from math import inf, log2
from typing import NamedTuple

from simulator.cluster import GroupSpan
from simulator.costs.algorithm_rules import REDUCING, Switches
from simulator.costs.algorithms import ring_steps, tree_depth
from simulator.costs.tiers import Tiers
from simulator.costs.traffic import (
    Volume,
    direct_traffic,
    halving_doubling_traffic,
    hierarchical_traffic,
    in_switch_traffic,
    ring_traffic,
    tree_traffic,
)

LOW_LATENCY_SHARE = 0.25
"""NCCL's LL protocol sends 4 bytes of flag with 4 of data and stores them in order: its tuner counts a quarter of the
bandwidth (src/graph/tuning.cc: `busBw *= 1.0/4.0`)."""
SHARP_LOW_LATENCY_SHARE = 1.0 / 6.0
"""The same for CollNet (`busBw *= 1.0/6.0`)."""


NODE_STAGES = {"all_reduce": ("reduce_scatter", "all_gather")}
"""What a hierarchy does inside its nodes, before and after it crosses them; the other collectives: themselves."""


class Way(NamedTuple):
    """One algorithm's answer: seconds, those of them that no link's bandwidth explains, and what it sends."""

    seconds: float
    latency_s: float
    volume: Volume


class Protocol(NamedTuple):
    """A protocol of NCCL's: its share of the bandwidth, its start, a hop inside a node and one between nodes."""

    share: float
    base_s: float
    intra_hop_s: float
    inter_hop_s: float


class Ways:
    """All ways of one profile on a cluster with these switches. Each method lists the protocols' answers.

    held_hop_s: latency of a hop inside a node that the profile's start-up and hops hold already; what a hop takes
    beyond it is charged.
    """

    def __init__(self, tiers: Tiers, switches: Switches, held_hop_s: float = inf):
        self.tiers, self.switches, self.held_hop_s = tiers, switches, held_hop_s
        constant = self._constant = tiers.profile.constant
        self.base_s = constant("nccl_base_s")
        self.rings = (
            Protocol(LOW_LATENCY_SHARE, self.base_s, constant("ring_hop_intra_low_latency_s"),
                     constant("ring_hop_inter_low_latency_s")),
            Protocol(1.0, self.base_s, constant("ring_hop_intra_s"), constant("ring_hop_inter_s")),
        )  # fmt: skip
        self.tree_hop_intra_s, self.tree_hop_inter_s = constant("tree_hop_intra_s"), constant("tree_hop_inter_s")
        self.transfer_hop_s = constant("transfer_hop_inter_s")

    def beyond_s(self, span: GroupSpan) -> float:
        """What a hop inside a node takes beyond those that the profile was measured on."""
        return max(0.0, span.intra_latency_s - self.held_hop_s)

    def between(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> list[Way]:
        """The ways that an algorithm's name leaves open over several nodes; auto: rings and trees, as NCCL's tuner.

        NCCL also has sums in switches, which need hardware and settings that a profile does not tell: they are taken
        where a plan asks for them.
        """
        if op == "all_to_all":
            return [self.all_to_all(op, size_bytes, span)]
        if algorithm == "hierarchical" and op in REDUCING:
            return self.hierarchical(op, size_bytes, span)
        if algorithm == "halving_doubling" and op in REDUCING:
            return self.halving_doubling(op, size_bytes, span)
        if algorithm == "in_switch" and op in REDUCING:
            return self.in_switch(op, size_bytes, span)
        ways = []
        if algorithm != "tree" or op != "all_reduce":
            ways += self.ring(op, size_bytes, span)
        if algorithm != "ring" and op == "all_reduce":
            ways += self.tree(op, size_bytes, span)
        return ways

    def ring(self, op: str, size_bytes: float, span: GroupSpan) -> list[Way]:
        """One ring through all members."""
        steps, crossings, volume = ring_steps(op, span.size), ring_steps(op, span.nodes), ring_traffic(op, span)
        inter = volume.node * size_bytes / self.tiers.nic_rate(span)
        inside = self.tiers.node_side_s(op, volume.member, size_bytes, span)
        return [
            _way(self._latency_s(one, steps - crossings, crossings, span), max(inter, inside) / one.share, volume)
            for one in self.rings
        ]

    def tree(self, op: str, size_bytes: float, span: GroupSpan) -> list[Way]:
        """A double binary tree of nodes, a chain in each."""
        volume, hop = tree_traffic(op, span), self.tree_hop_inter_s + span.inter_latency_s
        near = self.tree_hop_intra_s + self.beyond_s(span)
        latency = 2 * ((span.per_node - 1) * near + tree_depth(span.nodes) * hop)
        half = self._constant("tree_fill_half") * hop * span.node_bytes_per_s
        fill = self._constant("tree_fill_hops") * hop * size_bytes / (size_bytes + half)
        inter = volume.node * size_bytes / self.tiers.nic_rate(span)
        limit = self._constant(f"tree_limit{'_two_nodes' if span.nodes == 2 else ''}_bytes_per_s")
        inside = self.tiers.node_side_s(op, volume.member, size_bytes, span)
        return [_way(self.base_s + latency + fill, max(inter, size_bytes / limit, inside), volume)]

    def all_to_all(self, op: str, size_bytes: float, span: GroupSpan) -> Way:
        """Every rank posts a message to each other; a node's share leaves through its NICs, the rest stays inside."""
        volume = direct_traffic(op, span)
        inter = volume.node * size_bytes / self.tiers.nic_rate(span)
        inside = self.tiers.node_side_s(op, (span.per_node - 1) / span.size, size_bytes, span)
        posts = (span.size - 1) * self.rings[0].intra_hop_s
        return _way(self.base_s + posts + self.transfer_hop_s + span.inter_latency_s, max(inter, inside), volume)

    def hierarchical(self, op: str, size_bytes: float, span: GroupSpan) -> list[Way]:
        """A reduce-scatter in each node, the collective of each place in them between nodes, an all-gather in each."""
        volume, stages = hierarchical_traffic(op, span), NODE_STAGES.get(op, (op,))
        started = inside = 0.0
        for name in stages if span.per_node > 1 else ():
            curves = self.tiers.curves(name, rings=True)
            started += curves.startup_s(span.per_node) + ring_steps(name, span.per_node) * self.beyond_s(span)
            inside += curves.time_s(span.per_node, size_bytes, self.tiers.slower_s(span))[0]
        crossings = ring_steps(op, span.nodes)
        inter = volume.node * size_bytes / self.tiers.nic_rate(span)
        return [
            _way(started + self._latency_s(one, 0, crossings, span), inside - started + inter / one.share, volume)
            for one in self.rings
        ]

    def halving_doubling(self, op: str, size_bytes: float, span: GroupSpan) -> list[Way]:
        """log2 n exchanges of ever smaller (all_gather: larger) parts, both ways for an all_reduce."""
        volume, times = halving_doubling_traffic(op, span), 2 if op == "all_reduce" else 1
        near, far = (times * round(log2(count)) for count in (span.per_node, span.nodes))
        inter = volume.node * size_bytes / self.tiers.nic_rate(span) if span.nodes > 1 else 0.0
        inside = self.tiers.node_side_s(op, volume.inside(span), size_bytes, span, rings=True)
        return [_way(self._latency_s(one, near, far, span), (inside + inter) / one.share, volume) for one in self.rings]

    def in_switch(self, op: str, size_bytes: float, span: GroupSpan) -> list[Way]:
        """Sums in the nodes' switches (NVLS), in the fabric's (SHARP), or both; where only the nodes' add, trees join
        the nodes (NVLSTree), where only the fabric's does, rings work inside them (CollNet)."""
        volume = in_switch_traffic(op, span, self.switches)
        inter = 0.0
        if span.nodes > 1:
            share = self._constant("sharp_efficiency") if self.switches.in_fabric else 1.0
            inter = volume.node * size_bytes / (share * self.tiers.nic_rate(span))
        if not self.switches.in_node or span.per_node == 1:
            inside = self.tiers.node_side_s(op, volume.inside(span), size_bytes, span, rings=True)
            return [
                _way(one.base_s + 2 * (span.per_node - 1) * one.intra_hop_s + one.inter_hop_s + span.inter_latency_s,
                     max(inside, inter) / one.share, volume)
                for one in self._sharp()
            ]  # fmt: skip
        latency = self._constant("nvls_hop_s")
        if span.nodes > 1 and self.switches.in_fabric:
            latency += self._constant("nvls_sharp_hop_s") + span.inter_latency_s
        elif span.nodes > 1:
            latency += 2 * tree_depth(span.nodes) * (self._constant("nvls_tree_hop_s") + span.inter_latency_s)
        rate = self._constant("nvls_efficiency") * span.intra_bytes_per_s
        return [_way(latency, max(volume.inside(span) * size_bytes / rate, inter), volume)]

    def _sharp(self) -> tuple[Protocol, Protocol]:
        constant = self._constant
        return (
            Protocol(SHARP_LOW_LATENCY_SHARE, constant("sharp_base_low_latency_s"),
                     constant("sharp_hop_intra_low_latency_s"), constant("sharp_hop_inter_low_latency_s")),
            Protocol(1.0, 0.0, constant("sharp_hop_intra_s"), constant("sharp_hop_inter_s")),
        )  # fmt: skip

    def _latency_s(self, one: Protocol, near: int, far: int, span: GroupSpan) -> float:
        """Start, and that many hops inside nodes and between them."""
        near_s = one.intra_hop_s + self.beyond_s(span)
        return one.base_s + (near * near_s + far * (one.inter_hop_s + span.inter_latency_s))


def _way(latency_s: float, moving_s: float, volume: Volume) -> Way:
    return Way(latency_s + moving_s, latency_s, volume)

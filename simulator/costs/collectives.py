"""Collective -> time of one group on one cluster: measured curves inside a node, NCCL's structure between nodes.

Inside a node: the profile's curves of group sizes 2, 4, 8 (`node_curves.py`).

Between nodes: NCCL's rings enter each node once per channel and its trees join the nodes, so a message leaves a node
`volume` times through the group's share of the NICs, while inside the node the ring's own rate holds; the slower
wins. auto takes the faster of ring and tree, as NCCL's tuner does, and of a ring's LL and LL128 protocols. Hop
latencies and the limits of trees are NCCL's own tuning constants; what a tree's pipeline takes to fill, in hops, is
fitted to a published two-node log (every other size, checked on the others).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from simulator.cluster import GroupSpan
from simulator.costs.algorithms import RING, point_to_point, ring_steps, tree_depth
from simulator.costs.kernels import KernelTime
from simulator.costs.node_curves import SEND, NodeCurves
from simulator.costs.profile import INTRA_NODE, CollectiveCurve, Profile
from simulator.costs.traffic import PAIR, Volume, direct_traffic, pair_traffic, ring_traffic, tree_traffic
from simulator.errors import NotSupportedYet, ScenarioError

ALGORITHMS = ("auto", "ring", "tree")
LOW_LATENCY_SHARE = 0.25
"""NCCL's LL protocol sends 4 bytes of flag with 4 of data and stores them in order: its tuner counts a quarter of the
bandwidth (src/graph/tuning.cc: `busBw *= 1.0/4.0`)."""


NOTHING = Volume(PAIR, 0.0, 0.0)


class CollectiveTime(NamedTuple):
    """The time of a collective or a message, the seconds of it that no link's bandwidth explains, and what it sends."""

    time: KernelTime
    latency_s: float
    volume: Volume


class Way(NamedTuple):
    """One algorithm's answer: seconds, those that no link's bandwidth explains, and what it sends."""

    seconds: float
    latency_s: float
    volume: Volume


class CollectiveCosts:
    """Prices collectives and transfers of groups from one profile."""

    def __init__(self, profile: Profile):
        self.profile = profile
        found: dict[str, list[CollectiveCurve]] = {}
        for (op, tier, _), curve in profile.collectives.items():
            if tier == INTRA_NODE:
                found.setdefault(op, []).append(curve)
        self._curves = {op: NodeCurves(op, curves) for op, curves in found.items()}
        constant = profile.constant
        self._base_s = constant("nccl_base_s")
        low_latency = constant("ring_hop_intra_low_latency_s"), constant("ring_hop_inter_low_latency_s")
        full_rate = constant("ring_hop_intra_s"), constant("ring_hop_inter_s")
        self._ring_protocols = ((LOW_LATENCY_SHARE, *low_latency), (1.0, *full_rate))
        self._tree_hops_s = (constant("tree_hop_intra_s"), constant("tree_hop_inter_s"))
        self._tree_fill_hops, self._tree_fill_half = constant("tree_fill_hops"), constant("tree_fill_half")
        self._tree_limits = (constant("tree_limit_two_nodes_bytes_per_s"), constant("tree_limit_bytes_per_s"))
        self._fabric_efficiency = constant("fabric_efficiency")
        self._transfer_hop_s = constant("transfer_hop_inter_s")

    def collective(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str = "auto") -> CollectiveTime:
        """The time of one collective of `size_bytes` over a group, nothing else running on its links."""
        check_collective(op, algorithm)
        if span.size == 1 or size_bytes == 0:
            return CollectiveTime(KernelTime(0.0, "interpolated", f"collective.intra_node.{op}"), 0.0, NOTHING)
        if span.nodes == 1:
            return self._intra(op, size_bytes, span, algorithm)
        seconds, latency_s, volume = min(self._inter(op, size_bytes, span, algorithm))
        time = KernelTime(seconds, "extrapolated", f"collective.inter_node.{op}")
        return CollectiveTime(time, self._latency_s(latency_s, seconds, volume, size_bytes, span), volume)

    def transfer(self, size_bytes: float, span: GroupSpan) -> CollectiveTime:
        """One message from one rank to another of a pair's span.

        Inside a node: as sends were measured there; else half of an all_to_all of twice the size between two ranks,
        which sends the same bytes both ways.
        """
        volume = pair_traffic(span)
        if size_bytes == 0:
            return CollectiveTime(KernelTime(0.0, "interpolated", "transfer.intra_node"), 0.0, NOTHING)
        if span.nodes == 1:
            sends = SEND in self._curves and self._rate_scale(span) == 1.0
            curves = self._curves[SEND if sends else "all_to_all"]
            seconds, exact, outside = curves.time_s(2, size_bytes * (1 if sends else 2), self._rate_scale(span))
            source = curves.source(exact, outside) if sends else "extrapolated" if outside else "interpolated"
            repeat_error = curves.repeat_error(2, size_bytes) if sends else 0.0
            time = KernelTime(seconds, source, "transfer.intra_node", repeat_error)
            latency_s = self._latency_s(curves.startup_s(2), seconds, volume, size_bytes, span)
            return CollectiveTime(time, latency_s, volume)
        latency_s = self._base_s + self._transfer_hop_s + span.inter_latency_s
        seconds = point_to_point(size_bytes, self._nic_rate(span), latency_s)
        return CollectiveTime(KernelTime(seconds, "extrapolated", "transfer.inter_node"), latency_s, volume)

    def link_efficiency(self, tier: str) -> float:
        """What share of a link's datasheet rate large messages reach: `port` and `leaf` between nodes, `gpu` inside one
        (the best rate of the profile's curves, so that no op needs more than that alone)."""
        return self._node_efficiency if tier == "gpu" else self._fabric_efficiency

    @cached_property
    def _node_efficiency(self) -> float:
        best = max(curves.best_bytes_per_s for curves in self._curves.values())
        return best / self.profile.device.intra_link_bytes_per_s

    def _latency_s(self, latency_s: float, seconds: float, volume: Volume, size_bytes: float, span: GroupSpan) -> float:
        """The latency, shortened where the bytes inside a node could not move in what it leaves of the time."""
        moving_s = volume.inside(span) * size_bytes / (self._node_efficiency * span.intra_bytes_per_s)
        return max(0.0, min(latency_s, seconds - moving_s))

    def _intra(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> CollectiveTime:
        scale = self._rate_scale(span)
        known = "all_gather" if op == "broadcast" and op not in self._curves else op
        curves = self._curves[known]
        op_class = f"collective.intra_node.{op}"
        volume = direct_traffic(op, span) if op == "all_to_all" else ring_traffic(op, span)
        latency_s = curves.startup_s(span.size)
        if algorithm == "tree" and op == "all_reduce":
            volume = tree_traffic(op, span)
            latency_s = self._base_s + 2 * tree_depth(span.size) * self._tree_hops_s[0]
            # no traffic beyond the start-up for messages as small as the smallest measured one
            seconds = latency_s + volume.member * size_bytes * curves.traffic_s(span.size, size_bytes) / scale
            time = KernelTime(seconds, "extrapolated", op_class)
        elif known != op:
            seconds = latency_s + volume.member * size_bytes * curves.traffic_s(span.size, size_bytes) / scale
            time = KernelTime(seconds, "extrapolated", op_class)
        else:
            seconds, exact, outside = curves.time_s(span.size, size_bytes, scale)
            repeat_error = curves.repeat_error(span.size, size_bytes)
            time = KernelTime(seconds, curves.source(exact, outside), op_class, repeat_error)
        return CollectiveTime(time, self._latency_s(latency_s, time.seconds, volume, size_bytes, span), volume)

    def _inter(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> list[Way]:
        """Every way that may be taken between nodes."""
        if op == "all_to_all":
            return [self._inter_all_to_all(op, size_bytes, span)]
        ways = []
        if algorithm != "tree" or op != "all_reduce":
            ways += [self._ring(op, size_bytes, span, *protocol) for protocol in self._ring_protocols]
        if algorithm != "ring" and op == "all_reduce":
            ways.append(self._tree(op, size_bytes, span))
        return ways

    def _ring(
        self, op: str, size_bytes: float, span: GroupSpan, rate_share: float, intra_hop_s: float, inter_hop_s: float
    ) -> Way:
        steps, crossings, volume = ring_steps(op, span.size), ring_steps(op, span.nodes), ring_traffic(op, span)
        latency = (steps - crossings) * intra_hop_s + crossings * (inter_hop_s + span.inter_latency_s)
        inter = volume.node * size_bytes / self._nic_rate(span)
        inside = self._node_side_s(op, volume.member, size_bytes, span)
        return Way(self._base_s + latency + max(inter, inside) / rate_share, self._base_s + latency, volume)

    def _tree(self, op: str, size_bytes: float, span: GroupSpan) -> Way:
        volume, hop = tree_traffic(op, span), self._tree_hops_s[1] + span.inter_latency_s
        latency = 2 * ((span.per_node - 1) * self._tree_hops_s[0] + tree_depth(span.nodes) * hop)
        half = self._tree_fill_half * hop * span.node_bytes_per_s
        fill = self._tree_fill_hops * hop * size_bytes / (size_bytes + half)
        inter = volume.node * size_bytes / self._nic_rate(span)
        limit = size_bytes / self._tree_limits[0 if span.nodes == 2 else 1]
        inside = self._node_side_s(op, volume.member, size_bytes, span)
        start = self._base_s + latency + fill
        return Way(start + max(inter, limit, inside), start, volume)

    def _inter_all_to_all(self, op: str, size_bytes: float, span: GroupSpan) -> Way:
        """Every rank posts a message to each other; a node's share leaves through its NICs, the rest stays inside."""
        volume = direct_traffic(op, span)
        inter = volume.node * size_bytes / self._nic_rate(span)
        inside = self._node_side_s(op, (span.per_node - 1) / span.size, size_bytes, span)
        posts = (span.size - 1) * self._ring_protocols[0][1]
        start = self._base_s + posts + self._transfer_hop_s + span.inter_latency_s
        return Way(start + max(inter, inside), start, volume)

    def _node_side_s(self, op: str, volume: float, size_bytes: float, span: GroupSpan) -> float:
        """Seconds that the traffic takes inside each node, at the rate of the measured ring there."""
        if span.per_node == 1:
            return 0.0
        curves = self._curves.get(op, self._curves["all_gather"])
        ranks = min(max(span.per_node, curves.sizes[0]), curves.sizes[-1])
        return volume * size_bytes * curves.traffic_s(ranks, size_bytes) / self._rate_scale(span)

    def _nic_rate(self, span: GroupSpan) -> float:
        """What large messages of this group reach out of each of its nodes."""
        return span.node_bytes_per_s * self._fabric_efficiency

    def _rate_scale(self, span: GroupSpan) -> float:
        """How much faster the links inside this node are than those the curves were measured on."""
        return span.intra_bytes_per_s / self.profile.device.intra_link_bytes_per_s


def check_collective(op: str, algorithm: str) -> None:
    """Raises ValueError for an unknown collective, ScenarioError or NotSupportedYet for an algorithm."""
    if op not in RING:
        raise ValueError(f"no cost for collective {op!r}; known: {', '.join(RING)}")
    if algorithm in ("hierarchical", "in_switch"):
        raise NotSupportedYet(
            f"aggregation.algorithm {algorithm} is not supported yet; use one of {', '.join(ALGORITHMS)}",
            key="plan.aggregation.algorithm",
        )
    if algorithm not in ALGORITHMS:
        raise ScenarioError(
            f"{algorithm!r} is not an algorithm; use one of {', '.join(ALGORITHMS)}", key="plan.aggregation.algorithm"
        )

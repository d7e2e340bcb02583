"""Collective -> time of one group on one cluster: measured curves inside a node, NCCL's structure between nodes.

Inside a node: time = start-up(n) + volume(n) * size * seconds_per_byte(n, size), from the profile's curves of group
sizes 2, 4, 8: start-up is the curve at its smallest message, a straight line in n (so much for each member); seconds
per byte of bus traffic interpolate in log size, linearly between group sizes, and stay as they are above the largest.

Between nodes: NCCL's rings enter each node once per channel and its trees join the nodes, so a message leaves a node
`volume` times through the group's share of the NICs, while inside the node the ring's own rate holds; the slower
wins. auto takes the faster of ring and tree, as NCCL's tuner does, and of a ring's LL and LL128 protocols. Hop
latencies and the limits of trees are NCCL's own tuning constants; what a tree's pipeline takes to fill, in hops, is
fitted to a published two-node log (every other size, checked on the others).
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log

import numpy as np

from simulator.cluster import GroupSpan
from simulator.costs.algorithms import RING, point_to_point, ring_steps, ring_volume, tree_depth, tree_volume
from simulator.costs.kernels import KernelTime
from simulator.costs.measured import repeat_errors
from simulator.costs.profile import INTRA_NODE, CollectiveCurve, Profile
from simulator.errors import NotSupportedYet, ScenarioError

SEND = "send"
"""The curve of one message between a pair, where a profile has it."""

ALGORITHMS = ("auto", "ring", "tree")
LOW_LATENCY_SHARE = 0.25
"""NCCL's LL protocol sends 4 bytes of flag with 4 of data and stores them in order: its tuner counts a quarter of the
bandwidth (src/graph/tuning.cc: `busBw *= 1.0/4.0`)."""


class NodeCurves:
    """The measured curves of one collective inside a node."""

    def __init__(self, op: str, curves: list[CollectiveCurve]):
        self.op = op
        self.curves = {curve.group_size: _Curve(curve) for curve in sorted(curves, key=lambda one: one.group_size)}
        self.sizes = tuple(self.curves)
        self.kind = curves[0].source.kind

    def source(self, exact: bool, outside: bool) -> str:
        """The word of `price.SOURCES` for a time that `time_s` gave."""
        known = self.kind if exact else "interpolated"
        return "datasheet" if self.kind == "assumed" else "extrapolated" if outside else known

    def repeat_error(self, ranks: int, size_bytes: float) -> float:
        """Spread of repeats at the measured message size nearest to this one, in the group size nearest to this one."""
        curve = self.curves[min(self.sizes, key=lambda size: (abs(size - ranks), size))]
        return curve.repeats[bisect_left(curve.middles, size_bytes)]

    def startup_s(self, ranks: int) -> float:
        """Time of the smallest message: a line in the number of ranks, through the two nearest group sizes."""
        if ranks in self.curves:
            return self.curves[ranks].startup_s
        if len(self.sizes) == 1:
            return self.curves[self.sizes[0]].startup_s
        low, high = self._bracket(ranks)
        first, second = self.curves[low].startup_s, self.curves[high].startup_s
        return max(first + (second - first) * (ranks - low) / (high - low), min(first, second))

    def traffic_s(self, ranks: int, size_bytes: float) -> float:
        """Seconds beyond the start-up for one byte of bus traffic (ring volume), at this message size."""
        if ranks in self.curves:
            return self._per_byte(ranks, size_bytes)
        if ranks > self.sizes[-1] or ranks < self.sizes[0] or len(self.sizes) == 1:
            return self._per_byte(self.sizes[-1] if ranks > self.sizes[-1] else self.sizes[0], size_bytes)
        low, high = self._bracket(ranks)
        share = (ranks - low) / (high - low)
        return self._per_byte(low, size_bytes) * (1 - share) + self._per_byte(high, size_bytes) * share

    def time_s(self, ranks: int, size_bytes: float, rate_scale: float = 1.0) -> tuple[float, bool, bool]:
        """(seconds, whether this very point was measured, whether it lies outside what was measured)."""
        if ranks in self.curves and rate_scale == 1.0:
            return self.curves[ranks].time_s(size_bytes)
        traffic = self.traffic_s(ranks, size_bytes) * ring_volume(self.op, ranks) * size_bytes
        outside = not self.sizes[0] <= ranks <= self.sizes[-1] or rate_scale != 1.0
        return self.startup_s(ranks) + traffic / rate_scale, False, outside

    def _per_byte(self, ranks: int, size_bytes: float) -> float:
        curve = self.curves[ranks]
        seconds = curve.time_s(size_bytes)[0] - curve.startup_s
        return seconds / (ring_volume(self.op, ranks) * size_bytes)

    def _bracket(self, ranks: int) -> tuple[int, int]:
        for low, high in zip(self.sizes, self.sizes[1:], strict=False):
            if ranks <= high:
                return low, high
        return self.sizes[-2], self.sizes[-1]


class _Curve:
    """One curve, made to rise with the message size. A published dip below an earlier point is raised to it; what was
    measured on a machine with other things to do is only ever too long, so there the earlier point is lowered."""

    def __init__(self, curve: CollectiveCurve):
        if curve.source.kind == "measured":
            times = np.minimum.accumulate(curve.median_s[::-1])[::-1]
        else:
            times = np.maximum.accumulate(curve.median_s)
        self.kept = (times == curve.median_s).tolist()
        self.sizes, self.times = curve.size_bytes.tolist(), times.tolist()
        self.log_sizes, self.log_times = np.log(curve.size_bytes), np.log(times)
        self.middles = np.sqrt(curve.size_bytes[1:] * curve.size_bytes[:-1]).tolist()
        self.repeats = repeat_errors(curve).tolist()
        self.startup_s = self.times[0]

    def time_s(self, size_bytes: float) -> tuple[float, bool, bool]:
        """(seconds, exact, outside): flat below the curve, at its last bandwidth above it."""
        if size_bytes <= self.sizes[0]:
            return self.startup_s, size_bytes == self.sizes[0], False
        if size_bytes > self.sizes[-1]:
            return self.times[-1] * size_bytes / self.sizes[-1], False, True
        if size_bytes in self.sizes:
            place = self.sizes.index(size_bytes)
            return self.times[place], self.kept[place], False
        return exp(float(np.interp(log(size_bytes), self.log_sizes, self.log_times))), False, False


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

    def collective(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str = "auto") -> KernelTime:
        """The time of one collective of `size_bytes` over a group, nothing else running on its links."""
        check_collective(op, algorithm)
        if span.size == 1 or size_bytes == 0:
            return KernelTime(0.0, "interpolated", f"collective.intra_node.{op}")
        if span.nodes == 1:
            return self._intra(op, size_bytes, span, algorithm)
        return KernelTime(self._inter_s(op, size_bytes, span, algorithm), "extrapolated", f"collective.inter_node.{op}")

    def transfer(self, size_bytes: float, span: GroupSpan) -> KernelTime:
        """One message from one rank to another of a pair's span.

        Inside a node: as sends were measured there; else half of an all_to_all of twice the size between two ranks,
        which sends the same bytes both ways.
        """
        if size_bytes == 0:
            return KernelTime(0.0, "interpolated", "transfer.intra_node")
        if span.nodes == 1 and SEND in self._curves and self._rate_scale(span) == 1.0:
            seconds, exact, outside = self._curves[SEND].time_s(2, size_bytes)
            source = self._curves[SEND].source(exact, outside)
            return KernelTime(seconds, source, "transfer.intra_node", self._curves[SEND].repeat_error(2, size_bytes))
        if span.nodes == 1:
            curves = self._curves["all_to_all"]
            seconds, _, outside = curves.time_s(2, 2 * size_bytes, self._rate_scale(span))
            return KernelTime(seconds, "extrapolated" if outside else "interpolated", "transfer.intra_node")
        latency = self._base_s + self._transfer_hop_s + span.inter_latency_s
        return KernelTime(
            point_to_point(size_bytes, self._nic_rate(span), latency), "extrapolated", "transfer.inter_node"
        )

    def _intra(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> KernelTime:
        scale = self._rate_scale(span)
        known = "all_gather" if op == "broadcast" and op not in self._curves else op
        curves = self._curves[known]
        op_class = f"collective.intra_node.{op}"
        if algorithm == "tree" and op == "all_reduce":
            seconds = self._base_s + 2 * tree_depth(span.size) * self._tree_hops_s[0]
            # no traffic beyond the start-up for messages as small as the smallest measured one
            seconds += tree_volume(span.size) * size_bytes * curves.traffic_s(span.size, size_bytes) / scale
            return KernelTime(seconds, "extrapolated", op_class)
        if known != op:
            seconds = curves.startup_s(span.size) + size_bytes * curves.traffic_s(span.size, size_bytes) / scale
            return KernelTime(seconds, "extrapolated", op_class)
        seconds, exact, outside = curves.time_s(span.size, size_bytes, scale)
        return KernelTime(seconds, curves.source(exact, outside), op_class, curves.repeat_error(span.size, size_bytes))

    def _inter_s(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> float:
        if op == "all_to_all":
            return self._inter_all_to_all_s(size_bytes, span)
        times = []
        if algorithm != "tree" or op != "all_reduce":
            times += [self._ring_s(op, size_bytes, span, *protocol) for protocol in self._ring_protocols]
        if algorithm != "ring" and op == "all_reduce":
            times.append(self._tree_s(size_bytes, span))
        return min(times)

    def _ring_s(
        self, op: str, size_bytes: float, span: GroupSpan, rate_share: float, intra_hop_s: float, inter_hop_s: float
    ) -> float:
        steps, crossings, volume = ring_steps(op, span.size), ring_steps(op, span.nodes), ring_volume(op, span.size)
        latency = (steps - crossings) * intra_hop_s + crossings * (inter_hop_s + span.inter_latency_s)
        inter = volume * size_bytes / self._nic_rate(span)
        inside = self._node_side_s(op, volume, size_bytes, span)
        return self._base_s + latency + max(inter, inside) / rate_share

    def _tree_s(self, size_bytes: float, span: GroupSpan) -> float:
        hop = self._tree_hops_s[1] + span.inter_latency_s
        latency = 2 * ((span.per_node - 1) * self._tree_hops_s[0] + tree_depth(span.nodes) * hop)
        half = self._tree_fill_half * hop * span.node_bytes_per_s
        fill = self._tree_fill_hops * hop * size_bytes / (size_bytes + half)
        inter = tree_volume(span.nodes) * size_bytes / self._nic_rate(span)
        limit = size_bytes / self._tree_limits[0 if span.nodes == 2 else 1]
        inside = self._node_side_s("all_reduce", tree_volume(span.size), size_bytes, span)
        return self._base_s + latency + fill + max(inter, limit, inside)

    def _inter_all_to_all_s(self, size_bytes: float, span: GroupSpan) -> float:
        """Every rank posts a message to each other; a node's share leaves through its NICs, the rest stays inside."""
        away = span.per_node * (span.size - span.per_node) / span.size
        inter = away * size_bytes / self._nic_rate(span)
        inside = self._node_side_s("all_to_all", (span.per_node - 1) / span.size, size_bytes, span)
        posts = (span.size - 1) * self._ring_protocols[0][1]
        return self._base_s + posts + self._transfer_hop_s + span.inter_latency_s + max(inter, inside)

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

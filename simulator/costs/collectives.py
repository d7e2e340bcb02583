"""Collective -> time of one group on one cluster, alone on its links, and what it puts on them.

Inside a node: the profile's measured curves (`node_curves.py`), as the library chose its algorithm; a plan that names
one gets its own form. Between nodes, and in switches: `ways.py`; auto takes the fastest of what NCCL's tuner would, or
what was timed there (`between_nodes.py`).
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import NamedTuple

from simulator.cluster import GroupSpan
from simulator.costs.algorithm_rules import NO_SWITCHES, REDUCING, Switches, check_algorithm
from simulator.costs.algorithms import RING, point_to_point, ring_steps, tree_depth
from simulator.costs.between_nodes import BetweenNodes
from simulator.costs.kernels import KernelTime
from simulator.costs.node_curves import SEND
from simulator.costs.profile import Profile
from simulator.costs.tiers import Tiers
from simulator.costs.traffic import (
    PAIR,
    Volume,
    direct_traffic,
    in_switch_traffic,
    pair_traffic,
    ring_traffic,
    tree_traffic,
)
from simulator.costs.ways import Way, Ways

NOTHING = Volume(PAIR, 0.0, 0.0)


class CollectiveTime(NamedTuple):
    """The time of a collective or a message, the seconds of it that no link's bandwidth explains, and what it sends."""

    time: KernelTime
    latency_s: float
    volume: Volume


class CollectiveCosts:
    """Prices collectives and transfers of groups from one profile, on a cluster whose switches add up or do not.

    held_hop_s: as for `ways.Ways`; the default charges nothing beyond what the profile holds.
    """

    def __init__(self, profile: Profile, switches: Switches = NO_SWITCHES, held_hop_s: float = inf):
        self.profile, self.switches = profile, switches
        self.tiers = Tiers(profile)
        self.ways = Ways(self.tiers, switches, held_hop_s)
        self.between = BetweenNodes(profile)

    def collective(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str = "auto") -> CollectiveTime:
        """The time of one collective of `size_bytes` over a group, nothing else running on its links.

        Raises ValueError for an unknown collective, ScenarioError for an algorithm that cannot run it.
        """
        if op not in RING:
            raise ValueError(f"no cost for collective {op!r}; known: {', '.join(RING)}")
        check_algorithm(op, algorithm, span, self.switches)
        if span.size == 1 or size_bytes == 0:
            return CollectiveTime(KernelTime(0.0, "interpolated", f"collective.intra_node.{op}"), 0.0, NOTHING)
        if op == "sendrecv" and (span.nodes > 1 or op not in self.tiers.chosen):
            return self._sendrecv(size_bytes, span)
        if span.nodes > 1:
            op_class = f"collective.inter_node.{op}"
            if algorithm == "auto":
                way, time = self.between.time(
                    op, op_class, size_bytes, span, lambda own: min(self.ways.between(op, size_bytes, own, algorithm))
                )
                return self._taken(way, time, size_bytes, span)
            way = min(self.ways.between(op, size_bytes, span, algorithm))
            return self._taken(way, KernelTime(way.seconds, "extrapolated", op_class), size_bytes, span)
        if algorithm == "auto" or op not in REDUCING:
            return self._chosen(op, size_bytes, span)
        return self._named(op, size_bytes, span, algorithm)

    def transfer(self, size_bytes: float, span: GroupSpan) -> CollectiveTime:
        """One message from one rank to another of a pair's span.

        Inside a node: as sends were measured there; else half of an all_to_all of twice the size between two ranks,
        which sends the same bytes both ways.
        """
        if size_bytes == 0:
            return CollectiveTime(KernelTime(0.0, "interpolated", "transfer.intra_node"), 0.0, NOTHING)
        volume = pair_traffic(span)
        if span.nodes > 1:
            way, time = self.between.time(
                SEND, "transfer.inter_node", size_bytes, span, lambda own: self._posted(size_bytes, own)
            )
            return self._taken(way, time, size_bytes, span)
        slower_s = self.tiers.slower_s(span)
        sends = SEND in self.tiers.chosen and not slower_s
        curves = self.tiers.chosen[SEND if sends else "all_to_all"]
        seconds, exact, outside = curves.time_s(2, size_bytes * (1 if sends else 2), slower_s)
        source = curves.source(2, exact, outside) if sends else "extrapolated" if outside else "interpolated"
        repeat_error = curves.repeat_error(2, size_bytes) if sends else 0.0
        time = KernelTime(seconds, source, "transfer.intra_node", repeat_error)
        return self._delayed(self._taken(Way(seconds, curves.startup_s(2), volume), time, size_bytes, span), 1, span)

    def _posted(self, size_bytes: float, span: GroupSpan) -> Way:
        """One message between nodes, as nobody has timed it."""
        latency_s = self.ways.base_s + self.ways.transfer_hop_s + span.inter_latency_s
        return Way(point_to_point(size_bytes, self.tiers.nic_rate(span), latency_s), latency_s, pair_traffic(span))

    def _sendrecv(self, size_bytes: float, span: GroupSpan) -> CollectiveTime:
        """A message from every member to the next, where it was not measured: as long as one transfer, which leaves a
        node through one member's share of its NICs."""
        pair = replace(span, node_bytes_per_s=span.node_bytes_per_s // span.per_node)
        return self.transfer(size_bytes, pair)._replace(volume=ring_traffic("sendrecv", span))

    def _chosen(self, op: str, size_bytes: float, span: GroupSpan) -> CollectiveTime:
        """Inside a node, as the library chose: a measured curve."""
        volume = direct_traffic(op, span) if op == "all_to_all" else ring_traffic(op, span)
        if self.tiers.is_switched(op, span.size):
            volume = in_switch_traffic(op, span, Switches(in_node=True))
        return self._curve(op, size_bytes, span, volume, rings=False)

    def _named(self, op: str, size_bytes: float, span: GroupSpan, algorithm: str) -> CollectiveTime:
        """Inside a node, by the algorithm that a plan names. A hierarchy of one level is a ring."""
        op_class = f"collective.intra_node.{op}"
        if algorithm == "tree" and op == "all_reduce":
            volume, curves = tree_traffic(op, span), self.tiers.curves(op, rings=True)
            hop_s = self.ways.tree_hop_intra_s + self.ways.beyond_s(span)
            latency_s = self.ways.base_s + 2 * tree_depth(span.size) * hop_s
            # no traffic beyond the start-up for messages as small as the smallest measured one
            per_byte_s = curves.traffic_s(span.size, size_bytes, self.tiers.slower_s(span))
            way = Way(latency_s + volume.member * size_bytes * per_byte_s, latency_s, volume)
        elif algorithm == "halving_doubling":
            way = min(self.ways.halving_doubling(op, size_bytes, span))
        elif algorithm == "in_switch":
            (way,) = self.ways.in_switch(op, size_bytes, span)
            if self.tiers.is_switched(op, span.size):  # the library never chooses what is slower
                way = way._replace(seconds=max(way.seconds, self._chosen(op, size_bytes, span).time.seconds))
        else:
            return self._curve(op, size_bytes, span, ring_traffic(op, span), rings=True)
        return self._taken(way, KernelTime(way.seconds, "extrapolated", op_class), size_bytes, span)

    def _curve(self, op: str, size_bytes: float, span: GroupSpan, volume: Volume, *, rings: bool) -> CollectiveTime:
        curves, slower_s = self.tiers.curves(op, rings=rings), self.tiers.slower_s(span)
        startup_s, op_class = curves.startup_s(span.size), f"collective.intra_node.{op}"
        if curves.op != op:
            seconds = startup_s + volume.member * size_bytes * curves.traffic_s(span.size, size_bytes, slower_s)
            time = KernelTime(seconds, "extrapolated", op_class)
        else:
            seconds, exact, outside = curves.time_s(span.size, size_bytes, slower_s)
            repeat_error = curves.repeat_error(span.size, size_bytes)
            time = KernelTime(seconds, curves.source(span.size, exact, outside), op_class, repeat_error)
        steps = 1 if op == "all_to_all" else ring_steps(op, span.size)  # messages to all leave at once
        return self._delayed(self._taken(Way(time.seconds, startup_s, volume), time, size_bytes, span), steps, span)

    def _delayed(self, found: CollectiveTime, steps: int, span: GroupSpan) -> CollectiveTime:
        """A measured time on a node whose hops take longer: that much for each message that waits for another."""
        beyond_s = steps * self.ways.beyond_s(span)
        if not beyond_s:
            return found
        time = found.time._replace(seconds=found.time.seconds + beyond_s, source="extrapolated")
        return found._replace(time=time, latency_s=found.latency_s + beyond_s)

    def _taken(self, way: Way, time: KernelTime, size_bytes: float, span: GroupSpan) -> CollectiveTime:
        """The answer, its latency shortened where the bytes inside a node could not move in what it leaves of it."""
        rate = self.tiers.node_efficiency * span.intra_bytes_per_s
        moving_s = way.volume.inside(span) * size_bytes / rate
        return CollectiveTime(time, max(0.0, min(way.latency_s, way.seconds - moving_s)), way.volume)

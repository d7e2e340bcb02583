"""Measured curves of collectives and messages between nodes: what a profile's owner has timed over the cluster's links.

A group that lies as a measured one did costs what that took. Any other keeps the formula (`ways.py`), times how far it
was off for the nearest measured group at this message size. Curves hold for the links they were timed on: where a
scenario's links are slower, ops share these in the engine as any others do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2

from simulator.cluster import GroupSpan
from simulator.costs.kernels import KernelTime
from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile import Profile
from simulator.costs.profile_entries import INTER_NODE
from simulator.costs.ways import Way

TIMED = "timed."
"""Op classes of prices that curves between nodes have made begin with this: the formula's own have another error."""

Formula = Callable[[GroupSpan], Way]


class BetweenNodes:
    """The curves of a profile whose groups lay on several nodes."""

    def __init__(self, profile: Profile):
        self._curves: dict[str, dict[tuple[int, int], NodeCurves]] = {}
        for curve in profile.collectives.values():
            if curve.tier == INTER_NODE:
                place = (curve.nodes, curve.group_size // curve.nodes)
                self._curves.setdefault(curve.op, {})[place] = NodeCurves(curve.op, [curve])

    def time(
        self, op: str, op_class: str, size_bytes: float, span: GroupSpan, formula: Formula
    ) -> tuple[Way, KernelTime]:  # fmt: skip
        """What one op takes over several nodes. formula: its way on a span, as nobody has timed it."""
        way = formula(span)
        if op not in self._curves:
            return way, KernelTime(way.seconds, "extrapolated", op_class)
        place = self._nearest(op, span)
        nodes, per_node = place
        curves = self._curves[op][place]
        seconds, exact, outside = curves.time_s(nodes * per_node, size_bytes)
        repeat_error = curves.repeat_error(nodes * per_node, size_bytes)
        if (span.nodes, span.per_node, span.size) == (nodes, per_node, nodes * per_node):
            source, started_s = curves.source(span.size, exact, outside), curves.startup_s(span.size)
            way = way._replace(seconds=seconds, latency_s=min(seconds, started_s))
        else:
            share = seconds / formula(_lies(span, nodes, per_node)).seconds
            source, way = "extrapolated", way._replace(seconds=share * way.seconds, latency_s=share * way.latency_s)
        return way, KernelTime(way.seconds, source, f"{TIMED}{op_class}", repeat_error)

    def _nearest(self, op: str, span: GroupSpan) -> tuple[int, int]:
        """(nodes, members on each) of the measured group that lies most like this one; the smaller one on ties."""
        return min(
            sorted(self._curves[op]),
            key=lambda place: (abs(log2(place[0] / span.nodes)), abs(log2(place[1] / span.per_node))),
        )


def _lies(span: GroupSpan, nodes: int, per_node: int) -> GroupSpan:
    """A group on the same links that lies otherwise: every member brings its share of the NICs."""
    rate = span.node_bytes_per_s * per_node // span.per_node
    return replace(span, size=nodes * per_node, nodes=nodes, per_node=per_node, node_bytes_per_s=rate)

"""The two tiers of a cluster, as one profile knows them: measured curves inside a node, NICs between nodes."""

from __future__ import annotations

from functools import cached_property

from simulator.cluster import GroupSpan
from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile import Profile
from simulator.costs.profile_entries import INTRA_NODE, RING_CURVE, CollectiveCurve


class Tiers:
    """chosen: the curves of each collective as the library chose its algorithm; rings: those of them that are rings.

    `all_gather` stands in for a collective without a curve of its own.
    """

    def __init__(self, profile: Profile):
        self.profile = profile
        curves = [curve for (_, tier, _), curve in profile.collectives.items() if tier == INTRA_NODE]
        self.chosen = _by_op(curves)
        self.rings = _by_op([curve for curve in curves if curve.algorithm == RING_CURVE])
        self._fabric_efficiency = profile.constant("fabric_efficiency")

    def curves(self, op: str, *, rings: bool = False) -> NodeCurves:
        """The curves that price a collective inside a node."""
        known = self.rings if rings else self.chosen
        return known.get(op, known["all_gather"])

    def is_switched(self, op: str, ranks: int) -> bool:
        """Whether the library lets the node's switch add up, over this many ranks: as it did over the measured group
        of that size or the next larger one (else the largest)."""
        if op not in self.chosen:
            return False
        measured = self.chosen[op].sizes
        nearest = next((size for size in measured if size >= ranks), measured[-1])
        return op not in self.rings or nearest not in self.rings[op].sizes

    def node_side_s(self, op: str, volume: float, size_bytes: float, span: GroupSpan, *, rings: bool = False) -> float:
        """Seconds that the traffic takes inside each node, at the rate that was measured there (rings: by rings)."""
        if span.per_node == 1:
            return 0.0
        curves = self.curves(op, rings=rings)
        ranks = min(max(span.per_node, curves.sizes[0]), curves.sizes[-1])
        return volume * size_bytes * curves.traffic_s(ranks, size_bytes, self.slower_s(span))

    def nic_rate(self, span: GroupSpan) -> float:
        """What large messages of this group reach out of each of its nodes."""
        return span.node_bytes_per_s * self._fabric_efficiency

    def slower_s(self, span: GroupSpan) -> float:
        """Seconds that a byte takes longer on the links inside this node than on those the curves were measured on;
        negative where these are faster. What a curve holds beside its bytes on a link (copies, hand-shakes) does not
        depend on the link, so that small messages lose less to a slow one than large messages do. No link carries more
        than its rate, whatever was measured where it is a guess."""
        measured = self.profile.device.intra_link_bytes_per_s
        if span.intra_bytes_per_s == measured:
            return 0.0
        return (1.0 / span.intra_bytes_per_s - 1.0 / measured) / min(1.0, self.node_efficiency)

    def link_efficiency(self, tier: str) -> float:
        """What share of a link's datasheet rate large messages reach: `port` and `leaf` between nodes, `gpu` inside one
        (the best rate of the profile's curves, so that no op needs more than that alone)."""
        return self.node_efficiency if tier == "gpu" else self._fabric_efficiency

    @cached_property
    def node_efficiency(self) -> float:
        """The best bus bandwidth of all curves, of the datasheet's rate."""
        best = max(curves.best_bytes_per_s for curves in self.chosen.values())
        return best / self.profile.device.intra_link_bytes_per_s


def _by_op(curves: list[CollectiveCurve]) -> dict[str, NodeCurves]:
    found: dict[str, list[CollectiveCurve]] = {}
    for curve in curves:
        found.setdefault(curve.op, []).append(curve)
    return {op: NodeCurves(op, own) for op, own in found.items()}

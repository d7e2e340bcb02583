"""A cluster whose ranks do not fill the nodes in order: the same devices and links, asked for by rank.

The contract's rank formula stays; which device a rank runs on is a permutation on top of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simulator.cluster.cluster import Cluster
from simulator.cluster.parts import Device, Link, NodeType, Ranks
from simulator.cluster.spans import GroupSpan
from simulator.cluster.wires import RankLinks

Order = tuple[int, ...]
"""The device of each rank, by its number in the cluster."""


@dataclass(frozen=True)
class PlacedCluster:
    """base: the cluster in its own order. order: a permutation of its devices.

    Whatever takes ranks is answered here; links, nodes and all that has no ranks are the base's own.
    """

    base: Cluster
    order: Order

    is_uniform = False
    """Never: nothing is known of the ranks' symmetry."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)

    @property
    def symmetry_period(self) -> int:
        """All ranks."""
        return self.base.gpus

    @cached_property
    def group_ends(self) -> tuple[int, ...]:
        """The ranks whose device is of another listed group than that of the rank before."""
        ends = self.base.group_ends
        own = [sum(device >= end for end in ends) for device in self.order]
        return tuple(rank for rank in range(1, len(own)) if own[rank] != own[rank - 1])

    def rank_at(self, device: int) -> int:
        """The rank that runs on a device."""
        return self._ranks[device]

    def place(self, rank: int) -> tuple[NodeType, int, int]:
        """(node type, node, place within the node) of a rank."""
        return self.base.place(self.order[rank])

    def node_ranks(self, rank: int) -> tuple[int, ...]:
        """The ranks on the node of a rank, by their devices."""
        return tuple(self._ranks[device] for device in self.base.node_ranks(self.order[rank]))

    def in_ring(self, group: Sequence[int]) -> tuple[int, ...]:
        """A group's members by their devices: NCCL goes through a node before it leaves it."""
        return tuple(sorted(group, key=self.order.__getitem__))

    def device_of(self, rank: int) -> Device:
        """The device of a rank."""
        return self.base.device_of(self.order[rank])

    def node_of(self, rank: int) -> int:
        """The node of a rank, counted over the whole cluster."""
        return self.base.node_of(self.order[rank])

    def span(self, ranks: Ranks) -> GroupSpan:
        """What this group finds between its members when nothing else runs."""
        return self.base.span(tuple(sorted(self.order[rank] for rank in ranks)))

    def rank_links(self, rank: int) -> RankLinks:
        """Names of the links that a rank's own traffic crosses."""
        return self.base.rank_links(self.order[rank])

    def leaf_links(self, rank: int, peer: int) -> tuple[str, str] | None:
        """As `Cluster.leaf_links`."""
        return self.base.leaf_links(self.order[rank], self.order[peer])

    def sender_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """As `Cluster.sender_links`."""
        return self.base.sender_links(self.order[rank], self.order[peer])

    def receiver_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """As `Cluster.receiver_links`."""
        return self.base.receiver_links(self.order[rank], self.order[peer])

    def route(self, source: int, target: int) -> tuple[Link, ...]:
        """The links a message takes from one rank to another, in order; empty to itself."""
        return self.base.route(self.order[source], self.order[target])

    def degraded(self, links: Iterable[Link], factor: float) -> PlacedCluster:
        """As `Cluster.degraded`."""
        return PlacedCluster(self.base.degraded(links, factor), self.order)

    @cached_property
    def _ranks(self) -> tuple[int, ...]:
        found = [0] * len(self.order)
        for rank, device in enumerate(self.order):
            found[device] = rank
        return tuple(found)


def placed(cluster: Cluster | PlacedCluster, order: Order | None) -> Cluster | PlacedCluster:
    """The cluster with its ranks on these devices; None, or its own order: as it is by itself."""
    base = cluster.base if isinstance(cluster, PlacedCluster) else cluster
    return base if order is None or order == tuple(range(base.gpus)) else PlacedCluster(base, order)

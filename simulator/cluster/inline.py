"""A cluster that a scenario spells out: devices and links by name, routes along the fewest links.

Each entry of `devices` is a node of `count` devices of one kind; ranks are numbered in the order of the entries. Ends
that are no device are switches. A message takes the path of fewest links, of several the one whose names come first in
the alphabet; it may pass through a device where nothing else leads on. What a group finds between its members is read
off those routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from simulator.cluster.cluster import Cluster
from simulator.cluster.parts import Device, Fabric, Link, NodeFabric, NodeType, Ranks
from simulator.cluster.spans import GroupSpan, ring
from simulator.cluster.wires import RankLinks
from simulator.errors import ScenarioError

if TYPE_CHECKING:
    import networkx

KIND = "inline"
"""`NodeFabric.kind` of a node that is spelt out."""


@dataclass(frozen=True)
class InlineCluster(Cluster):
    """names: of each rank's device. wires: every link, each direction, as stated; `links` replace some (degraded).

    groups: one node for each entry; their NodeFabric says what a ring of the node's own devices gets.
    """

    names: tuple[str, ...] = ()
    wires: tuple[Link, ...] = ()

    @property
    def is_uniform(self) -> bool:
        """Never: nothing is known of the ranks' symmetry."""
        return False

    @property
    def ways_out_are_alike(self) -> bool:
        """Never, either: every peer has a route of its own."""
        return False

    @property
    def group_ends(self) -> tuple[int, ...]:
        """The ranks at which another kind of device begins: entries of one kind are nodes of one group."""
        kinds = [node.device for node, _ in self.groups]
        return tuple(self._first_ranks[place] for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1])

    def route(self, source: int, target: int) -> tuple[Link, ...]:
        """The links a message takes from one rank to another, in order; empty to itself."""
        return tuple(map(self.current, self._paths_from(source)[self.names[target]]))

    def span(self, ranks: Ranks) -> GroupSpan:
        """What this group finds between its members when nothing else runs, from the routes of a ring of them."""
        if ranks not in self._spans:
            self._spans[ranks] = _route_span(self, ranks)
        return self._spans[ranks]

    def rank_links(self, rank: int) -> RankLinks:
        """None: which links a rank's traffic crosses depends on its peer (`sender_links`)."""
        return RankLinks(None, None, None, None, None, None, (), ())

    def leaf_links(self, rank: int, peer: int) -> None:
        """None: a link here is part of a route, and stands among `sender_links`."""

    def sender_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """Names of all links from `rank` to `peer`."""
        return tuple(link.name for link in self.route(rank, peer))

    def receiver_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """None beyond the sender's."""
        return ()

    def find_link(self, name: str) -> Link:
        """The link of this name as stated. Raises ValueError where there is none."""
        if name not in self._wires:
            raise ValueError(f"there is no link {name!r} in this cluster")
        return self._wires[name]

    def links_at(self, end: str) -> tuple[Link, ...]:
        """Every link that begins or ends there; a name of several devices stands for all of them."""
        return tuple(link for link in self.wires if end in (link.source, link.target))

    def names_like(self, name: str) -> tuple[str, ...]:
        """Every link and end."""
        return tuple(dict.fromkeys(word for link in self.wires for word in (link.name, link.source, link.target)))

    def graph(self) -> networkx.DiGraph:
        """Every end and link; edges carry capacity_bytes_per_s and latency_s."""
        import networkx

        graph = networkx.DiGraph()
        for rank, name in enumerate(self.names):
            graph.add_node(name, rank=rank, device=self.device_of(rank).name)
        for link in map(self.current, self.wires):
            graph.add_edge(
                link.source, link.target, capacity_bytes_per_s=link.capacity_bytes_per_s, latency_s=link.latency_s
            )
        return graph

    def _paths_from(self, source: int) -> dict[str, tuple[Link, ...]]:
        if source not in self._paths:
            self._paths[source] = _shortest_paths(self._leaving, self.names[source])
        return self._paths[source]

    @cached_property
    def _leaving(self) -> dict[str, tuple[Link, ...]]:
        """Links by their source, in the order of their targets' names."""
        found: dict[str, list[Link]] = {}
        for link in sorted(self.wires, key=lambda link: link.target):
            found.setdefault(link.source, []).append(link)
        return {source: tuple(links) for source, links in found.items()}

    @cached_property
    def _paths(self) -> dict[int, dict[str, tuple[Link, ...]]]:
        return {}

    @cached_property
    def _wires(self) -> dict[str, Link]:
        return {link.name: link for link in self.wires}


def inline_cluster(entries: Iterable[tuple[str, int, Device]], wires: Iterable[Link]) -> InlineCluster:
    """The cluster of (name, count, device) entries and their links, both directions of each.

    A device is called as its entry, or name0, name1, ... where the entry counts several.
    Raises ScenarioError where two devices cannot reach each other.
    """
    entries, wires = tuple(entries), tuple(wires)
    names = tuple(name for entry, count, _ in entries for name in device_names(entry, count))
    bare = tuple((NodeType(device, count, 0, 0, NodeFabric(KIND, 1, 0.0)), 1) for _, count, device in entries)
    cluster = InlineCluster(bare, Fabric(0.0), "inline", (), names, wires)
    for rank, name in enumerate(names[1:], 1):
        if name not in cluster._paths_from(0):
            raise ScenarioError(
                f"{name} (rank {rank}) cannot be reached from {names[0]}; add a link that joins them",
                key="cluster.links",
            )
    groups, first = [], 0
    for node, _ in bare:
        rate, latency_s = _own_fabric(cluster, range(first, first + node.gpus))
        groups.append((replace(node, fabric=NodeFabric(KIND, rate, latency_s)), 1))
        first += node.gpus
    return replace(cluster, groups=tuple(groups))


def device_names(entry: str, count: int) -> tuple[str, ...]:
    """What the devices of an entry are called."""
    return (entry,) if count == 1 else tuple(f"{entry}{place}" for place in range(count))


def _own_fabric(cluster: InlineCluster, ranks: range) -> tuple[int, float]:
    """(bytes/s, latency) of a ring of a node's own devices; of one device alone, its fastest link."""
    if len(ranks) > 1:
        return _ring_rate(cluster, [ranks]), _worst_latency(cluster, _within([ranks]))
    own = [link.capacity_bytes_per_s for link in cluster.links_at(cluster.names[ranks[0]])]
    return max(own, default=1), 0.0


def _shortest_paths(leaving: dict[str, tuple[Link, ...]], source: str) -> dict[str, tuple[Link, ...]]:
    """End -> the links of the path of fewest links to it, of several the one whose ends come first in the alphabet."""
    paths: dict[str, tuple[Link, ...]] = {source: ()}
    level = [source]
    while level:
        reached = []
        for end in level:  # in the order of their paths, so that the first path to a new end is the first of its length
            for link in leaving.get(end, ()):
                if link.target not in paths:
                    paths[link.target] = (*paths[end], link)
                    reached.append(link.target)
        level = reached
    return paths


def _route_span(cluster: InlineCluster, ranks: Ranks) -> GroupSpan:
    by_node: dict[int, list[int]] = {}
    for rank in sorted(ranks):
        by_node.setdefault(cluster.node_of(rank), []).append(rank)
    nodes = list(by_node.values())
    several = [own for own in nodes if len(own) > 1]
    crossing = [[(rank, there[place % len(there)]) for place, rank in enumerate(here)] for here, there in ring(nodes)]
    alone = [cluster.place(own[0])[0].fabric for own in nodes]
    return GroupSpan(
        size=len(ranks),
        nodes=len(nodes),
        per_node=max(map(len, nodes)),
        intra_bytes_per_s=_ring_rate(cluster, several) if several else min(own.gpu_bytes_per_s for own in alone),
        intra_latency_s=_worst_latency(cluster, _within(several)),
        node_bytes_per_s=_crossing_rate(cluster, crossing) if len(nodes) > 1 else 0,
        inter_latency_s=_worst_latency(cluster, [pair for pairs in crossing for pair in pairs]),
    )


def _within(nodes: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """(sender, receiver) of a ring inside each node."""
    return [pair for own in nodes if len(own) > 1 for pair in ring(list(own))]


def _ring_rate(cluster: InlineCluster, nodes: Iterable[Iterable[int]]) -> int:
    """bytes/s of the rings inside these nodes: the slowest link, divided among all messages that cross it at once."""
    users: dict[str, int] = {}
    for sender, receiver in _within(nodes):
        for link in cluster.route(sender, receiver):
            users[link.name] = users.get(link.name, 0) + 1
    return max(1, min(cluster.link_capacity(name) // count for name, count in users.items()))


def _crossing_rate(cluster: InlineCluster, crossing: list[list[tuple[int, int]]]) -> int:
    """bytes/s that the poorest node sends to the next while all do: max-min fair shares of the links they meet on."""
    from simulator.network.max_min import fair_share

    places: dict[str, int] = {}
    flows = [
        tuple(places.setdefault(link.name, len(places)) for link in cluster.route(*pair))
        for pairs in crossing for pair in pairs
    ]  # fmt: skip
    rates = iter(fair_share(flows, [cluster.link_capacity(name) for name in places]))
    return max(1, min(int(sum(next(rates) for _ in pairs)) for pairs in crossing))


def _worst_latency(cluster: InlineCluster, pairs: Iterable[tuple[int, int]]) -> float:
    return max((sum(link.latency_s for link in cluster.route(*pair)) for pair in pairs), default=0.0)

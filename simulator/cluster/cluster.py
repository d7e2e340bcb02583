"""Cluster: nodes in rank order on one fabric, and what may be asked of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import lcm
from typing import TYPE_CHECKING

from simulator.cluster import names, spans, wires
from simulator.cluster.parts import Device, Fabric, Link, NodeType, Ranks
from simulator.errors import ScenarioError

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True)
class Cluster:
    """Nodes in rank order, group by group, on one fabric.

    links: wires that replace those of the same ends (degraded ones).
    """

    groups: tuple[tuple[NodeType, int], ...]
    fabric: Fabric
    name: str = ""
    links: tuple[Link, ...] = ()

    @cached_property
    def gpus(self) -> int:
        """Devices in all."""
        return self._first_ranks[-1]

    @cached_property
    def nodes(self) -> int:
        """Nodes in all."""
        return self._first_nodes[-1]

    @cached_property
    def is_mixed(self) -> bool:
        """True when nodes differ, so that ranks are no longer alike."""
        return len({node for node, _ in self.groups}) > 1

    @cached_property
    def is_uniform(self) -> bool:
        """True when every node is of one type and no link is stated: ranks at the same place in their nodes are alike,
        up to the leaves they are below (`symmetry_period`)."""
        return not self.is_mixed and not self.links

    @property
    def ways_out_are_alike(self) -> bool:
        """True when a rank reaches every rank of other nodes over the same links on its side."""
        return not self.fabric.has_leaves

    @cached_property
    def symmetry_period(self) -> int:
        """Least number of consecutive ranks after whose shift the cluster looks the same; `gpus` where nothing repeats.

        A node; where leaf switches part the nodes, those below one leaf, as many of them as it takes until the spines
        come round again.
        """
        if not self.is_uniform:
            return self.gpus
        nodes, fabric = 1, self.fabric
        if fabric.has_leaves and self.nodes > fabric.nodes_per_leaf:
            nodes = lcm(fabric.nodes_per_leaf, max(fabric.spines, 1))
        elif fabric.kind == "rail_optimized" and fabric.spines:
            nodes = fabric.spines  # rails of one pod meet at the spine of the destination
        return nodes * self.groups[0][0].gpus if self.nodes % nodes == 0 else self.gpus

    @property
    def group_ends(self) -> tuple[int, ...]:
        """The ranks at which a listed group ends and the next begins, ascending."""
        return self._first_ranks[1:-1]

    @property
    def node_type(self) -> NodeType:
        """The node type of a cluster that has one only. Raises ScenarioError for mixed clusters."""
        if self.is_mixed:
            devices = " and ".join(dict.fromkeys(node.device.name for node, _ in self.groups))
            raise ScenarioError(f"nodes of {devices} are not of one type; use one of its groups", key="cluster.groups")
        return self.groups[0][0]

    def place(self, rank: int) -> tuple[NodeType, int, int]:
        """(node type, node, place within the node) of a rank."""
        if not 0 <= rank < self.gpus:
            raise ValueError(f"rank {rank} is not in a cluster of {self.gpus} devices")
        group = bisect_right(self._first_ranks, rank) - 1
        node, _ = self.groups[group]
        index, local_rank = divmod(rank - self._first_ranks[group], node.gpus)
        return node, self._first_nodes[group] + index, local_rank

    def rank_at(self, device: int) -> int:
        """The rank that runs on a device: its number (`placed.py` knows others)."""
        return device

    def node_ranks(self, rank: int) -> Sequence[int]:
        """The ranks on the node of a rank."""
        node, _, local_rank = self.place(rank)
        return range(rank - local_rank, rank - local_rank + node.gpus)

    def in_ring(self, group: Sequence[int]) -> Sequence[int]:
        """A group's members (ascending), node by node."""
        return group

    def node_at(self, index: int) -> tuple[NodeType, int]:
        """(node type, first rank) of a node, counted over the whole cluster."""
        if not 0 <= index < self.nodes:
            raise ValueError(f"node {index} is not in a cluster of {self.nodes} nodes")
        group = bisect_right(self._first_nodes, index) - 1
        node, _ = self.groups[group]
        return node, self._first_ranks[group] + (index - self._first_nodes[group]) * node.gpus

    def node_runs(self, first: int, last: int) -> Iterator[tuple[NodeType, int]]:
        """(node type, how many) of the nodes in [first, last), group by group."""
        for (node, _), begin, end in zip(self.groups, self._first_nodes, self._first_nodes[1:], strict=False):
            count = min(end, last) - max(begin, first)
            if count > 0:
                yield node, count

    def device_of(self, rank: int) -> Device:
        """The device of a rank."""
        return self.place(rank)[0].device

    def node_of(self, rank: int) -> int:
        """The node of a rank, counted over the whole cluster."""
        return self.place(rank)[1]

    def span(self, ranks: Ranks) -> spans.GroupSpan:
        """What this group finds between its members when nothing else runs. Constant time for ranges of a uniform
        cluster."""
        if ranks not in self._spans:
            self._spans[ranks] = spans.group_span(self, ranks)
        return self._spans[ranks]

    def rank_links(self, rank: int) -> wires.RankLinks:
        """Names of the links that a rank's own traffic crosses."""
        if rank not in self._rank_links:
            self._rank_links[rank] = self._find_rank_links(rank)
        return self._rank_links[rank]

    def leaf_links(self, rank: int, peer: int) -> tuple[str, str] | None:
        """(leaf_up out of the leaf of `rank`, leaf_down into that of `peer`) for what one sends to the other; None
        where both are below one leaf, or there are no leaves."""
        pair = wires.leaf_pair(self, rank, peer)
        return None if pair is None else (pair[0].name, pair[1].name)

    def sender_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """Names of the links that limit what `rank` sends to `peer`, on the sender's side: up to the node's hub, or out
        of the node and its leaf. With `receiver_links` they are the route, less what never limits."""
        return self._halves(rank, peer)[0]

    def receiver_links(self, rank: int, peer: int) -> tuple[str, ...]:
        """The same on the side of the receiver `peer`."""
        return self._halves(rank, peer)[1]

    def link_capacity(self, name: str) -> int:
        """bytes/s of a link, degraded where it is. Raises ValueError for a link that is not there."""
        if name not in self._capacities:
            self._capacities[name] = self.capacity(self.find_link(name))
        return self._capacities[name]

    def find_link(self, name: str) -> Link:
        """The link of this name as the rules give it. Raises ValueError where there is none."""
        return names.find_link(self, name)

    def links_at(self, end: str) -> tuple[Link, ...]:
        """Every link that begins or ends there (`names.links_at`); empty where nothing is called that."""
        return names.links_at(self, end)

    def names_like(self, name: str) -> tuple[str, ...]:
        """Names of links and ends that this one may have been meant to be."""
        return names.alike(self, name)

    def capacity(self, link: Link) -> int:
        """bytes/s of a link that a rule gave, degraded where it is."""
        return self.current(link).capacity_bytes_per_s

    def current(self, link: Link) -> Link:
        """A link that a rule gave, or the stated one of the same ends."""
        return self._stated.get(link.name, link) if self.links else link

    def degraded(self, links: Iterable[Link], factor: float) -> Cluster:
        """The same cluster with links of its rules so many times slower; a factor below 1 is the share that is left."""
        slow = {link.name: link for link in self.links}
        for link in map(self.current, links):
            rate = link.capacity_bytes_per_s * factor if factor < 1 else link.capacity_bytes_per_s / factor
            slow[link.name] = replace(link, capacity_bytes_per_s=max(1, int(rate)))
        return replace(self, links=tuple(slow.values()))

    def graph(self) -> networkx.DiGraph:
        """Every device, switch, NIC port and link (`routes.py`); built on each call: ask only if needed."""
        from simulator.cluster.routes import cluster_graph

        return cluster_graph(self)

    def route(self, source: int, target: int) -> tuple[Link, ...]:
        """The links a message takes from one rank to another, in order; empty to itself."""
        from simulator.cluster.routes import route

        return route(self, source, target)

    def _find_rank_links(self, rank: int) -> wires.RankLinks:
        node, index, local_rank = self.place(rank)
        up = down = port_out = port_in = leaf_up = leaf_down = None
        if wires.has_hub(node):
            up, down = (link.name for link in wires.hub_links(node, index, local_rank, rank))
        crossed = wires.out_links(self, rank)
        if crossed:
            port_out, port_in = (link.name for link in crossed[-1])
            if self.fabric.has_leaves and not self.fabric.spines:
                pair = wires.trunk_links(self, index, node.port_of(local_rank), index)
                leaf_up, leaf_down = (link.name for link in pair)
        return wires.RankLinks(
            up, down, port_out, port_in, leaf_up, leaf_down,
            out=self._limiting(crossed, 0), into=self._limiting(crossed, 1)[::-1],
        )  # fmt: skip

    def _halves(self, rank: int, peer: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if rank == peer:
            return (), ()
        if self.node_of(rank) == self.node_of(peer):
            sent = [pair[0].name for pair in wires.inside_links(self, rank, peer)]
            return tuple(sent), (wires.inside_links(self, peer, peer)[0][1].name,)
        leaves = self.leaf_links(rank, peer)
        up, down = ((leaves[0],), (leaves[1],)) if leaves else ((), ())
        return self.rank_links(rank).out + up, down + self.rank_links(peer).into

    def _limiting(self, pairs: tuple[wires.Pair, ...], way: int) -> tuple[str, ...]:
        """Names on the way out, less a wire whose traffic all crosses a next one that is no faster."""
        kept = []
        for pair, after in zip(pairs, (*pairs[1:], None), strict=False):
            is_feed = after is not None and wires.ends_at_port(pair)
            if not (is_feed and self.capacity(pair[way]) >= self.capacity(after[way])):
                kept.append(pair[way].name)
        return tuple(kept)

    @cached_property
    def _first_ranks(self) -> tuple[int, ...]:
        """First rank of each group, and one past the last."""
        return tuple(accumulate((node.gpus * count for node, count in self.groups), initial=0))

    @cached_property
    def _first_nodes(self) -> tuple[int, ...]:
        """First node of each group, and one past the last."""
        return tuple(accumulate((count for _, count in self.groups), initial=0))

    @cached_property
    def stated_nodes(self) -> tuple[int, ...] | None:
        """Nodes with a stated link below the leaves, ascending; None where one is above them."""
        found = {names.node_of_link(self, link) for link in self.links}
        return None if None in found else tuple(sorted(found))

    @cached_property
    def _stated(self) -> dict[str, Link]:
        return {link.name: link for link in self.links}

    @cached_property
    def _spans(self) -> dict[Ranks, spans.GroupSpan]:
        return {}

    @cached_property
    def _rank_links(self) -> dict[int, wires.RankLinks]:
        return {}

    @cached_property
    def _capacities(self) -> dict[str, int]:
        return {}

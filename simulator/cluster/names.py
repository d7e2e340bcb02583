"""A link or an end by its name, without listing a million of them: the name itself says where to look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from simulator.cluster import wires
from simulator.cluster.parts import Link, NodeType

if TYPE_CHECKING:
    from simulator.cluster.cluster import Cluster

_GPU = re.compile(r"gpu(\d+)")
_NODE = re.compile(r"node(\d+)(?:/|$)")
_PORT = re.compile(r"node(\d+)/port(\d+)/(?:out|in)")
_LEAF = re.compile(r"(?:leaf|pod)(\d+)(?:/|$)")
_ABOVE = re.compile(r"fabric|core|spine\d+")


def find_link(cluster: Cluster, name: str) -> Link:
    """The link of this name, as the rules give it. Raises ValueError where there is none."""
    for end in name.split(">"):
        for link in _of_end(cluster, end):
            if link.name == name:
                return link
    raise ValueError(f"there is no link {name!r} in this cluster")


def links_at(cluster: Cluster, end: str) -> tuple[Link, ...]:
    """Every link that begins or ends there, in both directions. `node3/port1` stands for both of its ends, `node3` for
    all that begin so. Empty where nothing is called that."""

    def is_there(name: str) -> bool:
        return name == end or name.startswith(f"{end}/")

    return tuple(link for link in _around(cluster, end) if is_there(link.source) or is_there(link.target))


def alike(cluster: Cluster, name: str) -> tuple[str, ...]:
    """Names of links and ends to choose the nearest from: those around the ranks, nodes and leaves that a misspelt name
    seems to speak of, and around the first and last node."""
    numbers = [int(number) for number in re.findall(r"\d+", name)[:4]]
    nodes = {min(number, cluster.nodes - 1): None for number in numbers}
    nodes |= {cluster.node_of(min(number, cluster.gpus - 1)): None for number in numbers}
    found: dict[str, None] = {}
    for index in (*nodes, 0, cluster.nodes - 1):
        links = list(_of_node(cluster, index))
        for link in links:
            found |= dict.fromkeys((link.name, link.source, link.target))
        if links:
            found[f"node{index}"] = None
            found |= dict.fromkeys(f"node{index}/port{port}" for port in range(cluster.node_at(index)[0].ports))
    return tuple(found)


def node_of_link(cluster: Cluster, link: Link) -> int | None:
    """The node that a link lies in, or that its port belongs to; None for one above the ports."""
    for end in (link.source, link.target):
        if match := _GPU.fullmatch(end):
            return cluster.node_of(int(match[1]))
        if match := _NODE.match(end):
            return int(match[1])
    return None


def all_links(cluster: Cluster) -> Iterator[Link]:
    """Every link once."""
    return _unique(cluster, range(cluster.nodes))


def _of_end(cluster: Cluster, end: str) -> Iterator[Link]:
    """Some of the links of an end: every link is among those of one of its ends."""
    if match := _GPU.fullmatch(end):
        rank = int(match[1])
        if rank < cluster.gpus:
            node, index, local_rank = cluster.place(rank)
            yield from _of_device(node, index, local_rank, rank)
    elif match := _PORT.fullmatch(end):
        index, port = int(match[1]), int(match[2])
        if index < cluster.nodes:
            node, _ = cluster.node_at(index)
            if port < node.ports:
                yield from _of_port(cluster, node, index, port)
    elif (match := _NODE.match(end)) and int(match[1]) < cluster.nodes:
        index = int(match[1])
        yield from _bridges(cluster.node_at(index)[0], index)
    elif (match := _LEAF.match(end)) and cluster.fabric.has_leaves:
        below = cluster.fabric.nodes_per_leaf
        index = int(match[1]) * below
        for port in range(max((node.ports for node, _ in cluster.node_runs(index, index + below)), default=0)):
            yield from _trunks(cluster, index, port)


def _around(cluster: Cluster, end: str) -> Iterator[Link]:
    """Links among which all those of an end are."""
    indices: range | tuple[int, ...] = range(cluster.nodes)
    if match := _GPU.fullmatch(end):
        rank = int(match[1])
        indices = (cluster.node_of(rank),) if rank < cluster.gpus else ()
    elif match := _NODE.match(end):
        indices = (int(match[1]),) if int(match[1]) < cluster.nodes else ()
    elif (match := _LEAF.match(end)) and cluster.fabric.has_leaves:
        below = cluster.fabric.nodes_per_leaf
        first = int(match[1]) * below
        indices = range(first, min(first + below, cluster.nodes))
    elif not _ABOVE.fullmatch(end):
        indices = ()
    return _unique(cluster, indices)


def _unique(cluster: Cluster, indices: Iterable[int]) -> Iterator[Link]:
    """The links of these nodes, each once: nodes below one leaf name it each."""
    seen: set[str] = set()
    for index in indices:
        for link in _of_node(cluster, index):
            if link.name not in seen:
                seen.add(link.name)
                yield link


def _of_node(cluster: Cluster, index: int) -> Iterator[Link]:
    """The links of a node, and those of the leaves above it."""
    node, first_rank = cluster.node_at(index)
    for local_rank in range(node.gpus):
        yield from _of_device(node, index, local_rank, first_rank + local_rank)
    yield from _bridges(node, index)
    for port in range(node.ports):
        yield from _of_port(cluster, node, index, port)
        yield from _trunks(cluster, index, port)


def _of_device(node: NodeType, index: int, local_rank: int, rank: int) -> Iterator[Link]:
    if wires.has_hub(node):
        yield from wires.hub_links(node, index, local_rank, rank)
    if node.ports and not node.fabric.carries_nics:
        yield from wires.host_links(node, index, node.port_of(local_rank), rank)


def _of_port(cluster: Cluster, node: NodeType, index: int, port: int) -> Iterator[Link]:
    if node.fabric.carries_nics:
        yield from wires.slot_links(node, index, port)
    yield from wires.wire_links(cluster, node, index, port)


def _bridges(node: NodeType, index: int) -> Iterator[Link]:
    sockets = node.fabric.sockets if node.fabric.carries_nics else 1
    for socket in range(sockets):
        for other in range(socket + 1, sockets):
            yield from wires.bridge_links(node, index, socket, other)


def _trunks(cluster: Cluster, index: int, port: int) -> Iterator[Link]:
    if cluster.fabric.has_leaves:
        for spine in range(max(cluster.fabric.spines, 1)):
            yield from wires.trunk_links(cluster, index, port, spine)

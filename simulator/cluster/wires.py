"""The links of a cluster by rule: what each is called, what it carries, and which of them a rank's traffic crosses.

Ends are named gpu12, node1/switch (node1/socket0 in a PCIe box), node1/port3/out, node1/port3/in, and above the nodes
fabric, or leaf2 (pod1/rail3 where rails are) and core (spine4 where there are several). A port's two directions are two
ends, so that a message cannot turn round inside a NIC. Latency is charged half to the first and half to the last wire
of the node's or the cluster's fabric.

A device behind NVSwitch reaches its port over PCIe of its own (`host_links`), which feeds the port at its full rate.
In a PCIe box it has one link for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.cluster.parts import Link, NodeType

if TYPE_CHECKING:
    from simulator.cluster.cluster import Cluster


@dataclass(frozen=True, slots=True)
class RankLinks:
    """Names of the links that a rank's own traffic crosses; None where there is none.

    up, down: to the node's switch (or PCIe root) and back. port_out, port_in: the port to the network and back.
    leaf_up, leaf_down: the leaf switch of its port to the core and back; None where the fabric has no leaves, and where
    several spines make it depend on the peer (`Cluster.leaf_links`).
    out, into: all links on the rank's side, below the leaf, that limit what it exchanges with another node: the port,
    and before it up (and the bridge) in a PCIe box.
    """

    up: str | None
    down: str | None
    port_out: str | None
    port_in: str | None
    leaf_up: str | None
    leaf_down: str | None
    out: tuple[str, ...]
    into: tuple[str, ...]


Pair = tuple[Link, Link]
"""The two directions of one wire: away from the device, and towards it."""


def has_hub(node: NodeType) -> bool:
    """Whether the node's devices are joined by something: one device alone is not, except to its NIC by PCIe."""
    return node.gpus > 1 or node.fabric.carries_nics


def hub_links(node: NodeType, index: int, local_rank: int, rank: int) -> Pair:
    """A device to its node's switch or socket."""
    rate, latency_s = node.fabric.gpu_bytes_per_s, node.fabric.latency_s / 2
    hub = _socket(index, node.socket_of(local_rank)) if node.fabric.carries_nics else f"node{index}/switch"
    return _pair(f"gpu{rank}", hub, rate, latency_s)


def bridge_links(node: NodeType, index: int, socket: int, other: int) -> Pair:
    """From one socket to another."""
    return _pair(_socket(index, socket), _socket(index, other), node.fabric.bridge_bytes_per_s, 0.0)


def host_links(node: NodeType, index: int, port: int, rank: int) -> Pair:
    """A device behind NVSwitch to its port."""
    rate = max(node.device.host_link_bytes_per_s, node.port_bytes_per_s)
    return _port_pair(f"gpu{rank}", index, port, rate)


def slot_links(node: NodeType, index: int, port: int) -> Pair:
    """A socket to a port, in a PCIe box."""
    return _port_pair(_socket(index, node.socket_of_port(port)), index, port, node.port_bytes_per_s)


def wire_links(cluster: Cluster, node: NodeType, index: int, port: int) -> Pair:
    """A port to the leaf or fabric above it."""
    above, rate, latency_s = leaf_of(cluster, index, port), node.port_bytes_per_s, cluster.fabric.latency_s / 2
    name = f"node{index}/port{port}"
    return Link(f"{name}/out", above, rate, latency_s), Link(above, f"{name}/in", rate, latency_s)


def leaf_of(cluster: Cluster, index: int, port: int) -> str:
    """The switch that a port is plugged into."""
    fabric = cluster.fabric
    if not fabric.has_leaves:
        return "fabric"
    place = index // fabric.nodes_per_leaf
    return f"leaf{place}" if fabric.kind == "fat_tree" else f"pod{place}/rail{port}"


def trunk_links(cluster: Cluster, index: int, port: int, destination: int) -> Pair:
    """The leaf of a port to the core, or to the spine that messages to the node `destination` go by."""
    fabric = cluster.fabric
    above = f"spine{destination % fabric.spines}" if fabric.spines else "core"
    rate = leaf_bytes_per_s(cluster, index, port) // max(fabric.spines, 1)
    return _pair(leaf_of(cluster, index, port), above, rate, 0.0)


def leaf_bytes_per_s(cluster: Cluster, index: int, port: int) -> int:
    """All links upwards of the leaf of this port: the ports that are plugged into it, over the oversubscription."""
    fabric = cluster.fabric
    first = index // fabric.nodes_per_leaf * fabric.nodes_per_leaf
    last = min(first + fabric.nodes_per_leaf, cluster.nodes)
    below = 0
    for node, count in cluster.node_runs(first, last):
        if fabric.kind == "fat_tree":
            below += count * node.ports * node.port_bytes_per_s
        elif port < node.ports:
            below += count * node.port_bytes_per_s
    return int(below / fabric.oversubscription)


def out_links(cluster: Cluster, rank: int) -> tuple[Pair, ...]:
    """What a rank crosses to leave its node, in order, up to the leaf or fabric; back in reverse."""
    node, index, local_rank = cluster.place(rank)
    if not node.ports:
        return ()
    port = node.port_of(local_rank)
    wire = wire_links(cluster, node, index, port)
    if not node.fabric.carries_nics:
        return host_links(node, index, port, rank), wire
    return (
        hub_links(node, index, local_rank, rank),
        *_bridged(node, index, node.socket_of(local_rank), node.socket_of_port(port)),
        slot_links(node, index, port),
        wire,
    )


def inside_links(cluster: Cluster, source: int, target: int) -> tuple[Pair, ...]:
    """What a rank crosses to the hub of another device of its node: its own link, and the bridge where one lies
    between."""
    node, index, local_rank = cluster.place(source)
    _, _, other = cluster.place(target)
    own = hub_links(node, index, local_rank, source)
    return own, *_bridged(node, index, node.socket_of(local_rank), node.socket_of(other))


def leaf_pair(cluster: Cluster, source: int, target: int) -> Pair | None:
    """(up out of the leaf of `source`, down into that of `target`), None where both are below one leaf or there is
    none."""
    (node_a, a, local_a), (node_b, b, local_b) = cluster.place(source), cluster.place(target)
    ports = node_a.port_of(local_a), node_b.port_of(local_b)
    if not cluster.fabric.has_leaves or leaf_of(cluster, a, ports[0]) == leaf_of(cluster, b, ports[1]):
        return None
    return trunk_links(cluster, a, ports[0], b)[0], trunk_links(cluster, b, ports[1], b)[1]


def ends_at_port(pair: Pair) -> bool:
    """Whether a wire leads to a port, so that all it carries crosses the port's own wire as well."""
    return pair[0].target.endswith("/out")


def _bridged(node: NodeType, index: int, socket: int, other: int) -> tuple[Pair, ...]:
    return () if socket == other or node.fabric.sockets == 1 else (bridge_links(node, index, socket, other),)


def _socket(index: int, socket: int) -> str:
    return f"node{index}/socket{socket}"


def _pair(below: str, above: str, rate: int, latency_s: float) -> Pair:
    return Link(below, above, rate, latency_s), Link(above, below, rate, latency_s)


def _port_pair(below: str, index: int, port: int, rate: int) -> Pair:
    name = f"node{index}/port{port}"
    return Link(below, f"{name}/out", rate, 0.0), Link(f"{name}/in", below, rate, 0.0)

"""The links of a cluster: a directed networkx graph, and the route between two ranks by rule.

Ends are named gpu12, node1/switch, node1/port3/out, node1/port3/in and fabric. A port's two directions are two ends,
so that a message cannot turn round inside a NIC. A device reaches its port over its host link (PCIe); latency is
charged half to the first and half to the last wire of the node's or the cluster's fabric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.cluster import Cluster, Link, NodeType

if TYPE_CHECKING:
    import networkx


def route(cluster: Cluster, source: int, target: int) -> tuple[Link, ...]:
    """The links from one rank to another, in order; empty from a rank to itself."""
    if source == target:
        return ()
    (node_a, index_a, local_a), (node_b, index_b, local_b) = cluster.place(source), cluster.place(target)
    if index_a == index_b:
        up, _ = _switch_links(node_a, index_a, source)
        _, down = _switch_links(node_a, index_a, target)
        links = (up, down)
    else:
        pci_out, _ = _port_links(node_a, index_a, local_a, source)
        _, pci_in = _port_links(node_b, index_b, local_b, target)
        wire_out, _ = _wire_links(cluster, node_a, index_a, node_a.port_of(local_a))
        _, wire_in = _wire_links(cluster, node_b, index_b, node_b.port_of(local_b))
        links = (pci_out, wire_out, wire_in, pci_in)
    stated = {(link.source, link.target): link for link in cluster.links}
    return tuple(stated.get((link.source, link.target), link) for link in links)


def cluster_graph(cluster: Cluster) -> networkx.DiGraph:
    """Every end and link; edges carry capacity_bytes_per_s and latency_s."""
    import networkx

    graph = networkx.DiGraph()
    links: list[Link] = []
    rank, index = 0, 0
    for node, count in cluster.groups:
        for _ in range(count):
            for local_rank in range(node.gpus):
                graph.add_node(f"gpu{rank}", rank=rank, device=node.device.name)
                if node.gpus > 1:
                    links.extend(_switch_links(node, index, rank))
                if node.ports:
                    links.extend(_port_links(node, index, local_rank, rank))
                rank += 1
            for port in range(node.ports):
                links.extend(_wire_links(cluster, node, index, port))
            index += 1
    for link in (*links, *cluster.links):
        graph.add_edge(
            link.source, link.target, capacity_bytes_per_s=link.capacity_bytes_per_s, latency_s=link.latency_s
        )
    return graph


def _switch_links(node: NodeType, index: int, rank: int) -> tuple[Link, Link]:
    """A device to its node's switch, and back."""
    gpu, switch = f"gpu{rank}", f"node{index}/switch"
    rate, latency_s = node.fabric.gpu_bytes_per_s, node.fabric.latency_s / 2
    return Link(gpu, switch, rate, latency_s), Link(switch, gpu, rate, latency_s)


def _port_links(node: NodeType, index: int, local_rank: int, rank: int) -> tuple[Link, Link]:
    """A device to its port, and back. A device that owns several NICs has a host link to each: the port's own rate."""
    gpu, port = f"gpu{rank}", f"node{index}/port{node.port_of(local_rank)}"
    rate = max(node.device.host_link_bytes_per_s, node.port_bytes_per_s if node.nics > node.gpus else 0)
    return Link(gpu, f"{port}/out", rate, 0.0), Link(f"{port}/in", gpu, rate, 0.0)


def _wire_links(cluster: Cluster, node: NodeType, index: int, port: int) -> tuple[Link, Link]:
    """A port to the fabric, and back."""
    name, rate, latency_s = f"node{index}/port{port}", node.port_bytes_per_s, cluster.fabric.latency_s / 2
    return Link(f"{name}/out", "fabric", rate, latency_s), Link("fabric", f"{name}/in", rate, latency_s)

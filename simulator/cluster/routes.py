"""The links of a cluster as a directed networkx graph, and the route between two ranks by rule.

`wires.py` says what each link is; a test holds the rules to the graph. No route passes through a device: NCCL's
PXN, which hands a message to the device of the right rail, is not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.cluster import wires
from simulator.cluster.names import all_links
from simulator.cluster.parts import Link

if TYPE_CHECKING:
    import networkx

    from simulator.cluster.cluster import Cluster


def route(cluster: Cluster, source: int, target: int) -> tuple[Link, ...]:
    """The links from one rank to another, in order; empty from a rank to itself."""
    if source == target:
        return ()
    if cluster.node_of(source) == cluster.node_of(target):
        links = [pair[0] for pair in wires.inside_links(cluster, source, target)]
        links.append(wires.inside_links(cluster, target, target)[0][1])
    else:
        links = [pair[0] for pair in wires.out_links(cluster, source)]
        links += wires.leaf_pair(cluster, source, target) or ()
        links += [pair[1] for pair in reversed(wires.out_links(cluster, target))]
    return tuple(cluster.current(link) for link in links)


def cluster_graph(cluster: Cluster) -> networkx.DiGraph:
    """Every end and link; edges carry capacity_bytes_per_s and latency_s."""
    import networkx

    graph = networkx.DiGraph()
    for rank in range(cluster.gpus):
        graph.add_node(f"gpu{rank}", rank=rank, device=cluster.device_of(rank).name)
    for link in map(cluster.current, all_links(cluster)):
        graph.add_edge(
            link.source, link.target, capacity_bytes_per_s=link.capacity_bytes_per_s, latency_s=link.latency_s
        )
    return graph

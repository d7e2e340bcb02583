"""Routes by rule against the graph: the same links that networkx finds, and every link one way with a rate."""

import networkx
import pytest

from simulator.cluster import Cluster, Fabric, Link
from simulator.registry import topology

CLUSTERS = {
    "dgx_a100": topology("dgx_a100", nodes=3),
    "shared nics": topology("dgx_a100", nodes=2, nics_per_node=4, nic_gbit_per_s=400),
    "one nic": topology("dgx_h100", nodes=2, nics_per_node=1),
    "several nics a gpu": topology("dgx_h100", nodes=2, gpus_per_node=4, nics_per_node=8),
    "one gpu a node": topology("dgx_a100", nodes=4, gpus_per_node=1),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_route_is_the_only_shortest_path(name):
    cluster = CLUSTERS[name]
    graph = cluster.graph()
    for source in range(cluster.gpus):
        for target in range(cluster.gpus):
            route = cluster.route(source, target)
            if source == target:
                assert route == ()
                continue
            paths = list(networkx.all_shortest_paths(graph, f"gpu{source}", f"gpu{target}"))
            assert [[link.source for link in route] + [route[-1].target]] == paths
            for link in route:
                edge = graph.edges[link.source, link.target]
                assert edge["capacity_bytes_per_s"] == link.capacity_bytes_per_s
                assert edge["latency_s"] == link.latency_s


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_routes_latency_is_that_of_its_fabric(name):
    cluster = CLUSTERS[name]
    last = cluster.gpus - 1
    assert sum(link.latency_s for link in cluster.route(0, last)) == pytest.approx(cluster.fabric.latency_s)
    if cluster.node_type.gpus > 1:
        within = sum(link.latency_s for link in cluster.route(0, 1))
        assert within == pytest.approx(cluster.node_type.fabric.latency_s)


def test_the_sends_of_a_node_meet_on_its_one_nic():
    """All eight GPUs of node 0 leave through the same wire: the trap of N-1 sends at full rate each."""
    cluster = CLUSTERS["one nic"]
    wires = {cluster.route(rank, 8 + rank)[1] for rank in range(8)}
    assert len(wires) == 1
    assert wires.pop().capacity_bytes_per_s == cluster.node_type.node_bytes_per_s


def test_both_directions_of_a_wire_are_links_of_their_own():
    cluster = CLUSTERS["dgx_a100"]
    out, back = cluster.route(0, 8), cluster.route(8, 0)
    assert not set(out) & set(back)


def test_a_pairs_static_share_is_what_its_route_can_carry():
    for cluster in CLUSTERS.values():
        node = cluster.node_type
        far = cluster.span((0, node.gpus)).node_bytes_per_s
        assert far <= min(link.capacity_bytes_per_s for link in cluster.route(0, node.gpus))


def test_a_stated_link_replaces_the_one_of_the_same_ends():
    plain = CLUSTERS["dgx_a100"]
    slow = Link("node0/port0/out", "fabric", 10**9, 1e-6)
    degraded = Cluster(plain.groups, Fabric(plain.fabric.latency_s), links=(slow,))
    assert slow in degraded.route(0, 8)
    assert degraded.graph().edges["node0/port0/out", "fabric"]["capacity_bytes_per_s"] == 10**9
    assert degraded.route(1, 9) == plain.route(1, 9)

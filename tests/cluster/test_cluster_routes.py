"""Routes by rule against the graph: the same links that networkx finds, and every link one way with a rate."""

import networkx
import pytest
from rooms import ROOMS

from simulator.cluster import Cluster, Fabric, Link
from simulator.cluster.names import all_links, find_link, links_at


def without_relays(graph, *ranks):
    """The graph without the devices that a message does not begin or end at."""
    kept = {f"gpu{rank}" for rank in ranks}
    return graph.subgraph(end for end in graph if not end.startswith("gpu") or end in kept)


@pytest.mark.parametrize("name", ROOMS)
def test_every_route_is_a_shortest_path_and_the_only_one_where_nothing_chooses(name):
    """Spines and the NICs of a socket leave a choice: the destination makes the one, one's own NIC is the other."""
    cluster = ROOMS[name]
    chooses = cluster.fabric.spines or any(node.fabric.carries_nics and node.ports > 1 for node, _ in cluster.groups)
    graph = cluster.graph()
    for source in range(cluster.gpus):
        for target in range(cluster.gpus):
            route = cluster.route(source, target)
            if source == target:
                assert route == ()
                continue
            found = without_relays(graph, source, target)
            paths = list(networkx.all_shortest_paths(found, f"gpu{source}", f"gpu{target}"))
            path = [link.source for link in route] + [route[-1].target]
            assert path in paths if chooses else [path] == paths
            for link in route:
                edge = graph.edges[link.source, link.target]
                assert edge["capacity_bytes_per_s"] == link.capacity_bytes_per_s
                assert edge["latency_s"] == link.latency_s


@pytest.mark.parametrize("name", ROOMS)
def test_every_link_of_the_graph_is_found_by_its_name_with_its_capacity(name):
    cluster = ROOMS[name]
    graph = cluster.graph()
    links = list(all_links(cluster))
    assert {link.name for link in links} == {f"{source}>{target}" for source, target in graph.edges}
    assert len(links) == graph.number_of_edges()
    for source, target, edge in graph.edges(data=True):
        assert cluster.link_capacity(f"{source}>{target}") == edge["capacity_bytes_per_s"] > 0
        assert type(cluster.link_capacity(f"{source}>{target}")) is int
    for end in graph:
        touching = {f"{a}>{b}" for a, b in (*graph.in_edges(end), *graph.out_edges(end))}
        assert {link.name for link in links_at(cluster, end)} == touching


@pytest.mark.parametrize("name", ROOMS)
def test_every_wire_has_both_directions_at_the_same_rate_unless_degraded(name):
    cluster = ROOMS[name]
    for link in all_links(cluster):
        back = find_link(cluster, f"{link.target}>{link.source}") if "/port" not in link.name else None
        assert back is None or back.capacity_bytes_per_s == link.capacity_bytes_per_s


@pytest.mark.parametrize(
    "missing", ["gpu99>node0/switch", "gpu0>node1/switch", "leaf9>core", "nonsense", "fabric>", ""]
)
def test_a_link_that_is_not_there_is_not_found(missing):
    with pytest.raises(ValueError, match="no link"):
        ROOMS["fat tree"].link_capacity(missing)


@pytest.mark.parametrize("name", ROOMS)
def test_a_routes_latency_is_that_of_its_fabric(name):
    """Half at each end; a PCIe box adds half of its own on the way to the network."""
    cluster = ROOMS[name]
    last = cluster.gpus - 1
    ends = [cluster.place(rank)[0].fabric for rank in (0, last)]
    own = sum(fabric.latency_s / 2 for fabric in ends if fabric.kind == "pcie")
    assert sum(link.latency_s for link in cluster.route(0, last)) == pytest.approx(cluster.fabric.latency_s + own)
    if cluster.place(0)[0].gpus > 1:
        within = sum(link.latency_s for link in cluster.route(0, 1))
        assert within == pytest.approx(cluster.place(0)[0].fabric.latency_s)


def test_the_sends_of_a_node_meet_on_its_one_nic():
    """All eight GPUs of node 0 leave through the same wire: the trap of N-1 sends at full rate each."""
    cluster = ROOMS["one nic"]
    wires = {cluster.route(rank, 8 + rank)[1] for rank in range(8)}
    assert len(wires) == 1
    assert wires.pop().capacity_bytes_per_s == cluster.node_type.node_bytes_per_s


def test_both_directions_of_a_wire_are_links_of_their_own():
    cluster = ROOMS["dgx_a100"]
    out, back = cluster.route(0, 8), cluster.route(8, 0)
    assert not set(out) & set(back)


def test_messages_to_a_device_and_to_a_nic_meet_on_the_pcie_link():
    cluster = ROOMS["pcie, two sockets"]
    assert cluster.route(0, 1)[0] == cluster.route(0, 4)[0]
    assert cluster.route(0, 1)[0].name == "gpu0>node0/socket0"
    assert [link.name for link in cluster.route(0, 3)] == [
        "gpu0>node0/socket0", "node0/socket0>node0/socket1", "node0/socket1>gpu3",
    ]  # fmt: skip


def test_a_rail_stays_below_its_leaf_and_another_rail_goes_over_the_core():
    cluster = ROOMS["rails"]
    assert "pod0/rail1" in {link.target for link in cluster.route(1, 5)}
    assert not any("core" in link.name for link in cluster.route(1, 5))
    assert [link.name for link in cluster.route(1, 6) if "core" in link.name] == [
        "pod0/rail1>core", "core>pod0/rail2",
    ]  # fmt: skip
    assert any("core" in link.name for link in cluster.route(1, 13)), "another pod"


def test_the_destination_picks_the_spine():
    """Deterministic ECMP: node modulo 3, whoever sends; what shares a destination shares its spine."""
    cluster = ROOMS["fat tree with spines"]
    for source in range(0, 8):  # nodes 0 and 1, below leaf 0
        for target in range(8, 24):
            spine = f"spine{target // 4 % 3}"
            leaf = target // 8
            names = [link.name for link in cluster.route(source, target)]
            assert names[2:4] == [f"leaf0>{spine}", f"{spine}>leaf{leaf}"]


def test_a_stated_link_replaces_the_one_of_the_same_ends():
    plain = ROOMS["dgx_a100"]
    slow = Link("node0/port0/out", "fabric", 10**9, 1e-6)
    degraded = Cluster(plain.groups, Fabric(plain.fabric.latency_s), links=(slow,))
    assert slow in degraded.route(0, 8)
    assert degraded.graph().edges["node0/port0/out", "fabric"]["capacity_bytes_per_s"] == 10**9
    assert degraded.route(1, 9) == plain.route(1, 9)

"""What a group of ranks finds between its members: the rule against the graph, units, no cost that grows with size."""

import time

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rooms import FOUR, ROOMS, nodes_of, tree

from simulator.cluster import Cluster, Fabric
from simulator.layout import Layout
from simulator.registry import topology


def by_node(cluster, group):
    members = {}
    for rank in group:
        members.setdefault(cluster.node_of(rank), []).append(rank)
    return list(members.values())


def ring(items):
    return list(zip(items, [*items[1:], *items[:1]], strict=True))


def most_between(cluster, senders, receivers):
    """Maximum flow from the members on one node to those on another over the routes between them."""
    graph = networkx.DiGraph()
    for source in senders:
        graph.add_edge("from", f"gpu{source}")
        for target in receivers:
            graph.add_edge(f"gpu{target}", "to")
            for link in cluster.route(source, target):
                graph.add_edge(link.source, link.target, capacity=link.capacity_bytes_per_s)
    return networkx.maximum_flow_value(graph, "from", "to")


def check(cluster, group):
    """The span that the rule gives is what enumeration of members, routes and cuts gives."""
    span, nodes = cluster.span(group), by_node(cluster, group)
    assert (span.size, span.nodes, span.per_node) == (len(group), len(nodes), max(map(len, nodes)))
    routes = {(a, b): cluster.route(a, b) for a in group for b in group if a != b}
    latency = {
        (a, b): (cluster.node_of(a) == cluster.node_of(b), sum(link.latency_s for link in route))
        for (a, b), route in routes.items()
    }
    if span.per_node > 1:
        inside = [min(link.capacity_bytes_per_s for a, b in ring(own) for link in routes[a, b])
                  for own in nodes if len(own) > 1]  # fmt: skip
        assert span.intra_bytes_per_s == min(inside)
        assert span.intra_latency_s == pytest.approx(max(s for same, s in latency.values() if same))
    if len(nodes) == 1:
        assert span.node_bytes_per_s == 0
        return
    assert span.inter_latency_s == pytest.approx(max(s for same, s in latency.values() if not same))
    assert span.node_bytes_per_s == min(most_between(cluster, a, b) for a, b in ring(nodes))


@pytest.mark.parametrize("name", ROOMS)
def test_the_span_of_every_block_and_stride_is_what_the_graph_gives(name):
    cluster = ROOMS[name]
    for step in range(1, cluster.gpus):
        for first in range(0, cluster.gpus - step, 3):
            for size in {2, 3, (cluster.gpus - first - 1) // step + 1}:
                group = range(first, cluster.gpus, step)[:size]
                if len(group) > 1:
                    check(cluster, group)


@given(st.data())
def test_the_span_of_any_group_is_what_the_graph_gives(data):
    cluster = ROOMS[data.draw(st.sampled_from(sorted(ROOMS)), label="room")]
    group = data.draw(st.sets(st.integers(0, cluster.gpus - 1), min_size=1), label="group")
    check(cluster, tuple(sorted(group)))


@given(
    gpus=st.sampled_from([1, 2, 3, 4, 6, 8]), nodes=st.integers(1, 150),
    kind=st.sampled_from(["fat_tree", "rail_optimized"]), below=st.integers(1, 5),
    over=st.sampled_from([1.0, 1.5, 4.0]), spines=st.sampled_from([0, 2]), data=st.data(),
)  # fmt: skip
def test_a_range_is_the_tuple_of_its_members(gpus, nodes, kind, below, over, spines, data):
    """The range looks at a few nodes and at those with slow links, the tuple at each of them."""
    node = nodes_of(gpus, data.draw(st.sampled_from([n for n in (1, 2, 4, 8) if gpus % n == 0 or n % gpus == 0])))
    cluster = Cluster(((node, nodes),), tree(kind, below, over, spines))
    for index in data.draw(st.lists(st.integers(0, nodes - 1), max_size=3), label="nodes with slow links"):
        links = cluster.links_at(f"node{index}")
        cluster = cluster.degraded(data.draw(st.lists(st.sampled_from(links), min_size=1, max_size=4)), 7.0)
    first = data.draw(st.integers(0, cluster.gpus - 1))
    group = range(first, data.draw(st.integers(first + 1, cluster.gpus)), data.draw(st.integers(1, 2 * gpus + 1)))
    assert cluster.span(group) == cluster.span(tuple(group))
    assert cluster.span(group[::-1]) == cluster.span(group)


@pytest.mark.parametrize("slow", range(60, 66))
def test_what_is_looked_at_around_a_slow_link_is_whole_nodes(slow):
    """Every third rank of nodes of 8: two or three members a node. A slow NVLink takes nothing from the ports."""
    plain = Cluster(((nodes_of(8, 8), 150),), Fabric(1e-6))
    cluster = plain.degraded(plain.links_at(f"node{slow}/switch"), 2.0)
    span = cluster.span(range(0, cluster.gpus, 3))
    assert span.node_bytes_per_s == 2 * 25 * 10**9
    assert span.intra_bytes_per_s == 150 * 10**9
    place = -8 * slow % 3  # of the node's first member: 0 and 1 have three, 2 has two
    port = plain.degraded(plain.links_at(f"node{slow}/port{place}"), 2.0).span(range(0, plain.gpus, 3))
    assert port.node_bytes_per_s == (1.5 if place == 2 else 2) * 25 * 10**9


def test_a_range_over_narrow_rails_looks_at_every_edge_of_a_pod():
    """Every third of 8 ranks on 4 NICs: nodes own ports 0 1 3, 0 2 3 and 1 2 in turn. Pods of 48 nodes at 96:1, half a
    port up each rail. Node 47 owns two ports and its next is in another pod: one port's rate, and no such pair is near
    the ends of the range."""
    cluster = Cluster(((nodes_of(8, 4), 96),), tree("rail_optimized", 48, 96.0))
    group = range(0, 68 * 8, 3)
    assert cluster.span(group).node_bytes_per_s == 25 * 10**9
    assert cluster.span(group[:96]).node_bytes_per_s == 37_500_000_000, (
        "36 nodes of one pod: a rail stays below its leaf"
    )


@given(
    gpus=st.sampled_from([1, 2, 4, 6, 8]), tensor=st.integers(1, 9), data=st.integers(1, 9), pipeline=st.integers(1, 4),
    kind=st.sampled_from(["tensor", "data", "table", "pipeline", "tied"]), period=st.integers(0, 3),
)  # fmt: skip
def test_groups_a_period_apart_have_the_same_span(gpus, tensor, data, pipeline, kind, period):
    """What folding rests on: shifting a group by a multiple of the symmetry period changes nothing it finds."""
    layout = Layout(tensor, 1, data, pipeline)
    cluster = Cluster(((nodes_of(gpus, gpus), -(-layout.ranks // gpus)),), tree("fat_tree", 2, 2.0, spines=2))
    shift = period * cluster.symmetry_period
    for rank in range(layout.ranks):
        group = layout.group(kind, rank)
        moved = tuple(member + shift for member in group)
        if moved[-1] < cluster.gpus:
            assert cluster.span(moved) == cluster.span(group)


def test_a_group_inside_a_node_has_the_switch_and_no_nic():
    span = topology("dgx_a100", nodes=2).span(range(8, 16))
    assert (span.size, span.nodes, span.per_node) == (8, 1, 8)
    assert span.intra_bytes_per_s == 300 * 10**9
    assert span.node_bytes_per_s == 0


def test_vendors_gbit_are_ten_to_the_nine_bits():
    """200 Gb/s HDR is 25e9 bytes/s; 600 GB/s NVLink is both ways together, 300e9 bytes/s each way."""
    node = topology("dgx_a100").node_type
    assert node.nic_bytes_per_s == 25_000_000_000
    assert node.fabric.gpu_bytes_per_s == 300_000_000_000
    assert topology("dgx_h100").node_type.node_bytes_per_s == 400_000_000_000


def test_memory_of_80_gb_is_an_allocators_80_gib():
    assert topology("single_gpu", device="h100_sxm5_80gb").device_of(0).memory_bytes == 85_899_345_920


def test_one_gpu_sends_through_its_own_nic_not_the_nodes_total():
    box = topology("dgx_h100", nodes=2)
    assert box.span((0, 8)).node_bytes_per_s == 50 * 10**9
    assert box.span((7, 8)).node_bytes_per_s == 50 * 10**9


def test_all_members_of_a_node_together_have_all_its_nics():
    assert topology("dgx_h100", nodes=4).span(range(32)).node_bytes_per_s == 400 * 10**9


def test_two_members_that_share_a_nic_have_it_once():
    """p4d: 4 cards for 8 GPUs, in pairs. Ranks 0 and 1 own one card together, 0 and 2 one each."""
    box = topology("p4d", nodes=2)
    assert box.span((0, 8)).node_bytes_per_s == 12_500_000_000
    assert box.span((0, 1, 8, 9)).node_bytes_per_s == 12_500_000_000
    assert box.span((0, 2, 8, 10)).node_bytes_per_s == 25_000_000_000


def test_a_gpu_with_several_nics_uses_them_together():
    """p5: 32 x 100 Gb/s for 8 GPUs, 400 Gb/s each."""
    assert topology("p5", nodes=2).span((0, 8)).node_bytes_per_s == 50 * 10**9


def test_the_poorest_node_counts():
    """Two members on node 0, one on node 1: a ring passes as much through each."""
    assert ROOMS["dgx_a100"].span((6, 7, 8)).node_bytes_per_s == 25 * 10**9


def test_an_oversubscribed_leaf_limits_whom_it_parts_and_nobody_else():
    """Two nodes of 4 x 25 GB/s below a leaf, 4:1: 50 GB/s leave it, and a node alone has 100 to its neighbour."""
    room = ROOMS["fat tree"]
    assert room.span(range(8)).node_bytes_per_s == 100 * 10**9
    assert room.span(range(12)).node_bytes_per_s == 50 * 10**9
    assert room.span((0, 8)).node_bytes_per_s == 25 * 10**9, "one port is less than the leaf's links"


def test_one_spine_carries_what_goes_to_one_node():
    """200 GB/s below each leaf, 1.5:1, three spines: 44 GB/s to each, and a node is reached by one of them."""
    assert ROOMS["fat tree with spines"].span(range(24)).node_bytes_per_s == 200 * 10**9 // 1.5 // 3


def test_nvlink_and_pcie_are_bridged_at_the_bridges_rate():
    """24 GB/s of PCIe each, 20 GB/s between the sockets: a ring over both has the bridge, one inside a socket not."""
    room = ROOMS["pcie, two sockets"]
    assert room.span((0, 1)).intra_bytes_per_s == 24 * 10**9
    assert room.span(range(4)).intra_bytes_per_s == 20 * 10**9
    assert room.span((0, 4)).node_bytes_per_s == 24 * 10**9, "25 GB/s of NIC behind 24 GB/s of PCIe"


def test_a_million_gpus_cost_as_much_as_eight():
    for box in (topology("dgx_h100", nodes=131_072), Cluster(((FOUR, 262_144),), tree("fat_tree", 8, 2.0, spines=4)),
                Cluster(((FOUR, 262_144),), tree("rail_optimized", 32, 2.0))):  # fmt: skip
        begin = time.process_time()
        for first in range(100):
            box.span(range(first, 1_048_576, 128))
            box.span(range(first, 1_048_576))
            box.rank_links(1_048_575 - first)
        assert time.process_time() - begin < 1.0
    box = topology("dgx_h100", nodes=131_072)
    assert box.span(range(1_048_576)).nodes == 131_072
    assert box.node_of(1_048_575) == 131_071


def test_ranks_fill_mixed_nodes_in_the_listed_order():
    small, big = nodes_of(4, 4, nic_bytes_per_s=10**9), topology("dgx_a100").node_type
    box = Cluster(((big, 2), (small, 2)), Fabric(1e-6))
    assert (box.gpus, box.nodes, box.is_mixed, box.is_uniform) == (24, 4, True, False)
    assert [box.node_of(rank) for rank in (0, 15, 16, 20)] == [0, 1, 2, 3]
    assert box.device_of(15).name == "a100_sxm4_80gb"
    assert box.device_of(16).name == "chip"
    assert box.span(range(24)).node_bytes_per_s == 4 * 10**9, "the slower nodes pace the ring"
    assert box.span(range(16)).node_bytes_per_s == 200 * 10**9
    for rank in (-1, 24):
        with pytest.raises(ValueError, match=f"rank {rank}"):
            box.node_of(rank)


def test_a_siblings_memory_is_scaled_by_the_datasheets():
    chip = topology("dgx_a100_40gb").device_of(0)
    assert chip.profile == "a100_sxm4_80gb"
    assert chip.memory_scale == pytest.approx(1555 / 2039)
    assert topology("dgx_a100").device_of(0).memory_scale == 1.0

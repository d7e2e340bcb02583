"""The links that a rank's own traffic crosses: with those of its peer they are the route."""

import pytest
from rooms import ROOMS, slowed

from simulator.cluster import Cluster, Fabric
from simulator.cluster.names import all_links
from simulator.registry import topology


@pytest.mark.parametrize("name", ROOMS)
def test_the_two_sides_of_a_message_are_its_route_less_what_never_limits(name):
    cluster = ROOMS[name]
    for source in range(cluster.gpus):
        for target in range(cluster.gpus):
            route = cluster.route(source, target)
            sides = (*cluster.sender_links(source, target), *cluster.receiver_links(source, target))
            left_out = [link for link in route if link.name not in sides]
            assert [link.name for link in route if link not in left_out] == list(sides)
            for link in left_out:  # leads to a port, or from it, and is no slower than the port's own wire
                assert "/port" in link.name
                port = link.target if "/port" in link.target else link.source
                wire = next(one for one in route if one is not link and port in (one.source, one.target))
                assert link.capacity_bytes_per_s >= wire.capacity_bytes_per_s


@pytest.mark.parametrize("name", ROOMS)
def test_a_ranks_links_are_links_of_the_graph(name):
    cluster = ROOMS[name]
    names = {link.name for link in all_links(cluster)}
    for rank in range(cluster.gpus):
        own = cluster.rank_links(rank)
        single = (own.up, own.down, own.port_out, own.port_in, own.leaf_up, own.leaf_down)
        assert {one for one in (*single, *own.out, *own.into) if one is not None} <= names
        for peer in range(cluster.gpus):
            if cluster.node_of(peer) != cluster.node_of(rank):
                leaves = cluster.leaf_links(rank, peer)
                up, down = leaves or (None, None)
                assert cluster.sender_links(rank, peer) == (*own.out, *filter(None, [up]))
                assert cluster.receiver_links(peer, rank)[-len(own.into) :] == own.into
                assert up in (None, own.leaf_up) or cluster.fabric.spines
                assert down in (None, cluster.rank_links(peer).leaf_down) or cluster.fabric.spines


def test_names_of_a_dgx():
    links = ROOMS["dgx_a100"].rank_links(11)
    assert (links.up, links.down) == ("gpu11>node1/switch", "node1/switch>gpu11")
    assert (links.port_out, links.port_in) == ("node1/port3/out>fabric", "fabric>node1/port3/in")
    assert (links.leaf_up, links.leaf_down) == (None, None)
    assert (links.out, links.into) == ((links.port_out,), (links.port_in,)), "PCIe feeds the port, and no more"


def test_in_a_pcie_box_what_leaves_the_node_crosses_the_gpus_own_link():
    links = ROOMS["pcie, nic behind the bridge"].rank_links(3)
    assert links.out == (
        "gpu3>node0/socket1", "node0/socket1>node0/socket0", "node0/port0/out>leaf0",
    )  # fmt: skip
    assert links.into == (
        "leaf0>node0/port0/in", "node0/socket0>node0/socket1", "node0/socket1>gpu3",
    )  # fmt: skip


def test_a_device_alone_in_its_node_has_no_switch():
    links = ROOMS["one gpu a node"].rank_links(2)
    assert (links.up, links.down, links.port_out) == (None, None, "node2/port0/out>fabric")


def test_a_device_without_a_nic_has_no_port():
    links = topology("cpu_host", gpus_per_node=2).rank_links(1)
    assert (links.up, links.port_out, links.out, links.into) == ("gpu1>node0/switch", None, (), ())


def test_a_degraded_feed_of_a_port_limits():
    """A wire that feeds a port counts as soon as it is slower than the port."""
    plain = ROOMS["dgx_a100"]
    slow = slowed(plain, {"gpu2>node0/port2/out": 4})
    assert slow.rank_links(2).out == ("gpu2>node0/port2/out", "node0/port2/out>fabric")
    assert slow.link_capacity("gpu2>node0/port2/out") == 8 * 10**9
    assert slow.rank_links(1) == plain.rank_links(1)
    assert slow.span((2, 10)).node_bytes_per_s == 8 * 10**9
    assert slow.span((1, 9)).node_bytes_per_s == 25 * 10**9


@pytest.mark.parametrize(("factor", "left"), [(4, 75 * 10**9), (0.5, 150 * 10**9), (1, 300 * 10**9), (1e30, 1)])
def test_a_factor_is_how_many_times_slower_or_below_1_the_share_that_is_left(factor, left):
    slow = slowed(ROOMS["dgx_a100"], {"gpu0>node0/switch": factor})
    assert slow.link_capacity("gpu0>node0/switch") == left
    assert slow.link_capacity("node0/switch>gpu0") == 300 * 10**9, "the other direction is another link"


def test_degrading_twice_multiplies():
    room = slowed(slowed(ROOMS["dgx_a100"], {"gpu0>node0/switch": 2}), {"gpu0>node0/switch": 3})
    assert room.link_capacity("gpu0>node0/switch") == 50 * 10**9
    assert len(room.links) == 1


@pytest.mark.parametrize(
    ("room", "ranks"),
    [("dgx_a100", 8), ("fat tree", 8), ("fat tree, last leaf half full", 20), ("fat tree with spines", 24),
     ("rails", 12), ("narrow rails", 20), ("pcie", 4), ("mixed", 22), ("slow links", 24)],
)  # fmt: skip
def test_the_symmetry_period(room, ranks):
    """A node, the nodes below a leaf (2 of 4 GPUs), with 3 spines 6 nodes, or nothing repeats."""
    assert ROOMS[room].symmetry_period == ranks


def test_one_leaf_alone_parts_nobody():
    room = ROOMS["fat tree"]
    assert Cluster(((room.node_type, 2),), room.fabric).symmetry_period == 4


@pytest.mark.parametrize("name", ROOMS)
def test_a_shift_by_the_period_renames_links_and_keeps_their_rates(name):
    """Every rank's links have the capacities of those of the rank one period on, and so has each pair's route."""
    cluster = ROOMS[name]
    period = cluster.symmetry_period
    for source in range(cluster.gpus - period):
        for target in range(cluster.gpus - period):
            here, there = (cluster.route(a, b) for a, b in ((source, target), (source + period, target + period)))
            assert [link.capacity_bytes_per_s for link in here] == [link.capacity_bytes_per_s for link in there]


def test_a_fabric_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not a fabric"):
        Fabric(0.0, "torus")
    with pytest.raises(ValueError, match="nodes_per_leaf"):
        Fabric(0.0, "fat_tree")

"""What a group of ranks finds between its members: shares of the NICs, units, no cost that grows with the cluster."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cluster import Cluster, Device, Fabric, Link, NodeFabric, NodeType
from simulator.errors import NotSupportedYet
from simulator.layout import Layout
from simulator.registry import topology

CHIP = Device("chip", 2**30, 10**12, (("bf16", 1e14),), 32 * 10**9)


def cluster(nodes: int, gpus: int = 8, nics: int = 8, nic_bytes_per_s: int = 25 * 10**9) -> Cluster:
    node = NodeType(CHIP, gpus, nics, nic_bytes_per_s, NodeFabric("nvswitch", 300 * 10**9, 1e-6))
    return Cluster(((node, nodes),), Fabric(2e-6))


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


def test_a_nodes_simultaneous_sends_share_its_nics():
    """Eight groups with one member on each node cross at once: an eighth each, together no more than the node."""
    box = cluster(nodes=4, nics=1, nic_bytes_per_s=200 * 10**9)
    spans = [box.span(range(first, 32, 8)) for first in range(8)]
    assert {span.node_bytes_per_s for span in spans} == {25 * 10**9}
    assert sum(span.node_bytes_per_s for span in spans) == box.node_type.node_bytes_per_s


def test_four_nics_for_eight_gpus_are_shared_in_pairs():
    """p4d: 4 x 100 Gb/s. A lone member has half a NIC when its neighbour sends too, a whole one when it does not."""
    box = cluster(nodes=2, nics=4, nic_bytes_per_s=12_500_000_000)
    assert box.span((0, 8)).node_bytes_per_s == 6_250_000_000
    assert box.span((7, 8)).node_bytes_per_s == 12_500_000_000, "only 7 -> 8 crosses nodes when stages hold one GPU"
    assert [box.node_type.port_of(local) for local in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_gpu_with_several_nics_uses_them_together():
    """p5: 32 x 100 Gb/s for 8 GPUs, 400 Gb/s each."""
    assert cluster(nodes=2, nics=32, nic_bytes_per_s=12_500_000_000).span((0, 8)).node_bytes_per_s == 50 * 10**9


def test_half_of_a_node_has_half_of_its_nics():
    """Tensor 4 in nodes of 8, data parallel over nodes: groups of the data kind hold every fourth rank, two a node."""
    span = topology("dgx_a100", nodes=4).span(range(1, 32, 4))
    assert (span.nodes, span.per_node) == (4, 2)
    assert span.node_bytes_per_s == 2 * 25 * 10**9


def test_groups_that_do_not_cross_leave_their_nics_to_those_that_do():
    """Blocks of 3 on nodes of 8: only ranks 6, 7 | 8 cross first, so node 0 has two senders and node 1 has 8 and 15."""
    box = cluster(nodes=3, nics=1, nic_bytes_per_s=80 * 10**9)
    span = box.span(range(6, 9))
    assert span.nodes == 2
    assert span.node_bytes_per_s == 40 * 10**9, "node 1's one member shares with rank 15, which crosses to node 2"


@pytest.mark.parametrize("ranks", [range(0, 16, 2), (0, 2, 4, 6, 8, 10, 12, 14)])
def test_a_range_and_its_tuple_lie_on_the_same_nodes(ranks):
    span = cluster(nodes=2).span(ranks)
    assert (span.size, span.nodes, span.per_node) == (8, 2, 4)


@given(
    gpus=st.sampled_from([1, 2, 4, 6, 8]),
    tensor=st.integers(1, 9),
    data=st.integers(1, 9),
    pipeline=st.integers(1, 4),
    kind=st.sampled_from(["tensor", "data", "table", "pipeline"]),
)
def test_the_rule_counts_what_enumeration_counts(gpus, tensor, data, pipeline, kind):
    """Every group of the kind is listed, its crossing members counted node by node; the rule must find the same."""
    layout = Layout(tensor, 1, data, pipeline)
    box = cluster(nodes=-(-layout.ranks // gpus), gpus=gpus, nics=gpus)
    groups = sorted({tuple(layout.group(kind, rank)) for rank in range(layout.ranks)})
    for group in groups:
        span = box.span(layout.group(kind, group[0]))
        nodes = [rank // gpus for rank in group]
        assert span.nodes == len(set(nodes))
        assert span.per_node == max(nodes.count(node) for node in nodes)
        assert (span.node_bytes_per_s > 0) == (span.nodes > 1)
    crossing = [group for group in groups if box.span(group).nodes > 1]
    for node in range(box.nodes):
        used = sum(
            box.span(layout.group(kind, group[0])).node_bytes_per_s
            for group in crossing
            if any(rank // gpus == node for rank in group)
        )
        assert used <= box.node_type.node_bytes_per_s, "the shares of all groups at once never exceed the node"


def test_a_million_gpus_cost_as_much_as_eight():
    box = topology("dgx_h100", nodes=131_072)
    begin = time.perf_counter()
    for first in range(100):
        box.span(range(first, 1_048_576, 128))
        box.span(range(1_048_576))
    assert time.perf_counter() - begin < 0.5
    assert box.span(range(1_048_576)).nodes == 131_072
    assert box.node_of(1_048_575) == 131_071


def test_ranks_fill_mixed_nodes_in_the_listed_order():
    small = NodeType(CHIP, 4, 4, 10**9, NodeFabric("pcie", 10**10, 1e-6))
    big = topology("dgx_a100").node_type
    box = Cluster(((big, 2), (small, 2)), Fabric(1e-6))
    assert (box.gpus, box.nodes, box.is_mixed) == (24, 4, True)
    assert [box.node_of(rank) for rank in (0, 15, 16, 20)] == [0, 1, 2, 3]
    assert box.device_of(15).name == "a100_sxm4_80gb"
    assert box.device_of(16) is CHIP
    with pytest.raises(NotSupportedYet, match="mixed clusters"):
        box.span(range(24))
    with pytest.raises(ValueError, match="rank 24"):
        box.node_of(24)


@pytest.mark.parametrize(
    "changed",
    [
        {"fabric": Fabric(1e-6, kind="fat_tree", oversubscription=2.0)},
        {"links": (Link("fabric", "node0/port0/in", 10**9, 0.0),)},
    ],
)
def test_networks_that_block_are_refused_not_ignored(changed):
    plain = cluster(2)
    with pytest.raises(NotSupportedYet):
        Cluster(plain.groups, **{"fabric": plain.fabric, **changed}).span(range(16))


def test_a_siblings_memory_is_scaled_by_the_datasheets():
    chip = topology("dgx_a100_40gb").device_of(0)
    assert chip.profile == "a100_sxm4_80gb"
    assert chip.memory_scale == pytest.approx(1555 / 2039)
    assert topology("dgx_a100").device_of(0).memory_scale == 1.0

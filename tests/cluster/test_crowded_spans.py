"""Static division of a node's NICs among groups that all send at once: what stands in for link sharing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rooms import ROOMS, nodes_of

from simulator.cluster import Cluster, Fabric
from simulator.errors import NotSupportedYet
from simulator.layout import Layout
from simulator.registry import topology


def cluster(nodes: int, gpus: int = 8, nics: int = 8, nic_bytes_per_s: int = 25 * 10**9) -> Cluster:
    return Cluster(((nodes_of(gpus, nics, nic_bytes_per_s=nic_bytes_per_s), nodes),), Fabric(2e-6))


def test_a_nodes_simultaneous_sends_share_its_nics():
    """Eight groups with one member on each node cross at once: an eighth each, together no more than the node."""
    box = cluster(nodes=4, nics=1, nic_bytes_per_s=200 * 10**9)
    spans = [box.crowded_span(range(first, 32, 8)) for first in range(8)]
    assert {span.node_bytes_per_s for span in spans} == {25 * 10**9}
    assert sum(span.node_bytes_per_s for span in spans) == box.node_type.node_bytes_per_s


def test_four_nics_for_eight_gpus_are_shared_in_pairs():
    """p4d: 4 x 100 Gb/s. A lone member has half a NIC when its neighbour sends too, a whole one when it does not."""
    box = cluster(nodes=2, nics=4, nic_bytes_per_s=12_500_000_000)
    assert box.crowded_span((0, 8)).node_bytes_per_s == 6_250_000_000
    assert box.crowded_span((7, 8)).node_bytes_per_s == 12_500_000_000, (
        "only 7 -> 8 crosses nodes when stages hold one GPU"
    )
    assert [box.node_type.port_of(local) for local in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_half_of_a_node_has_half_of_its_nics():
    """Tensor 4 in nodes of 8, data parallel over nodes: groups of the data kind hold every fourth rank, two a node."""
    span = topology("dgx_a100", nodes=4).crowded_span(range(1, 32, 4))
    assert (span.nodes, span.per_node) == (4, 2)
    assert span.node_bytes_per_s == 2 * 25 * 10**9


def test_groups_that_do_not_cross_leave_their_nics_to_those_that_do():
    """Blocks of 3 on nodes of 8: only ranks 6, 7 | 8 cross first, so node 0 has two senders and node 1 has 8 and 15."""
    box = cluster(nodes=3, nics=1, nic_bytes_per_s=80 * 10**9)
    span = box.crowded_span(range(6, 9))
    assert span.nodes == 2
    assert span.node_bytes_per_s == 40 * 10**9, "node 1's one member shares with rank 15, which crosses to node 2"


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
        span = box.crowded_span(layout.group(kind, group[0]))
        nodes = [rank // gpus for rank in group]
        assert span.nodes == len(set(nodes))
        assert span.per_node == max(nodes.count(node) for node in nodes)
        assert (span.node_bytes_per_s > 0) == (span.nodes > 1)
    crossing = [group for group in groups if box.crowded_span(group).nodes > 1]
    for node in range(box.nodes):
        used = sum(
            box.crowded_span(layout.group(kind, group[0])).node_bytes_per_s
            for group in crossing
            if any(rank // gpus == node for rank in group)
        )
        assert used <= box.node_type.node_bytes_per_s, "the shares of all groups at once never exceed the node"


@pytest.mark.parametrize("name", ["fat tree", "rails", "pcie", "mixed", "slow links"])
def test_networks_that_block_are_refused_not_ignored(name):
    with pytest.raises(NotSupportedYet):
        ROOMS[name].crowded_span(range(8))


def test_a_pairs_share_is_what_its_route_can_carry():
    for name in ("dgx_a100", "shared nics", "one nic", "several nics a gpu", "one gpu a node"):
        node = ROOMS[name].node_type
        far = ROOMS[name].crowded_span((0, node.gpus)).node_bytes_per_s
        assert far <= min(link.capacity_bytes_per_s for link in ROOMS[name].route(0, node.gpus))

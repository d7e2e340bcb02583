"""What collectives put on links: bytes in closed form, and how they fit into the op's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cluster import GroupSpan
from simulator.costs.algorithm_rules import Switches
from simulator.costs.traffic import (
    direct_traffic,
    halving_doubling_traffic,
    hierarchical_traffic,
    in_switch_traffic,
    ring_traffic,
)
from simulator.model.work import Kernel
from simulator.network import direct_all_to_all, halving_doubling_all_reduce, ring_all_reduce
from simulator.units import MIB

MACHINES = st.sampled_from(("a100_sxm4_80gb", "h100_sxm5_80gb"))
OPS = st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"])
GROUPS = st.sampled_from([range(2), range(8), range(16), range(128), range(0, 128, 8), range(0, 16, 4), (0, 8)])
RING_SHARE = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1}


@pytest.mark.parametrize("op", RING_SHARE)
@pytest.mark.parametrize("ranks", [range(8), range(32), range(0, 128, 8)])
def test_a_ring_sends_n_minus_1_pieces_from_each_member_and_as_much_from_each_node(pricers, op, ranks):
    pricer = pricers["a100_sxm4_80gb"]
    n, span = len(ranks), pricer.cluster.span(ranks)
    traffic = pricer.collective(op, 512 * MIB, span, "ring").traffic
    assert traffic.member_bytes == RING_SHARE[op] * (n - 1) * 512 * MIB // n
    assert traffic.node_bytes == (traffic.member_bytes if span.nodes > 1 else 0)
    assert traffic.pattern == "ring"


def test_a_tree_sends_a_message_between_two_nodes_and_two_between_more(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    for ranks, node in ((range(16), 1), (range(32), 2), (range(0, 16, 8), 1)):
        traffic = pricer.collective("all_reduce", MIB, pricer.cluster.span(ranks), "tree").traffic
        assert (traffic.member_bytes, traffic.node_bytes) == ((2 if len(ranks) > 2 else 1) * MIB, node * MIB)


def test_an_all_to_all_sends_an_nth_to_each_other_and_out_of_a_node_what_is_not_for_it(pricers):
    pricer = pricers["h100_sxm5_80gb"]
    traffic = pricer.collective("all_to_all", 32 * MIB, pricer.cluster.span(range(32))).traffic
    assert traffic.pattern == "direct"
    assert (traffic.member_bytes, traffic.node_bytes) == (31 * MIB, 8 * 24 * MIB)


def test_a_message_is_sent_once(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    near, far = (pricer.transfer(MIB, pricer.cluster.span(pair)).traffic for pair in ((0, 1), (0, 8)))
    assert (near.pattern, near.member_bytes, near.node_bytes) == ("pair", MIB, 0)
    assert (far.pattern, far.member_bytes, far.node_bytes) == ("pair", MIB, MIB)


@pytest.mark.parametrize("algorithm", ["hierarchical", "halving_doubling"])
@pytest.mark.parametrize("op", RING_SHARE)
@pytest.mark.parametrize("ranks", [range(8), range(32), range(64), range(0, 128, 8), range(0, 64, 4)])
def test_a_hierarchy_sends_what_a_ring_does_but_only_its_sum_out_of_a_node(pricers, op, ranks, algorithm):
    pricer = pricers["a100_sxm4_80gb"]
    n, span = len(ranks), pricer.cluster.span(ranks)
    traffic = pricer.collective(op, 512 * MIB, span, algorithm).traffic
    assert traffic.member_bytes == RING_SHARE[op] * (n - 1) * 512 * MIB // n
    assert traffic.node_bytes == RING_SHARE[op] * (span.nodes - 1) * 512 * MIB // span.nodes


@pytest.mark.parametrize("members, nodes", [(8, 4), (4, 2), (8, 1), (1, 8)])
@pytest.mark.parametrize(("rounds", "volume"), [
    (ring_all_reduce, ring_traffic), (halving_doubling_all_reduce, halving_doubling_traffic),
    (direct_all_to_all, direct_traffic),
], ids=["ring", "halving_doubling", "direct"])  # fmt: skip
def test_closed_forms_are_the_messages_counted_one_by_one(rounds, volume, members, nodes):
    """Message by message: what rank 0 sends in all, and what leaves its node."""
    count, size = members * nodes, members * nodes * MIB
    span = GroupSpan(count, nodes, members, 300 * 10**9, 0.0, 200 * 10**9, 5e-6)
    sent = out = 0.0
    for messages in rounds(size, count, lambda source, target: ()):
        for source, target, num_bytes, _ in messages:
            sent += num_bytes * (source == 0)
            out += num_bytes * (source < members <= target)
    op = "all_to_all" if rounds is direct_all_to_all else "all_reduce"
    found = volume(op, span)
    assert (found.member * size, found.node * size) == pytest.approx((sent, out))


def test_a_hierarchy_is_its_stages_byte_by_byte():
    """Stage by stage, what one member sends: inside its node, and out of it."""
    for members, nodes in ((8, 4), (4, 16), (2, 2)):
        size = members * nodes * MIB
        inside = 2 * (members - 1) * size // members  # reduce-scatter and all-gather
        out = 2 * (nodes - 1) * (size // members) // nodes  # a ring of one member from each node
        span = GroupSpan(members * nodes, nodes, members, 300 * 10**9, 0.0, 200 * 10**9, 5e-6)
        volume = hierarchical_traffic("all_reduce", span)
        assert round(volume.member * size) == inside + out
        assert round(volume.node * size) == members * out


def test_halving_sends_half_to_the_neighbour_a_quarter_to_the_next_and_so_on():
    """Messages of one rank of 32 on 4 nodes, one by one: those over 8 places or more leave the node."""
    size, members, nodes = 2**30, 8, 4
    messages = [(2**step, size // 2 ** (step + 1)) for step in range(5)]
    out = sum(part for distance, part in messages if distance >= members)
    span = GroupSpan(members * nodes, nodes, members, 300 * 10**9, 0.0, 200 * 10**9, 5e-6)
    for op, both in (("reduce_scatter", 1), ("all_reduce", 2)):
        volume = halving_doubling_traffic(op, span)
        assert round(volume.member * size) == both * sum(part for _, part in messages)
        assert round(volume.node * size) == both * members * out


@pytest.mark.parametrize(
    ("switches", "member", "node"),
    [
        (Switches(True, False), 9 / 8 + 2 / 8, 2.0),  # NVLS inside, a double tree of four nodes between
        (Switches(False, True), 14 / 8 + 1 / 8, 1.0),  # rings inside, the fabric adds up: once up
        (Switches(True, True), 9 / 8 + 1 / 8, 1.0),
    ],
)
def test_switches_that_add_take_the_message_once(switches, member, node):
    span = GroupSpan(32, 4, 8, 450 * 10**9, 0.0, 400 * 10**9, 5e-6)
    volume = in_switch_traffic("all_reduce", span, switches)
    assert (volume.member, volume.node) == pytest.approx((member, node))
    alone = GroupSpan(32, 32, 1, 450 * 10**9, 0.0, 50 * 10**9, 5e-6)
    if switches.in_fabric:
        assert in_switch_traffic("all_reduce", alone, switches)[1:] == (1.0, 1.0)


def test_in_a_node_a_switch_takes_nine_eighths_where_a_ring_takes_fourteen(pricers):
    pricer = pricers["h100_sxm5_80gb"]
    span = pricer.cluster.span(range(8))
    sent = {name: pricer.collective("all_reduce", 8 * MIB, span, name).traffic.member_bytes
            for name in ("in_switch", "ring", "auto")}  # fmt: skip
    assert sent == {"in_switch": 9 * MIB, "ring": 14 * MIB, "auto": 9 * MIB}  # NCCL's NVLS made the curve over 8
    four = pricer.collective("all_reduce", 8 * MIB, pricer.cluster.span(range(4)))
    assert four.traffic.member_bytes == 12 * MIB
    gathered = pricer.collective("all_gather", 8 * MIB, span, "in_switch").traffic
    assert (gathered.member_bytes, gathered.node_bytes) == (8 * MIB, 0)


@given(OPS, st.integers(1, 2**35), GROUPS, MACHINES,
       st.sampled_from(["auto", "ring", "tree", "hierarchical", "halving_doubling"]))  # fmt: skip
def test_no_op_alone_needs_more_than_its_links_reach(pricers, op, size, ranks, machine, algorithm):
    """The bytes fit into what the latency leaves of the time, at the rates that `link_efficiency` states."""
    pricer = pricers[machine]
    span = pricer.cluster.span(ranks)
    price = pricer.collective(op, size, span, algorithm)
    traffic = price.traffic
    transfer_s = (price.duration_ns - traffic.latency_ns + 1) * 1e-9
    assert 0 <= traffic.latency_ns <= price.duration_ns
    inside = traffic.member_bytes - (traffic.node_bytes / span.per_node if span.nodes > 1 else 0)
    assert inside <= 1.0001 * span.intra_bytes_per_s * pricer.link_efficiency("gpu") * transfer_s + 1
    assert traffic.node_bytes <= 1.0001 * span.node_bytes_per_s * pricer.link_efficiency("port") * transfer_s + 1


def test_link_efficiency_is_the_best_that_was_measured(pricers, profiles):
    """A100: 222 of 300 GB/s by an all_reduce over 8 (its bus bandwidth); NICs: 0.95 of their rate."""
    pricer = pricers["a100_sxm4_80gb"]
    assert pricer.link_efficiency("gpu") == pytest.approx(223.5 / 300, rel=0.005)
    constant = profiles["a100_sxm4_80gb"].constant("fabric_efficiency")
    assert pricer.link_efficiency("port") == pricer.link_efficiency("leaf") == constant


def test_kernels_put_nothing_on_links_and_draws_stretch_latency_with_the_rest(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span(range(16))
    known = pricer.collective("all_reduce", MIB, span)
    drawn = pricer.sampled(1, 3).collective("all_reduce", MIB, span)
    assert drawn.duration_ns != known.duration_ns
    stretched = known.traffic.latency_ns * drawn.duration_ns / known.duration_ns
    assert drawn.traffic.latency_ns == pytest.approx(stretched, abs=2)
    assert drawn.traffic.member_bytes == known.traffic.member_bytes
    assert pricer.kernel(Kernel("elementwise", (1024,), "bf16", bytes_moved=4096)).traffic is None

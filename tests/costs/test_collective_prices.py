"""Collective prices: laws, provenance, and the published logs they must meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.published.raw import rows
from simulator.cluster import GroupSpan
from simulator.costs.algorithms import ring_volume
from simulator.errors import ScenarioError
from simulator.registry import topology
from simulator.units import FULL_RATE, GIB, MIB

OPS = st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"])
SIZES = st.integers(1, 2**35)
MACHINES = ("a100_sxm4_80gb", "h100_sxm5_80gb")
GROUPS = st.sampled_from([range(2), range(3), range(8), range(16), range(128), range(0, 128, 8), range(0, 16, 4)])


@given(OPS, SIZES, SIZES, GROUPS, st.sampled_from(MACHINES))
def test_more_bytes_never_cost_less(pricers, op, one, other, ranks, machine):
    pricer = pricers[machine]
    low, high = sorted((one, other))
    span = pricer.cluster.span(ranks)
    assert pricer.collective(op, low, span).duration_ns <= pricer.collective(op, high, span).duration_ns


@given(OPS, SIZES, st.integers(1, 15), st.sampled_from(MACHINES))
def test_one_more_node_never_helps(pricers, op, size, nodes, machine):
    """The same message over more nodes: whole nodes, all their NICs."""
    pricer = pricers[machine]
    fewer, more = (pricer.cluster.span(range(8 * count)) for count in (nodes, nodes + 1))
    if nodes > 1 and op != "all_reduce":  # a ring's latency and volume grow; all_reduce may change to a tree
        assert pricer.collective(op, size, fewer).duration_ns <= pricer.collective(op, size, more).duration_ns


@given(
    OPS,
    st.integers(2**20, 2**35),
    st.sampled_from([range(16), range(128), range(0, 128, 8)]),
    st.sampled_from(MACHINES),
)
def test_no_collective_sends_more_than_its_nics_carry(pricers, op, size, ranks, machine):
    """The least that must leave a node: everybody else's part of the result, or this node's part of the exchange."""
    pricer = pricers[machine]
    span = pricer.cluster.span(ranks)
    share = (span.nodes - 1) / span.nodes
    leaves = {"all_reduce": 2 * share, "all_gather": 1 / span.nodes, "reduce_scatter": share,
              "broadcast": 0.5, "all_to_all": span.per_node * share}[op] * size  # fmt: skip
    assert pricer.collective(op, size, span).duration_ns >= 1e9 * leaves / span.node_bytes_per_s - 1


@given(OPS, st.sampled_from(MACHINES), st.integers(1, 2**33))
def test_half_the_link_takes_longer(pricers, op, machine, size):
    pricer = pricers[machine]
    fast = pricer.cluster.span(range(8))
    slow = GroupSpan(8, 1, 8, fast.intra_bytes_per_s // 2, fast.intra_latency_s, 0, 0.0)
    assert pricer.collective(op, size, slow).duration_ns >= pricer.collective(op, size, fast).duration_ns


def test_a_published_size_is_published_to_the_nanosecond(profiles, pricers):
    curve = profiles["a100_sxm4_80gb"].collectives["all_reduce", "intra_node", 8]
    pricer = pricers["a100_sxm4_80gb"]
    price = pricer.collective("all_reduce", GIB // 4, pricer.cluster.span(range(8)))
    assert price.source == "published"
    assert price.duration_ns == round(curve.median_s[list(curve.size_bytes).index(GIB // 4)] * 1e9)


@pytest.mark.parametrize(
    ("ranks", "size", "source"),
    [
        (range(8), 3 * MIB, "interpolated"),
        (range(6), 4 * MIB, "interpolated"),
        (range(8), 4 * GIB, "extrapolated"),
        (range(16), 4 * MIB, "extrapolated"),
    ],
)
def test_the_source_of_each_kind_of_price(pricers, ranks, size, source):
    pricer = pricers["a100_sxm4_80gb"]
    assert pricer.collective("all_reduce", size, pricer.cluster.span(ranks)).source == source


def test_one_rank_alone_costs_nothing(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    assert pricer.collective("all_reduce", GIB, pricer.cluster.span(range(1))).duration_ns == 0


def test_algorithms_can_be_forced_and_auto_takes_the_faster(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span(range(128))
    for size in (1024, MIB, GIB):
        ring, tree, auto = (pricer.collective("all_reduce", size, span, name) for name in ("ring", "tree", "auto"))
        assert auto.duration_ns == min(ring.duration_ns, tree.duration_ns)
    small = [pricer.collective("all_reduce", 1024, span, name).duration_ns for name in ("ring", "tree")]
    assert small[1] < small[0]


def test_names_that_nobody_knows_are_refused(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span(range(8))
    with pytest.raises(ScenarioError, match="use one of auto, ring, tree, hierarchical, halving_doubling, in_switch"):
        pricer.collective("all_reduce", MIB, span, "butterfly")
    with pytest.raises(ValueError, match="no cost for collective 'gather'"):
        pricer.collective("gather", MIB, span)


def test_seven_groups_beside_leave_an_eighth_of_the_nics(pricers):
    """One rank a node of eight such groups: each has its own NIC, 25e9 bytes/s on DGX A100, not the node's 200e9."""
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span(range(0, 128, 8))
    assert span.node_bytes_per_s == 25 * 10**9
    seconds = pricer.collective("all_reduce", 4 * GIB, span).duration_ns / 1e9
    bus = ring_volume("all_reduce", 16) * 4 * GIB / seconds
    assert 0.9 * 25e9 < bus < 0.96 * 25e9


def test_two_nodes_of_four_hdr_nics_meet_what_users_report(pricers):
    """nccl-tests#119: three nodes of 8 A100 with 4 HDR200 NICs: busbw 84.8 GB/s on average over 1, 2, ... 128 MiB."""
    pricer = pricers["a100_sxm4_80gb"]
    span = topology("dgx_a100", nodes=3, nics_per_node=4).span(range(24))
    assert span.node_bytes_per_s == 100 * 10**9
    sizes = [count * MIB for count in range(1, 129)]
    bus = [ring_volume("all_reduce", 24) * s / pricer.collective("all_reduce", s, span).duration_ns for s in sizes]
    assert sum(bus) / len(bus) == pytest.approx(84.8, rel=0.1)


def test_two_ranks_on_two_nodes_meet_a_reported_latency(pricers):
    """nccl-tests#150: one A100 on each of two nodes, HDR: 19.2 us for up to 64 bytes."""
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span((0, 8))
    assert pricer.collective("all_reduce", 64, span).duration_ns == pytest.approx(19_200, rel=0.35)


def test_a_transfer_within_a_node_meets_a_second_source(pricers):
    """Galvatron measured 163.7 GB/s between two A100 of a node."""
    pricer = pricers["a100_sxm4_80gb"]
    theirs = float(rows("overlap_and_bandwidth_galvatron", file="p2p_bandwidth_1nodes_8gpus_per_node")[0]["value"])
    seconds = pricer.transfer(256 * MIB, pricer.cluster.span((0, 1))).duration_ns / 1e9
    assert 256 * MIB / seconds == pytest.approx(theirs * 1e9, rel=0.03)


def test_transfers_between_nodes_go_through_the_nic(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    span = pricer.cluster.span((0, 8))
    assert pricer.transfer(GIB, span).duration_ns >= 1e9 * GIB / span.node_bytes_per_s


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_all_reduce_meets_a_second_source_on_a100(pricers, ranks):
    """vTrain's nccl-tests on another DGX A100 (an older NCCL), 8 MiB and up: 15 % at the median."""
    pricer = pricers["a100_sxm4_80gb"]
    errors = []
    for row in rows("nccl_allreduce_a100_intranode", gpu="a100", n_gpus=str(ranks)):
        size = int(row["size_B"])
        if size >= 8 * MIB:
            predicted = pricer.collective("all_reduce", size, pricer.cluster.span(range(ranks))).duration_ns
            errors.append(abs(predicted / float(row["time_ns"]) - 1))
    assert sorted(errors)[len(errors) // 2] < 0.15


def test_h100_with_nvls_meets_a_second_source(pricers):
    """NVIDIA's own log of one DGX H100, 1 MiB and up: 15 % at the median."""
    pricer = pricers["h100_sxm5_80gb"]
    errors = []
    for row in rows("nccl_allreduce_logs", system="1x DGX H100 (NVLS on)"):
        size = int(row["size_B"])
        if size >= MIB:
            predicted = pricer.collective("all_reduce", size, pricer.cluster.span(range(8))).duration_ns
            errors.append(abs(predicted / (float(row["time_us"]) * 1e3) - 1))
    assert sorted(errors)[len(errors) // 2] < 0.15


def test_overlap_rates(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    assert pricer.rates("pipeline_comm") == (FULL_RATE, FULL_RATE)
    assert pricer.rates("data_comm") == (round(FULL_RATE / 1.1256),) * 2
    assert pricer.rates("compute") == (FULL_RATE, FULL_RATE)


@given(SIZES, st.sampled_from(MACHINES))
def test_a_sendrecv_takes_as_long_as_the_slowest_of_its_messages(pricers, size, machine):
    """Every member sends to the next at once: inside a node one transfer, over nodes the one that leaves."""
    pricer = pricers[machine]
    pair, ring, nodes = (pricer.cluster.span(ranks) for ranks in (range(2), range(8), range(0, 16, 4)))
    assert pricer.collective("sendrecv", size, ring).duration_ns == pricer.transfer(size, pair).duration_ns
    crossing = pricer.collective("sendrecv", size, nodes)
    leaving = pricer.transfer(size, pricer.cluster.span((4, 8)))  # 4 ranks of a node, each with its own NIC
    assert crossing.duration_ns == leaving.duration_ns
    assert crossing.traffic.member_bytes == crossing.traffic.node_bytes == size

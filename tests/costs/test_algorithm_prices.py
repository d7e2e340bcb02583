"""What each algorithm costs: sums of its stages, and where it wins or loses."""

from dataclasses import replace

import pytest

from calibration.published.raw import rows
from simulator.cluster import GroupSpan
from simulator.costs.algorithm_rules import Switches, check_algorithm
from simulator.costs.collectives import CollectiveCosts
from simulator.errors import ScenarioError
from simulator.units import GIB, MIB

SHARED = ("all_reduce", "reduce_scatter", "all_gather")


def one_per_node(span: GroupSpan) -> GroupSpan:
    """The group of one member from each node, with its even share of the NICs."""
    return replace(span, size=span.nodes, per_node=1, node_bytes_per_s=span.node_bytes_per_s // span.per_node)


def ns(pricer, op, size, span, algorithm="auto"):
    return pricer.collective(op, size, span, algorithm).duration_ns


@pytest.mark.parametrize("size", [64 * 2**10, MIB, 64 * MIB, GIB])
def test_a_hierarchy_takes_its_three_stages_one_after_the_other(pricers, size):
    pricer = pricers["a100_sxm4_80gb"]
    node, all_of_them = pricer.cluster.span(range(8)), pricer.cluster.span(range(64))
    stages = ns(pricer, "reduce_scatter", size, node) + ns(pricer, "all_gather", size, node)
    stages += ns(pricer, "all_reduce", size // 8, one_per_node(all_of_them), "ring")
    assert ns(pricer, "all_reduce", size, all_of_them, "hierarchical") == pytest.approx(stages, abs=3)
    halves = ns(pricer, "reduce_scatter", size, node)
    halves += ns(pricer, "reduce_scatter", size // 8, one_per_node(all_of_them), "ring")
    assert ns(pricer, "reduce_scatter", size, all_of_them, "hierarchical") == pytest.approx(halves, abs=3)


def test_a_hierarchy_of_one_level_is_that_level(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    node, alone = pricer.cluster.span(range(8)), pricer.cluster.span(range(0, 128, 8))
    for op in SHARED:
        assert ns(pricer, op, MIB, node, "hierarchical") == ns(pricer, op, MIB, node, "ring")
        assert ns(pricer, op, MIB, alone, "hierarchical") == ns(pricer, op, MIB, alone, "ring")


def test_a_hierarchy_halves_the_bytes_between_two_nodes_and_pays_inside_them(pricers):
    """(k - 1)/k of the message twice instead of (n - 1)/n: 16/30 of the bytes on the wire. On slow NICs that is the
    time, on fast ones the stages inside the nodes cost more than they save."""
    pricer = pricers["a100_sxm4_80gb"]
    fast = pricer.cluster.span(range(16))
    slow = replace(fast, node_bytes_per_s=10**9)
    saved = ns(pricer, "all_reduce", GIB, slow, "hierarchical") / ns(pricer, "all_reduce", GIB, slow, "ring")
    assert saved == pytest.approx(8 / 15, abs=0.01)
    many = pricer.cluster.span(range(128))
    assert ns(pricer, "all_reduce", GIB, many, "hierarchical") > ns(pricer, "all_reduce", GIB, many, "ring")


def test_a_hierarchy_has_fewer_hops_than_a_ring_of_all(pricers):
    pricer = pricers["a100_sxm4_80gb"]
    many = pricer.cluster.span(range(128))
    assert ns(pricer, "all_reduce", 1024, many, "hierarchical") < ns(pricer, "all_reduce", 1024, many, "ring")


def test_halving_doubling_climbs_log_n_steps(pricers, profiles):
    """Small messages: the start, 2 log2 8 hops inside nodes and 2 log2 k between them (LL)."""
    pricer, constant = pricers["a100_sxm4_80gb"], profiles["a100_sxm4_80gb"].constant
    for nodes, steps in ((2, 1), (16, 4)):
        span = pricer.cluster.span(range(8 * nodes))
        hop = constant("ring_hop_inter_low_latency_s") + span.inter_latency_s
        exact = constant("nccl_base_s") + 2 * (3 * constant("ring_hop_intra_low_latency_s") + steps * hop)
        assert ns(pricer, "all_reduce", 8, span, "halving_doubling") == pytest.approx(exact * 1e9, abs=60)
    assert ns(pricer, "all_reduce", 1024, span, "halving_doubling") < ns(pricer, "all_reduce", 1024, span, "ring")


def test_in_a_node_the_switch_is_as_published_and_never_faster_than_what_nccl_chose(pricers):
    pricer = pricers["h100_sxm5_80gb"]
    span = pricer.cluster.span(range(8))
    for size in (1024, MIB, 16 * MIB, GIB // 2):
        assert ns(pricer, "all_reduce", size, span, "in_switch") >= ns(pricer, "all_reduce", size, span)
    large = {name: ns(pricer, "all_reduce", GIB // 2, span, name) for name in ("auto", "in_switch", "ring")}
    assert large["in_switch"] == large["auto"] < large["ring"] / 1.2
    assert ns(pricer, "all_reduce", 1024, span, "in_switch") == pytest.approx(25_000, abs=10)  # NCCL's table
    errors = []
    for row in rows("nccl_allreduce_logs", system="1x DGX H100 (NVLS on)"):  # NVIDIA's log of another machine
        if int(row["size_B"]) >= MIB:
            predicted = ns(pricer, "all_reduce", int(row["size_B"]), span, "in_switch")
            errors.append(abs(predicted / (float(row["time_us"]) * 1e3) - 1))
    assert sorted(errors)[len(errors) // 2] < 0.15


def test_sums_in_the_fabric_halve_a_rings_bytes_between_nodes(profiles):
    span = GroupSpan(1024, 128, 8, 300 * 10**9, 0.0, 10**9, 5e-6)
    without = CollectiveCosts(profiles["a100_sxm4_80gb"])
    sharp = CollectiveCosts(profiles["a100_sxm4_80gb"], Switches(in_fabric=True))
    ring = without.collective("all_reduce", GIB, span, "ring").time.seconds
    summed = sharp.collective("all_reduce", GIB, span, "in_switch").time.seconds
    assert summed / ring == pytest.approx(0.5 / 0.9, rel=0.01)  # S instead of 2 (n - 1)/n S, at nine tenths of the rate
    # auto does not take it by itself
    assert sharp.collective("all_reduce", GIB, span) == without.collective("all_reduce", GIB, span)


def test_small_sums_in_the_fabric_take_low_latency_flags_and_large_ones_do_not(profiles):
    """Flags leave a sixth of the bandwidth: 8 bytes go with them, 4 MiB over slow NICs without, in closed form."""
    profile = profiles["a100_sxm4_80gb"]
    span = GroupSpan(16, 2, 8, 300 * 10**9, 0.0, 10**9, 5e-6)
    costs = CollectiveCosts(profile, Switches(in_fabric=True))
    small, large = (costs.collective("all_reduce", size, span, "in_switch").time.seconds for size in (8, 4 * MIB))
    assert small == pytest.approx(4.4e-6 + 14 * 0.5e-6 + 5.0e-6 + 5e-6, rel=0.01)
    rate = 10**9 * profile.constant("fabric_efficiency") * 0.9
    assert large == pytest.approx(14 * 4.0e-6 + 10.7e-6 + 5e-6 + 4 * MIB / rate, rel=1e-6)


def test_sums_in_nodes_with_trees_between_beat_trees_alone_on_fast_nodes(pricers):
    """NCCL's NVLSTree: trees of chains are limited by the copying inside nodes, sums in the switch are not."""
    pricer = pricers["h100_sxm5_80gb"]
    span = pricer.cluster.span(range(16))
    assert ns(pricer, "all_reduce", GIB, span, "in_switch") < ns(pricer, "all_reduce", GIB, span, "tree")


@pytest.mark.parametrize("algorithm", ["hierarchical", "halving_doubling", "in_switch"])
def test_an_exchange_has_one_form_whatever_the_algorithm(pricers, algorithm):
    pricer = pricers["h100_sxm5_80gb"]
    for ranks in (range(8), range(32)):
        span = pricer.cluster.span(ranks)
        assert pricer.collective("all_to_all", MIB, span, algorithm) == pricer.collective("all_to_all", MIB, span)


UNEVEN = GroupSpan(12, 2, 8, 300 * 10**9, 0.0, 200 * 10**9, 5e-6)
TWO_NODES = GroupSpan(16, 2, 8, 300 * 10**9, 0.0, 200 * 10**9, 5e-6)
THREE_NODES = replace(TWO_NODES, size=24, nodes=3)
ONE_NODE = GroupSpan(8, 1, 8, 300 * 10**9, 0.0, 0, 0.0)
SPREAD = replace(TWO_NODES, size=2, per_node=1)


@pytest.mark.parametrize(
    ("op", "algorithm", "span", "switches", "says"),
    [
        (
            "all_reduce",
            "hierarchical",
            UNEVEN,
            Switches(),
            "12 that reduce together lie on 2 nodes, up to 8 on one",
        ),
        ("all_gather", "halving_doubling", THREE_NODES, Switches(), "powers of two, and 24 reduce together"),
        ("all_reduce", "in_switch", ONE_NODE, Switches(in_fabric=True), "none lies between the 8 ranks"),
        ("all_reduce", "in_switch", TWO_NODES, Switches(), "no switch in its nodes does, and its fabric does not"),
        (
            "all_reduce",
            "in_switch",
            SPREAD,
            Switches(in_node=True),
            "2 nodes, 1 on each: of this cluster its nodes'",
        ),
        ("reduce_scatter", "in_switch", TWO_NODES, Switches(True, True), "reduce_scatter crosses 2 nodes"),
        ("all_gather", "in_switch", TWO_NODES, Switches(True, True), "plan.zero=0 without a sparse compressor"),
    ],
)
def test_what_cannot_run_is_refused_with_numbers_and_a_remedy(op, algorithm, span, switches, says):
    with pytest.raises(ScenarioError, match="; use ") as refused:
        check_algorithm(op, algorithm, span, switches)
    assert says in str(refused.value)
    assert refused.value.key == "plan.aggregation.algorithm"


@pytest.mark.parametrize(
    ("op", "algorithm", "span", "switches"),
    [
        ("all_reduce", "in_switch", TWO_NODES, Switches(in_node=True)),
        ("all_reduce", "in_switch", SPREAD, Switches(in_fabric=True)),
        ("reduce_scatter", "in_switch", ONE_NODE, Switches(in_node=True)),
        ("all_to_all", "in_switch", TWO_NODES, Switches()),
        ("all_reduce", "hierarchical", THREE_NODES, Switches()),
        ("all_reduce", "ring", UNEVEN, Switches()),
    ],
)
def test_what_can_run_is_let_through(op, algorithm, span, switches):
    check_algorithm(op, algorithm, span, switches)

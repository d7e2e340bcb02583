"""What was timed between nodes prices groups that lie alike, and corrects the formula for the others."""

import json

import pytest

from calibration.imports.command import import_file
from simulator.costs.pricer import Pricer
from simulator.costs.profile import load_profile
from simulator.registry import profile_path, topology

HEADER = "op,ranks,nodes,bytes,time_us"
SIZES = [2**power for power in (14, 18, 22, 26)]
BEFORE = "h100_sxm5_80gb"


@pytest.fixture(scope="module")
def cluster():
    return topology("dgx_h100", nodes=4)


def ranks(nodes, per_node=8):
    return tuple(8 * node + place for node in range(nodes) for place in range(per_node))


@pytest.fixture(scope="module")
def pricers(tmp_path_factory, cluster):
    """(as published, with what was timed over two nodes: all_reduces twice as slow, and messages; that one's record)"""
    folder = tmp_path_factory.mktemp("between")
    plain = Pricer(load_profile(profile_path(BEFORE)), cluster)
    us = {size: plain.collective("all_reduce", size, cluster.span(ranks(2))).duration_ns / 1e3 for size in SIZES}
    rows = [f"all_reduce,16,2,{size},{2 * us[size]}" for size in SIZES]
    rows += [f"send,2,2,{size},{20 + size / 3e4}" for size in SIZES]
    (folder / "t.csv").write_text("\n".join((HEADER, *rows)))
    said = import_file("csv", str(folder / "t.csv"), onto=BEFORE, out=str(folder / "p.json"), command="")
    assert any("all_reduce over 16 on 2 nodes" in line for line in said)
    return plain, Pricer(load_profile(folder / "p.json"), cluster), json.loads((folder / "p.json").read_text())


def test_a_group_that_lies_as_the_measured_one_costs_what_that_took(pricers, cluster):
    plain, timed, _ = pricers
    for size in SIZES:
        before, price = (own.collective("all_reduce", size, cluster.span(ranks(2))) for own in (plain, timed))
        assert price.source == "measured" and before.source == "extrapolated"
        assert price.duration_ns == pytest.approx(2 * before.duration_ns, rel=1e-3)
        assert price.traffic.member_bytes == before.traffic.member_bytes
    between = timed.collective("all_reduce", 2**20, cluster.span(ranks(2)))
    assert between.source == "interpolated"


@pytest.mark.parametrize(("nodes", "per_node"), [(4, 8), (2, 4), (3, 1)])
def test_other_groups_keep_the_formula_as_far_off_as_it_was_there(pricers, cluster, nodes, per_node):
    plain, timed, _ = pricers
    for size in (SIZES[0], SIZES[-1]):
        span = cluster.span(ranks(nodes, per_node))
        before, price = (own.collective("all_reduce", size, span) for own in (plain, timed))
        assert price.source == "extrapolated"
        assert price.duration_ns == pytest.approx(2 * before.duration_ns, rel=0.02)


def test_what_was_not_timed_and_what_stays_in_a_node_is_as_before(pricers, cluster):
    plain, timed, _ = pricers
    for op, group in (("all_gather", ranks(2)), ("all_reduce", ranks(1)), ("all_to_all", ranks(4))):
        assert timed.collective(op, 2**22, cluster.span(group)) == plain.collective(op, 2**22, cluster.span(group))
    named = [own.collective("all_reduce", 2**22, cluster.span(ranks(2)), "ring") for own in (plain, timed)]
    assert named[0] == named[1]


def test_messages_between_nodes_are_read_from_their_curve(pricers, cluster):
    _, timed, _ = pricers
    price = timed.transfer(SIZES[2], cluster.span((0, 8)))
    assert price.source == "measured" and price.duration_ns == pytest.approx(1e3 * (20 + SIZES[2] / 3e4), rel=1e-3)


def test_their_held_out_errors_are_kept(pricers):
    fits = pricers[2]["fits"]
    assert fits["timed.collective.inter_node.all_reduce"]["points"] and fits["timed.transfer.inter_node"]["points"]

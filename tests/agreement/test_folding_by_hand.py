"""Where ranks nearly look alike: small clusters in which one thing tells them apart, and what is right is plain."""

import pytest
from test_folding_and_contraction import DENSE, agreeing

from simulator.road import Road
from simulator.scenario.loader import scenario_from

LONG = {**DENSE, "trunk": {**DENSE["trunk"], "seq": 1024}}


def scenario(cluster, **plan):
    return scenario_from({
        "schema_version": 1, "name": "x", "model": LONG, "cluster": cluster, "software": {"attention": "flash"},
        "plan": {"microbatch": 1, "global_batch": 4, "context_kind": "all_to_all", **plan},
    })  # fmt: skip


RAILS = {"preset": "rail_optimized", "nodes": 2, "gpus_per_node": 2, "nodes_per_pod": 2, "oversubscription": 2}
"""A leaf is as narrow as one of its two ports. Exchanges of four ranks reach it only from one rail to the other."""


@pytest.mark.parametrize("whole", [False, True])
def test_rails_that_mirror_each_other_carry_the_same(whole):
    """Ranks 0 and 1 list their peers' links in another order, port before leaf and leaf before port."""
    road = Road(scenario(RAILS, context=4))
    expanded = road.expanded(road.prices, whole=whole, contracted=False)
    size = {use.link: use.size_bytes for use in expanded.link_use}
    for way in ("core>pod0/{}", "pod0/{}>core"):
        assert size[way.format("rail0")] == size[way.format("rail1")] > 0
    assert size["pod0/rail0>node0/port0/in"] == size["pod0/rail1>node0/port1/in"]


def test_an_exchange_over_rails_folds_exactly():
    reference, folded, _ = agreeing(scenario(RAILS, context=4))
    assert len(reference.ranks) == 4 and folded.multiplicity == (2, 2)


def test_who_shares_a_port_with_its_own_tensor_group_is_not_like_who_shares_it_with_others():
    """Two devices on each port; the pairs of tensor ranks are each on one port of node 0, and apart on node 1."""
    two_on_a_port = {"preset": "dgx_h100", "nodes": 2, "gpus_per_node": 4, "nics_per_node": 2}
    straight_then_crossed = [0, 1, 4, 6, 2, 3, 5, 7]
    balancer = {"kind": "static", "microbatches": "equal", "placement": straight_then_crossed}
    plan = {"tensor": 2, "context": 2, "data": 2, "balancer": balancer, "partition": [8]}
    _, folded, _ = agreeing(scenario(two_on_a_port, **plan))
    assert folded.multiplicity == (4, 4)

"""Where ranks nearly look alike: small clusters in which one thing tells them apart, and what is right is plain."""

import pytest
from test_folding_and_contraction import DENSE, agreeing

from simulator.metrics import utilization
from simulator.road import Road
from simulator.scenario.loader import scenario_from

THREE_NODES = {"preset": "dgx_h100", "nodes": 3, "gpus_per_node": 4}
LONG = {**DENSE, "trunk": {**DENSE["trunk"], "heads": 12, "hidden": 768, "seq": 1536}}


def scenario(cluster, **plan):
    return scenario_from({
        "schema_version": 1, "name": "x", "model": LONG, "cluster": cluster, "software": {"attention": "flash"},
        "plan": {"microbatch": 1, "global_batch": 4, "context_kind": "all_to_all", **plan},
    })  # fmt: skip


RAILS = {"preset": "rail_optimized", "nodes": 2, "gpus_per_node": 2, "nodes_per_pod": 2, "oversubscription": 2}
"""A leaf is as narrow as one of its two ports. Exchanges of four ranks reach it only from one rail to the other."""


def test_rails_that_mirror_each_other_carry_the_same():
    """The first peer of rank 0 is on its own rail, that of rank 1 on the other."""
    road = Road(scenario(RAILS, context=4))
    expanded = road.expanded(road.prices, whole=True, contracted=False)
    size = {use.link: use.size_bytes for use in expanded.link_use}
    for way in ("core>pod0/{}", "pod0/{}>core"):
        assert size[way.format("rail0")] == size[way.format("rail1")] > 0
    assert size["pod0/rail0>node0/port0/in"] == size["pod0/rail1>node0/port1/in"]


def test_an_exchange_over_rails_folds_exactly():
    reference, folded, _ = agreeing(scenario(RAILS, context=4))
    assert len(reference.ranks) == 4 and folded.multiplicity == (4,)


@pytest.mark.parametrize("kind", ["ring", "all_to_all"])
@pytest.mark.parametrize("whole", [False, True])
def test_two_ports_of_a_node_carry_what_four_of_the_other_do(whole, kind):
    """Groups of six on nodes of four: four and two, two and four. A second microbatch tells context's bytes."""

    def out_of(node, batch):
        road = Road(scenario(THREE_NODES, context=6, data=2, context_kind=kind, global_batch=batch))
        expanded = road.expanded(road.prices, whole=whole, contracted=False)
        return {use.link: use.size_bytes for use in expanded.link_use}[f"node{node}/port0/out>fabric"]

    once, twice = (out_of(node, 4) - out_of(node, 2) for node in (0, 1))
    assert twice == pytest.approx(2 * once, rel=1e-6) and once > 0


def test_who_shares_a_port_with_its_own_tensor_group_is_not_like_who_shares_it_with_others():
    """Two devices on each port; the pairs of tensor ranks are each on one port of node 0, and apart on node 1."""
    two_on_a_port = {"preset": "dgx_h100", "nodes": 2, "gpus_per_node": 4, "nics_per_node": 2}
    straight_then_crossed = [0, 1, 4, 6, 2, 3, 5, 7]
    balancer = {"kind": "static", "microbatches": "equal", "placement": straight_then_crossed}
    plan = {"tensor": 2, "context": 2, "data": 2, "balancer": balancer, "partition": [8]}
    _, folded, _ = agreeing(scenario(two_on_a_port, **plan))
    assert folded.multiplicity == (4, 4)


def test_members_that_are_handed_their_inputs_apart_do_not_contract():
    """Messages to the next stage meet the ring of tensor ranks on a spine for two of four members, and not for two."""
    spines = {"preset": "fat_tree", "nodes": 4, "gpus_per_node": 2, "nodes_per_leaf": 1, "spines": 3}
    reference, folded, smallest = agreeing(scenario(spines, tensor=4, pipeline=2, overlap={"pipeline": False}))
    assert utilization(smallest) == utilization(reference)
    assert len(smallest) == len(folded) < len(reference)

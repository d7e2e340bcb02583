"""Links shared against links alone: the same where nothing meets, the right share where something does."""

import numpy as np
import pytest

from simulator import kinds
from simulator.road import Road
from simulator.scenario.loader import scenario_from

GPT = {
    "trunk": {"block": "gpt", "layers": 4, "hidden": 1024, "heads": 8, "vocab": 32000, "seq": 512,
              "tied_embeddings": False},
    "head": {"kind": "lm"},
}  # fmt: skip


def timeline(network, cluster, **plan):
    made = scenario_from({
        "schema_version": 1, "name": "links", "model": GPT, "cluster": {"preset": "dgx_a100", **cluster},
        "network": network, "plan": {"microbatch": 1, "global_batch": 16, **plan},
    })  # fmt: skip
    road = Road(made)
    return road.timeline(road.expanded(road.prices)), road


def lasted(found, kind, verb=""):
    """ns that each op of a kind ran, in op order."""
    of_kind = found.kind == kinds.CODE[kind]
    named = np.array([verb in found.op_text(op) for op in range(len(found))])
    return (found.end_ns - found.start_ns)[of_kind & named]


@pytest.mark.parametrize("cluster, plan", [
    ({"nodes": 1}, {}),
    ({"nodes": 1}, {"tensor": 8}),
    ({"nodes": 2}, {}),
    ({"nodes": 2}, {"tensor": 8}),
    ({"nodes": 2, "gpus_per_node": 1}, {"pipeline": 2, "schedule": "gpipe"}),
    ({"nodes": 8}, {"tensor": 8, "zero": 1}),
])  # fmt: skip
def test_where_nothing_meets_links_alone_and_shared_agree(cluster, plan):
    alone, _ = timeline("isolated", cluster, **plan)
    shared, _ = timeline("fair_share", cluster, **plan)
    assert abs(shared.step_ns - alone.step_ns) <= 2 * len(alone)  # a rounded ns for each of an op's two parts
    assert shared.step_ns == pytest.approx(alone.step_ns, rel=1e-6)


def parts_of_a_price(road, kind, rank=0):
    """(latency ns, transfer ns) of the first data or pipeline op, alone."""
    graph = road.expanded(road.prices).graph
    op = int(np.flatnonzero(graph.kind == kinds.CODE[kind])[0])
    return int(graph.latency_ns[op]), int(graph.duration_ns[op] - graph.latency_ns[op])


def test_eight_communicators_on_one_nic_get_an_eighth_each():
    """Tensor 8, data 2 on nodes with one NIC: eight rings cross it at once, one for each tensor rank."""
    plan = {"tensor": 8, "overlap": {"grad_reduce": False}}
    cluster = {"nodes": 2, "nics_per_node": 1, "nic_gbit_per_s": 200}
    shared, road = timeline("fair_share", cluster, **plan)
    latency, transfer = parts_of_a_price(road, kinds.DATA)
    assert lasted(shared, kinds.DATA)[0] == pytest.approx(latency + 8 * transfer, rel=1e-6)

    alone, _ = timeline("isolated", cluster, **plan)
    assert lasted(alone, kinds.DATA)[0] == latency + transfer
    own, _ = timeline("fair_share", {"nodes": 2}, **plan)  # a NIC of 200 Gb/s for each
    assert lasted(own, kinds.DATA)[0] == latency + transfer


def test_sends_of_a_whole_node_share_its_nic():
    """Eight tensor ranks hand their shares to the next stage through one NIC."""
    plan = {"tensor": 8, "pipeline": 2, "schedule": "gpipe", "overlap": {"pipeline": False}}
    cluster = {"nodes": 2, "nics_per_node": 1, "nic_gbit_per_s": 200}
    shared, road = timeline("fair_share", cluster, **plan)
    latency, transfer = parts_of_a_price(road, kinds.PIPELINE)
    assert lasted(shared, kinds.PIPELINE, "send 0F0")[0] == pytest.approx(latency + 8 * transfer, rel=1e-6)


def test_on_an_oversubscribed_leaf_everyone_is_slowed_by_what_is_missing():
    """Two nodes below each leaf, 16 rings over all four: half of each leaf's traffic leaves it."""
    leaf = {"preset": "fat_tree", "nodes": 4, "nodes_per_leaf": 2, "device": "a100_sxm4_80gb"}
    plan = {"tensor": 8, "overlap": {"grad_reduce": False}}
    free, road = timeline("fair_share", leaf, **plan)
    tight, _ = timeline("fair_share", {**leaf, "oversubscription": 8}, **plan)
    latency, transfer = parts_of_a_price(road, kinds.DATA)
    assert lasted(free, kinds.DATA)[0] == latency + transfer
    # eight rings want one port each out of the leaf; 16 ports / 8 = 2 ports' worth carry them: four times as long
    assert lasted(tight, kinds.DATA)[0] == pytest.approx(latency + 4 * transfer, rel=1e-3)


def test_a_reduction_beside_a_pipeline_send_takes_half_of_the_port_from_it():
    """Something on the last stage's port is slower than alone once gradients are reduced beside transfers."""
    plan = {"pipeline": 2, "tensor": 1, "bucket_mib": 4, "schedule": "1f1b"}
    cluster = {"nodes": 4, "gpus_per_node": 1, "nic_gbit_per_s": 10}
    alone, _ = timeline("isolated", cluster, **plan)
    shared, _ = timeline("fair_share", cluster, **plan)
    assert shared.step_ns > alone.step_ns
    slowest = (lasted(shared, kinds.PIPELINE) / lasted(alone, kinds.PIPELINE)).max()
    assert 1.2 < slowest <= 3.001  # at most two reductions' directions and a send at once


def test_nvlink_is_shared_between_a_tensor_group_and_gradients():
    """Inside one node, tensor pairs and rings of replicas use the same links; overlapped, both need longer."""
    plan = {"tensor": 2, "bucket_mib": 4}
    alone, _ = timeline("isolated", {"nodes": 1}, **plan)
    shared, _ = timeline("fair_share", {"nodes": 1}, **plan)
    assert alone.step_ns < shared.step_ns < 1.2 * alone.step_ns

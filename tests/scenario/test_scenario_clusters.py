"""The three ways to say what a scenario runs on: a preset, groups of nodes, devices and links by name."""

import pytest

from simulator.cluster.inline import InlineCluster
from simulator.scenario.loader import scenario_from

HEAD = """\
schema_version: 1
name: cluster
model:
  trunk: {block: gpt, layers: 4, hidden: 64, heads: 4, vocab: 1000, seq: 32}
plan: {tensor: 4, microbatch: 1, global_batch: 48}
"""
GROUPS = (
    HEAD
    + """\
cluster:
  groups:
    - {preset: dgx_h100, nodes: 2, gpus_per_node: 4}
    - {preset: dgx_a100, nodes: 1}
"""
)
INLINE = (
    HEAD
    + """\
cluster:
  devices:
    - {name: big, count: 4, device: h100_sxm5_80gb}
    - {name: old, count: 4, device: a100_sxm4_80gb}
  links:
    - {ends: [big, nvswitch], gbit_per_s: 3600, latency_s: 5.0e-7}
    - {ends: [old, pcie], gbit_per_s: 256}
    - {ends: [nvswitch, pcie], gbit_per_s: 100}
"""
)


def test_groups_fill_with_ranks_in_the_listed_order(load):
    cluster = load(GROUPS).cluster
    assert (cluster.gpus, cluster.nodes, cluster.is_mixed, cluster.name) == (16, 3, True, "dgx_h100 + dgx_a100")
    assert [cluster.device_of(rank).name for rank in (0, 7, 8, 15)] == ["h100_sxm5_80gb"] * 2 + ["a100_sxm4_80gb"] * 2
    assert [cluster.node_of(rank) for rank in (3, 4, 8, 15)] == [0, 1, 2, 2]
    assert cluster.group_ends == (8,)


def test_the_poorer_group_paces_what_crosses(load):
    cluster = load(GROUPS).cluster
    assert cluster.span((0, 8)).node_bytes_per_s == 25 * 10**9, "an A100's HDR200 port, not the H100's NDR400"
    assert cluster.span((0, 4)).node_bytes_per_s == 50 * 10**9
    assert cluster.span(range(16)).node_bytes_per_s == 4 * 50 * 10**9


def test_a_tensor_group_may_span_nodes_and_not_groups(load, refused):
    assert load(GROUPS, "plan.tensor=8", "plan.data=2", "model.trunk.heads=8").plan.tensor == 8
    said = refused(GROUPS, "plan.tensor=16", "model.trunk.heads=16")
    assert "ranks 0 to 15 would be one tensor group, and a group of nodes ends at rank 7" in said
    assert "degrees that work are 4 and 8, or let the groups before that hold a multiple of 16 GPUs" in said
    assert said.startswith("--set plan.tensor=16, plan.tensor:")


def test_what_groups_leave_out_is_written_out_and_reads_back(load):
    scenario = load(GROUPS)
    first, second = scenario.stated.cluster.groups
    assert (first.nics_per_node, first.nic_gbit_per_s, first.device) == (4, 1600, "h100_sxm5_80gb")
    assert (second.nodes, second.gpus_per_node) == (1, 8)
    assert first.in_switch_reduction is True
    import json

    again = scenario_from(json.loads(scenario.canonical_json()))
    assert again == scenario and again.cluster == scenario.cluster


@pytest.mark.parametrize(
    "first",
    [{"preset": "fat_tree", "nodes": 4, "oversubscription": 2.0, "nodes_per_leaf": 2, "in_network_reduction": True}],
)
def test_groups_share_one_network(first):
    second = {**first, "device": "a100_sxm4_80gb", "in_network_reduction": False}
    data = {"schema_version": 1, "name": "x", "model": {"preset": "sasrec_ml20m"},
            "plan": {"microbatch": 1, "global_batch": 64}, "cluster": {"groups": [first, second]}}  # fmt: skip
    cluster = scenario_from(data).cluster
    assert (cluster.fabric.kind, cluster.fabric.oversubscription, cluster.fabric.nodes_per_leaf) == ("fat_tree", 2.0, 2)
    assert not cluster.fabric.in_network_reduction, "half of the switches cannot"
    assert cluster.link_capacity("leaf0>core") == 2 * cluster.link_capacity("leaf3>core")


def test_devices_and_links_make_a_cluster_of_their_own_names(load):
    cluster = load(INLINE).cluster
    assert isinstance(cluster, InlineCluster)
    assert (cluster.gpus, cluster.nodes, cluster.names[:5]) == (8, 2, ("big0", "big1", "big2", "big3", "old0"))
    assert [link.name for link in cluster.route(0, 4)] == ["big0>nvswitch", "nvswitch>pcie", "pcie>old0"]
    assert cluster.span(range(4)).intra_bytes_per_s == 450 * 10**9
    assert cluster.span(range(4, 8)).intra_bytes_per_s == 32 * 10**9
    assert cluster.span((0, 4)).node_bytes_per_s == 12_500_000_000
    assert cluster.span(range(4)).intra_latency_s == 1e-6


def test_a_name_of_several_devices_stands_for_each_of_them(load):
    mesh = """\
cluster:
  devices: [{name: gpu, count: 4, device: a100_sxm4_80gb}]
  links: [{ends: [gpu, gpu], gbit_per_s: 800}]
"""
    cluster = load(HEAD + mesh).cluster
    assert cluster.graph().number_of_edges() == 4 * 3, "each to each, both ways"
    assert cluster.link_capacity("gpu2>gpu0") == 100 * 10**9


def test_an_inline_device_may_be_called_what_it_is(load):
    both = "cluster: {devices: [{name: a100_sxm4_80gb, count: 4}], links: [{ends: [a100_sxm4_80gb, s], gbit_per_s: 1}]}"
    assert load(HEAD + both).cluster.device_of(3).name == "a100_sxm4_80gb"


@pytest.mark.parametrize(
    ("text", "sets", "words"),
    [
        (GROUPS, ["cluster.preset=dgx_h100"], ["groups stands beside preset", "keep one"]),
        (GROUPS, ["cluster.nodes=2"], ["cluster.nodes", "belongs to each group", "move or remove it"]),
        (GROUPS, ["cluster.groups.1.preset=dgx_a10"], ["cluster.groups.1.preset", "did you mean 'dgx_a100'?"]),
        (GROUPS, ["cluster.groups.1.nodez=2"], ["cluster.groups.1.nodez", "did you mean nodes?"]),
        (GROUPS, ["cluster.groups.0.nics_per_node=3"], ["cluster.groups.0.nics_per_node", "3 NICs"]),
        (GROUPS, ["cluster.groups=[]"], ["there is no group"]),
        (GROUPS, ["cluster.groups.1={preset: fat_tree, nodes: 1}"],
         ["cluster.groups.1.preset", "fat_tree of 4 nodes a leaf at 1:1", "(dgx_h100) on a nonblocking network"]),
        (GROUPS, ["cluster.groups.1={preset: single_gpu}"], ["single_gpu) has no NIC", "gpus_per_node 1"]),
        (GROUPS, ["profile=a100_sxm4_80gb"], ["would price h100_sxm5_80gb and a100_sxm4_80gb alike", "profile: {h100"]),
        (GROUPS, ["profile={b200_sxm_180gb: a100_sxm4_80gb}"], ["no device 'b200_sxm_180gb'", "devices are h100_sxm5"]),
        (GROUPS, ["profile={a100_sxm4_80gb: nowhere}"], ["profile.a100_sxm4_80gb", "'nowhere' is not a profile"]),
        (INLINE, ["cluster.links=[]"], ["big1 (rank 1) cannot be reached from big0", "add a link"]),
        (INLINE, ["cluster.links.1.ends=[old, pcei]", "cluster.links.2.ends=[nvswitch, pcie]"],
         ["'pcie' is no device, and as a switch it has one wire only; did you mean pcei?"]),
        (INLINE, ["cluster.links.1.ends=[old0, old0]", "cluster.links.2.ends=[nvswitch, old]"],
         ["old0 is joined to itself"]),
        (INLINE, ["cluster.links.1.ends=[big0, nvswitch]", "cluster.links.2.ends=[nvswitch, old]"],
         ["joined twice", "added up"]),
        (INLINE, ["cluster.devices.1.name=big"], ["'big' is there twice"]),
        (INLINE, ["cluster.devices.1={name: big3, device: a100_sxm4_80gb}"], ["'big3' is there twice"]),
        (INLINE, ["cluster.devices.1.name=a/b"], ["holds > or /"]),
        (INLINE, ["cluster.devices.1.device=a100_sxm"], ["cluster.devices.1.device", "did you mean 'a100_sxm4_"]),
        (INLINE, ["cluster.devices.1.device=null"], ["cluster.devices.1.name", "`device: ...`"]),
        (INLINE, ["cluster.devices=[]"], ["there is no device"]),
        (INLINE, ["cluster.nic_gbit_per_s=100"], ["cluster.nic_gbit_per_s", "belongs to a preset"]),
        (INLINE, ["cluster.devices=null"], ["links join `devices`"]),
        (INLINE, ["cluster.devices.0.count=2", "cluster.devices.1.count=2"], ["ranks 0 to 3 would be"]),
        (HEAD + "cluster: {nodes: 2}\n", [], ["preset is required"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_way_out(refused, text, sets, words):
    said = refused(text, *sets)
    for word in words:
        assert word in said


def test_each_device_of_a_mixed_cluster_has_its_own_profile(load):
    from simulator.registry import load_profile_for

    own = load(GROUPS)
    devices = [own.cluster.device_of(rank) for rank in (0, 15)]
    assert [load_profile_for(own, device).name for device in devices] == ["h100_sxm5_80gb", "a100_sxm4_80gb"]
    swapped = load(GROUPS, "profile={a100_sxm4_80gb: h100_sxm5_80gb}")
    assert [load_profile_for(swapped, device).name for device in devices] == ["h100_sxm5_80gb"] * 2


def test_peak_flops_are_summed_over_what_is_there(load):
    from simulator.flops import flops_per_step

    assert flops_per_step(load(GROUPS)).peak_flops_per_s == 8 * 989e12 + 8 * 312e12
    assert flops_per_step(load(INLINE, "plan.data=2")).peak_flops_per_s == 4 * 989e12 + 4 * 312e12

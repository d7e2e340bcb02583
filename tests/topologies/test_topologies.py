"""Machine rooms: datasheet figures, every keyword moves the figure it names, and what cannot be is refused."""

import os

import pytest

from simulator.errors import ScenarioError
from simulator.registry import topology, topology_keywords, topology_names, topology_summary
from topologies.boxes import BOXES
from topologies.devices import DEVICES, find_device

CONTRACT_NAMES = {
    "dgx_a100", "dgx_a100_40gb", "dgx_h100", "dgx_h200", "p4d", "p5", "dgx_b200", "dgx2_v100", "cpu_host", "single_gpu",
    "rail_optimized", "fat_tree",
}  # fmt: skip
PLAIN = ("dgx_a100", "dgx_a100_40gb", "dgx_h100")
FIGURES = {  # GPUs, device, NVLink GB/s one way, NICs, Gb/s each, Gb/s that one GPU alone sends
    "dgx_a100": (8, "a100_sxm4_80gb", 300, 8, 200, 200),
    "dgx_a100_40gb": (8, "a100_sxm4_40gb", 300, 8, 200, 200),
    "dgx_h100": (8, "h100_sxm5_80gb", 450, 8, 400, 400),
    "dgx_h200": (8, "h200_sxm_141gb", 450, 8, 400, 400),
    "p4d": (8, "a100_sxm4_40gb", 300, 4, 100, 100),
    "p5": (8, "h100_sxm5_80gb", 450, 32, 100, 400),
    "dgx_b200": (8, "b200_sxm_180gb", 900, 8, 400, 400),
    "dgx2_v100": (16, "v100_sxm3_32gb", 150, 8, 100, 100),
}


def test_every_topology_of_the_contract_is_there():
    assert set(topology_names()) >= CONTRACT_NAMES


@pytest.mark.parametrize("name", topology_names())
def test_every_topology_says_what_it_is_and_takes(name):
    assert topology_summary(name).endswith(".")
    assert "nodes" in topology_keywords(name)


def test_datasheet_figures():
    a100, small, h100 = (topology(name) for name in PLAIN)
    assert a100.device_of(0).peak("bf16") == 312e12
    assert a100.device_of(0).memory_bandwidth_bytes_per_s == 2_039_000_000_000
    assert small.device_of(0).memory_bytes == 40 * 2**30
    assert h100.device_of(0).peak("bf16") == 989e12
    assert h100.device_of(0).peak("fp8") == 1979e12
    assert h100.device_of(0).peak("int8") is None
    assert [box.node_type.node_bytes_per_s for box in (a100, small, h100)] == [200 * 10**9, 200 * 10**9, 400 * 10**9]


@pytest.mark.parametrize("name", FIGURES)
def test_every_box_has_the_nics_and_links_of_its_datasheet(name):
    gpus, device, nvlink, nics, gbit, alone = FIGURES[name]
    cluster = topology(name, nodes=2)
    node = cluster.node_type
    assert (cluster.name, cluster.gpus, node.gpus, node.nics) == (name, 2 * gpus, gpus, nics)
    assert cluster.device_of(0) is DEVICES[device]
    assert node.fabric.gpu_bytes_per_s == nvlink * 10**9
    assert node.nic_bytes_per_s * 8 == gbit * 10**9
    assert node.port_bytes_per_s * 8 == alone * 10**9, "the most that one GPU sends out of its node"
    wire = min(link.capacity_bytes_per_s for link in cluster.route(0, gpus))
    assert wire * 8 == min(alone * 10**9, max(node.device.host_link_bytes_per_s, node.port_bytes_per_s) * 8)
    every = cluster.span(tuple(range(2 * gpus)))
    assert every.node_bytes_per_s * 8 == nics * gbit * 10**9, "all GPUs together fill all NICs"
    assert topology(name, nodes=3).gpus == 3 * gpus
    half = topology(name, nodes=2, gpus_per_node=gpus // 2).node_type
    assert (half.gpus, half.nics) == (gpus // 2, nics // 2), "half a box has half its NICs"
    slow = topology(name, nodes=2, nic_gbit_per_s=80).node_type
    assert slow.node_bytes_per_s == nics * (10**10 // nics), "nic_gbit_per_s is of all NICs together"
    assert topology(name, nics_per_node=1).node_type.port_bytes_per_s * 8 == gbit * 10**9
    assert topology(name, device="a100_sxm4_80gb").device_of(0).name == "a100_sxm4_80gb"


def test_neighbours_of_a_p4d_share_a_card_and_a_gpu_of_a_p5_has_four():
    p4d, p5 = topology("p4d", nodes=2), topology("p5", nodes=2)
    wires = [{link.source for link in p4d.route(rank, 8 + rank)} for rank in range(4)]
    assert "node0/port0/out" in wires[0] & wires[1] and "node0/port1/out" in wires[2] & wires[3]
    assert p5.span((0, 8)).node_bytes_per_s == 4 * 100 * 10**9 // 8
    assert p4d.span((0, 8)).node_bytes_per_s == p4d.span((0, 1, 8, 9)).node_bytes_per_s == 100 * 10**9 // 8


@pytest.mark.parametrize("name", PLAIN)
def test_every_keyword_moves_the_figure_it_names(name):
    plain = topology(name, nodes=2)
    assert plain.gpus == 16 and topology(name, nodes=5).gpus == 40
    assert topology(name, gpus_per_node=4).gpus == 4
    slow = topology(name, nodes=2, nic_gbit_per_s=100)
    assert slow.node_type.node_bytes_per_s == 12_500_000_000, "all NICs together"
    assert slow.span((0, 8)).node_bytes_per_s == 12_500_000_000 // 8
    shared = topology(name, nodes=2, nics_per_node=2)
    assert shared.node_type.node_bytes_per_s == plain.node_type.node_bytes_per_s // 4, "each NIC keeps its rate"
    assert shared.span((7, 8)).node_bytes_per_s == plain.span((7, 8)).node_bytes_per_s
    merged = topology(name, nodes=2, nics_per_node=2, nic_gbit_per_s=800)
    assert merged.span((7, 8)).node_bytes_per_s == 50 * 10**9, "one GPU sends through its own NIC of 400 Gb/s"
    assert topology(name, device="V100-SXM3-32GB").device_of(0).memory_bytes == 32 * 2**30


def test_figures_are_spread_over_fewer_gpus_as_nics_of_their_own():
    half = topology("dgx_h100", nodes=2, gpus_per_node=4)
    assert half.node_type.nics == 4
    assert half.span((0, 4)).node_bytes_per_s == 50 * 10**9


def test_single_gpu_is_the_device_it_names():
    assert topology("single_gpu").gpus == 1
    assert topology("single_gpu", device="A100-SXM4-80GB").device_of(0) is DEVICES["a100_sxm4_80gb"]


def test_cpu_host_is_this_machine():
    host = topology("cpu_host", gpus_per_node=2)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    device = host.device_of(0)
    assert host.gpus == 2
    assert 2 * device.memory_bytes == pytest.approx(memory, abs=2)
    assert host.node_type.fabric.kind == "loopback"
    assert device.peak("fp32") is None, "no published peak, so no MFU"
    alone = topology("cpu_host", gpus_per_node=1).device_of(0)
    assert alone.sustained_flops_per_s == 2 * device.sustained_flops_per_s, "ranks share the cores"
    assert topology("cpu_host").gpus == len(os.sched_getaffinity(0))


def test_a_pcie_box_has_one_link_for_everything_and_a_bridge_between_its_sockets():
    """A100 80GB PCIe: Gen4 x16, 32 GB/s each way; HDR200 a socket; three UPI links of 22.4 GB/s."""
    box = topology("pcie_box", nodes=2)
    node = box.node_type
    assert (node.gpus, node.nics, node.fabric.sockets) == (8, 2, 2)
    assert box.device_of(0) is DEVICES["a100_pcie_80gb"]
    assert [box.route(0, 1)[0].capacity_bytes_per_s, box.route(0, 9)[0].capacity_bytes_per_s] == [32 * 10**9] * 2
    assert box.link_capacity("node0/socket0>node0/socket1") == 67_200_000_000
    assert box.span(range(8)).intra_bytes_per_s == 32 * 10**9, "67 GB/s between sockets hold one ring back by nothing"
    assert box.span((0, 8)).node_bytes_per_s == 25 * 10**9
    assert topology("pcie_box", bridge_gbit_per_s=160).span(range(8)).intra_bytes_per_s == 20 * 10**9
    assert topology("pcie_box", pcie_gbit_per_s=512).span(range(8)).intra_bytes_per_s == 64 * 10**9
    assert topology("pcie_box", device="h100_pcie_80gb").span((0, 1)).intra_bytes_per_s == 64 * 10**9, "Gen5"
    assert topology("pcie_box", sockets=1).node_type.fabric.bridge_bytes_per_s == 0
    assert topology("pcie_box", gpus_per_node=3).node_type.fabric.sockets == 1
    for gpus in range(1, 17):
        assert topology("pcie_box", gpus_per_node=gpus).node_type.nics == (2 if gpus % 2 == 0 else 1)


@pytest.mark.parametrize("name", sorted(BOXES))
@pytest.mark.parametrize("room", ["fat_tree", "rail_optimized"])
def test_a_room_is_built_of_the_box_its_device_is_sold_in(room, name):
    box, built = topology(BOXES[name], device=name), topology(room, device=name, nodes=4)
    assert built.groups == ((box.node_type, 4),)
    assert built.fabric.latency_s == box.fabric.latency_s
    assert topology(room, device=name, gpus_per_node=2).node_type.gpus == 2
    assert topology(room, device=name, nics_per_node=1, nic_gbit_per_s=80).node_type.node_bytes_per_s == 10**10


def test_every_device_is_sold_in_a_box():
    assert set(BOXES) == set(DEVICES)


def test_a_fat_trees_leaf_carries_its_ports_over_the_oversubscription():
    """Four nodes of 8 x 400 Gb/s below a leaf: 1,600 GB/s, at 4:1 400 GB/s upwards, 100 GB/s to each of four spines."""
    plain = topology("fat_tree", nodes=8)
    assert plain.link_capacity("leaf1>core") == plain.link_capacity("core>leaf1") == 1600 * 10**9
    over = topology("fat_tree", nodes=8, oversubscription=4)
    assert over.link_capacity("leaf1>core") == 400 * 10**9
    assert topology("fat_tree", nodes=8, oversubscription=4, spines=4).link_capacity("leaf0>spine3") == 100 * 10**9
    assert topology("fat_tree", nodes=8, nodes_per_leaf=2).leaf_links(0, 16) == ("leaf0>core", "core>leaf1")
    assert plain.leaf_links(0, 16) is None, "four nodes below each"


def test_a_rails_leaf_carries_one_port_of_each_node_of_its_pod():
    """32 nodes, one NDR400 each: 1,600 GB/s; a pod of 4 at 2:1: 100 GB/s."""
    assert topology("rail_optimized", nodes=64).link_capacity("pod1/rail7>core") == 1600 * 10**9
    small = topology("rail_optimized", nodes=8, nodes_per_pod=4, oversubscription=2)
    assert small.link_capacity("pod0/rail0>core") == 100 * 10**9
    assert small.leaf_links(0, 8) is None, "the same rail of the same pod"
    assert small.leaf_links(0, 9) == ("pod0/rail0>core", "core>pod0/rail1")
    assert small.leaf_links(0, 32) == ("pod0/rail0>core", "core>pod1/rail0")


def test_reduction_in_switches_is_where_the_datasheet_has_it_and_can_be_switched_off():
    """NVLS came with NVLink 4 and its NVSwitch; SHARP must be set up by a site, so it is off unless asked for."""
    nvls = {name: topology(name).node_type.fabric.in_switch_reduction for name in topology_names()}
    assert {name for name, has in nvls.items() if has} == {
        "dgx_h100", "dgx_h200", "p5", "dgx_b200", "fat_tree", "rail_optimized",
    }  # fmt: skip
    for name in topology_names():
        takes = topology_keywords(name)
        assert not topology(name).fabric.in_network_reduction
        if "in_switch_reduction" in takes:
            assert not topology(name, in_switch_reduction=False).node_type.fabric.in_switch_reduction
        if "in_network_reduction" in takes:
            assert topology(name, in_network_reduction=True).fabric.in_network_reduction
    assert not topology(
        "fat_tree", device="a100_sxm4_80gb", in_switch_reduction=False
    ).node_type.fabric.in_switch_reduction


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"name": "dgx_a10", "nodes": 1}, ["'dgx_a10'", "did you mean 'dgx_a100'?"]),
        ({"name": "zzz"}, ["use one of", "dgx_h100"]),
        ({"name": "dgx_a100", "node": 2}, ["cluster.node", "did you mean 'nodes'?"]),
        ({"name": "dgx_a100", "nodes": 0}, ["cluster.nodes", "0 is not a whole number"]),
        ({"name": "dgx_a100", "nodes": True}, ["True is not a whole number"]),
        ({"name": "dgx_a100", "nodes": 2.5}, ["2.5 is not a whole number"]),
        ({"name": "dgx_a100", "gpus_per_node": 2**60}, ["2^53"]),
        ({"name": "dgx_a100", "nics_per_node": 3}, ["3 NICs", "8 GPUs", "use 1 or 8"]),
        ({"name": "dgx_a100", "nic_gbit_per_s": 0}, ["cluster.nic_gbit_per_s", "above 0"]),
        ({"name": "dgx_a100", "nic_gbit_per_s": float("nan")}, ["above 0"]),
        ({"name": "dgx_h100", "device": "h100_sxm5"}, ["did you mean 'h100_sxm5_80gb'?"]),
        ({"name": "pcie_box", "gpus_per_node": 6, "sockets": 4}, ["6 GPUs", "4 sockets", "gpus_per_node=8"]),
        ({"name": "pcie_box", "bridge_gbit_per_s": -1}, ["cluster.bridge_gbit_per_s", "above 0"]),
        ({"name": "pcie_box", "pcie_gbit_per_s": "fast"}, ["cluster.pcie_gbit_per_s", "'fast' is not a rate"]),
        ({"name": "fat_tree", "oversubscription": 0.5}, ["cluster.oversubscription", "at least 1", "example 2"]),
        ({"name": "fat_tree", "nodes_per_leaf": 0}, ["cluster.nodes_per_leaf", "from 1 to"]),
        ({"name": "fat_tree", "nodes_per_pod": 2}, ["cluster.nodes_per_pod", "did you mean 'nodes_per_leaf'?"]),
        ({"name": "rail_optimized", "spines": -1}, ["cluster.spines", "from 0 to"]),
        ({"name": "dgx_h100", "in_switch_reduction": 1}, ["cluster.in_switch_reduction", "neither true nor false"]),
        ({"name": "dgx_a100", "in_switch_reduction": True}, ["no keyword 'in_switch_reduction'"]),
        (
            {"name": "rail_optimized", "device": "a100_sxm4_80gb", "in_switch_reduction": True},
            ["dgx_a100 does not add up", "h100_sxm5_80gb or later"],
        ),
        ({"name": "cpu_host", "nodes": 2}, ["one machine", "gpus_per_node"]),
        ({"name": "single_gpu", "nodes": 2}, ["one GPU", "dgx_a100"]),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(keywords, words):
    with pytest.raises(ScenarioError) as refusal:
        topology(**keywords)
    for word in words:
        assert word in str(refusal.value)


def test_device_names_do_not_mind_capitals_and_dashes():
    assert find_device("H100-SXM5-80GB") is DEVICES["h100_sxm5_80gb"]
    assert all(device.name == name for name, device in DEVICES.items())


def test_every_borrowed_profile_is_of_a_real_sibling():
    for device in DEVICES.values():
        if device.profile_bandwidth_bytes_per_s is not None:
            sibling = DEVICES[device.profile]
            assert sibling.memory_bandwidth_bytes_per_s == device.profile_bandwidth_bytes_per_s
            assert sibling.peak("bf16") == device.peak("bf16")

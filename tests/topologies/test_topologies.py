"""Machine rooms: datasheet figures, every keyword moves the figure it names, and what cannot be is refused."""

import os

import pytest

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.registry import topology, topology_keywords, topology_names, topology_summary
from topologies import NOT_BUILT_YET
from topologies.devices import DEVICES, find_device

CONTRACT_NAMES = {
    "dgx_a100", "dgx_a100_40gb", "dgx_h100", "dgx_h200", "p4d", "p5", "dgx_b200", "dgx2_v100", "cpu_host", "single_gpu",
    "rail_optimized", "fat_tree",
}  # fmt: skip
BOXES = ("dgx_a100", "dgx_a100_40gb", "dgx_h100")
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


def test_every_topology_of_the_contract_is_there_or_refused():
    assert set(topology_names()) | set(NOT_BUILT_YET) == CONTRACT_NAMES
    assert set(topology_names()) & set(NOT_BUILT_YET) == set()


@pytest.mark.parametrize("name", sorted(CONTRACT_NAMES - set(NOT_BUILT_YET)))
def test_every_topology_says_what_it_is_and_takes(name):
    assert topology_summary(name).endswith(".")
    assert "nodes" in topology_keywords(name)


def test_datasheet_figures():
    a100, small, h100 = (topology(name) for name in BOXES)
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


@pytest.mark.parametrize("name", BOXES)
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


@pytest.mark.parametrize("name", NOT_BUILT_YET)
def test_topologies_of_later_issues_are_refused_by_name(name):
    with pytest.raises(NotSupportedYet, match=f"{name}.*not supported yet.*dgx_a100"):
        topology(name, nodes=2)


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

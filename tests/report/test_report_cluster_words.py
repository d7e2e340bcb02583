"""What a scenario runs on, in words: everything that a reader would ask about, nothing that is not there."""

from types import SimpleNamespace

import pytest

from simulator.cluster import Cluster, Fabric, Link
from simulator.cluster.inline import inline_cluster
from simulator.registry import topology
from simulator.report.words import cluster_size, cluster_words, costs_words

BOX = topology("dgx_a100", nodes=2)
MIXED = Cluster(topology("dgx_h100", nodes=2).groups + topology("dgx_a100", nodes=1).groups, Fabric(1e-6), "two kinds")


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (topology("dgx_a100", nodes=2), "dgx_a100: 16 devices, 2 nodes of 8 a100_sxm4_80gb, nvswitch 300 GB/s a device "
         "each way, 8 NICs of 200 Gb/s a node"),
        (topology("fat_tree", nodes=8, nodes_per_leaf=2, oversubscription=1.5, spines=4),
         "; fat tree: 2 nodes a leaf, 1.5:1 above with 4 spines"),
        (topology("rail_optimized", nodes=64), "; rail optimized: 32 nodes a pod of rails, 1:1 above"),
        (topology("pcie_box"), "pcie 32 GB/s a device each way, 2 sockets joined at 67 GB/s each way"),
        (MIXED, "2 nodes of 8 h100_sxm5_80gb, nvswitch 450 GB/s a device each way, 8 NICs of 400 Gb/s a node; "
         "1 node of 8 a100_sxm4_80gb"),
        (BOX.degraded([BOX.find_link("gpu0>node0/switch")], 2.0), "; 1 slow link"),
        (BOX.degraded(BOX.links_at("node1/port3/out"), 2.0), "; 2 slow links"),
    ],
)  # fmt: skip
def test_the_cluster_in_words(cluster, words):
    assert words in cluster_words(cluster)


def test_a_cluster_that_is_spelt_out_has_no_nics_to_speak_of():
    device = topology("single_gpu").device_of(0)
    both = (Link("a", "b", 10**9, 0.0), Link("b", "a", 10**9, 0.0))
    cluster = inline_cluster([("a", 1, device), ("b", 1, device)], both)
    assert cluster_words(cluster) == "inline: 2 devices, 1 node of 1 h100_sxm5_80gb; 1 node of 1 h100_sxm5_80gb"
    assert cluster_size(cluster) == "2 h100_sxm5_80gb"
    assert cluster_size(MIXED) == "16 h100_sxm5_80gb and 8 a100_sxm4_80gb, 1,600 Gb/s a node"


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({}, "profile h100_sxm5_80gb, profile a100_sxm4_80gb"),
        ({"a100_sxm4_80gb": "far/away/mine.json"}, "profile h100_sxm5_80gb, profile mine.json"),
        ({"a100_sxm4_80gb": "h100_sxm5_80gb"}, "profile h100_sxm5_80gb"),
    ],
)
def test_each_devices_costs_in_words(stated, words):
    assert costs_words(SimpleNamespace(cluster=MIXED, profile_of=stated.get)) == words


def test_a_device_without_a_profile_is_priced_from_its_datasheet():
    scenario = SimpleNamespace(cluster=topology("dgx_b200"), profile_of=lambda device: None)
    assert costs_words(scenario) == "datasheet of b200_sxm_180gb"

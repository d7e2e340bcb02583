"""DGX A100: eight A100 behind NVSwitch, eight HDR InfiniBand NICs.

NVIDIA DGX A100 80GB datasheet (2021): 8x A100-SXM4-80GB, 6 NVSwitch, NVLink 600 GB/s a GPU both ways together (300e9
bytes/s each way), 8x single-port ConnectX-6 HDR 200 Gb/s for compute. Selene is built of it (arXiv 2104.04473).
"""

from __future__ import annotations

from dataclasses import replace

from simulator.cluster import Cluster, Device
from topologies.devices import A100_SXM4_40GB, A100_SXM4_80GB, find_device
from topologies.interconnects import HDR_GBIT_PER_S, infiniband, nvswitch
from topologies.keywords import node_type, whole


def dgx_a100(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = A100_SXM4_80GB,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX A100: 8x A100-SXM4-80GB, NVSwitch, 8x HDR200 a node.

    The keywords of NICs are those of `topologies.keywords.node_type`. in_network_reduction: as in `dgx_h100`.
    """
    node = node_type(
        find_device(device),
        nvswitch(3),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=HDR_GBIT_PER_S,
    )
    return Cluster(((node, whole("nodes", nodes)),), infiniband(in_network_reduction), name="dgx_a100")


def dgx_a100_40gb(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = A100_SXM4_40GB,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX A100 of 2020: the same box with 8x A100-SXM4-40GB (NVIDIA DGX A100 datasheet, 2020)."""
    box = dgx_a100(nodes, gpus_per_node, nic_gbit_per_s, nics_per_node, device, in_network_reduction)
    return replace(box, name="dgx_a100_40gb")

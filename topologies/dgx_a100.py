"""DGX A100: eight A100 behind NVSwitch, eight HDR InfiniBand NICs.

NVIDIA DGX A100 80GB datasheet (2021): 8x A100-SXM4-80GB, 6 NVSwitch, NVLink 600 GB/s a GPU both ways together (300e9
bytes/s each way), 8x single-port ConnectX-6 HDR 200 Gb/s for compute. Selene is built of it (arXiv 2104.04473).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device, Fabric, NodeFabric
from topologies.devices import A100_SXM4_40GB, A100_SXM4_80GB, find_device
from topologies.keywords import flag, node_type, whole

NVLINK3_BYTES_PER_S = 300 * 10**9
"""12 links of 25 GB/s in each direction."""

NVSWITCH_LATENCY_S = 1.0e-6
"""Assumed: one NVSwitch hop, GPU to GPU; the software's start-up time is in the profile, not here."""

FABRIC_LATENCY_S = 2.5e-6
"""Assumed: NIC to NIC through a three-level fat tree (about 0.6 us a ConnectX-6, 0.13 us a Quantum switch, cables)."""

HDR_GBIT_PER_S = 200


def dgx_a100(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = A100_SXM4_80GB,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX A100: 8x A100-SXM4-80GB, NVSwitch, 8x HDR200 a node; see `topologies.keywords.node_type` for the NICs."""
    node = node_type(
        find_device(device),
        NodeFabric("nvswitch", NVLINK3_BYTES_PER_S, NVSWITCH_LATENCY_S),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=HDR_GBIT_PER_S,
    )
    fabric = Fabric(FABRIC_LATENCY_S, in_network_reduction=flag("in_network_reduction", in_network_reduction))
    return Cluster(((node, whole("nodes", nodes)),), fabric, name="dgx_a100")


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
    return Cluster(box.groups, box.fabric, name="dgx_a100_40gb")

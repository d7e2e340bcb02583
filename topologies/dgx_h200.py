"""DGX H200: eight H200 behind NVSwitch, eight NDR InfiniBand NICs: a DGX H100 with more and faster memory.

NVIDIA DGX H200 datasheet (2024): 8x H200 141GB, 4 NVSwitch, NVLink 900 GB/s a GPU both ways together, 8x ConnectX-7
NDR 400 Gb/s for compute.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.cluster import Cluster, Device
from topologies.devices import H200_SXM_141GB
from topologies.dgx_h100 import dgx_h100


def dgx_h200(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H200_SXM_141GB,
    in_switch_reduction: bool = True,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX H200: 8x H200-SXM-141GB, NVSwitch, 8x NDR400 a node; priced from the H100's profile, memory scaled."""
    reductions = in_switch_reduction, in_network_reduction
    box = dgx_h100(nodes, gpus_per_node, nic_gbit_per_s, nics_per_node, device, *reductions)
    return replace(box, name="dgx_h200")

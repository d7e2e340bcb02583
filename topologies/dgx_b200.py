"""DGX B200: eight B200 behind NVSwitch, eight NDR InfiniBand NICs.

NVIDIA DGX B200 datasheet (2024): 8x B200 (1,440 GB in all), 2 NVSwitch, NVLink 14.4 TB/s in all, both ways together, so
900e9 bytes/s a GPU each way; 4 OSFP ports serving 8x single-port ConnectX-7, 400 Gb/s each.
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.devices import B200_SXM_180GB, find_device
from topologies.interconnects import NDR_GBIT_PER_S, infiniband, nvswitch
from topologies.keywords import node_type, whole


def dgx_b200(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = B200_SXM_180GB,
    in_switch_reduction: bool = True,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX B200: 8x B200-SXM-180GB, NVSwitch, 8x NDR400 a node; priced from the datasheet, with a warning."""
    node = node_type(
        find_device(device),
        nvswitch(5, in_switch_reduction),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=NDR_GBIT_PER_S,
    )
    return Cluster(((node, whole("nodes", nodes)),), infiniband(in_network_reduction), name="dgx_b200")

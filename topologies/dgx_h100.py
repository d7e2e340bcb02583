"""DGX H100: eight H100 behind NVSwitch, eight NDR InfiniBand NICs.

NVIDIA DGX H100 datasheet (2023): 8x H100-SXM5-80GB, 4 NVSwitch, NVLink 900 GB/s a GPU both ways together (450e9 bytes/s
each way), 8x ConnectX-7 NDR 400 Gb/s for compute.
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.devices import H100_SXM5_80GB, find_device
from topologies.interconnects import NDR_GBIT_PER_S, infiniband, nvswitch
from topologies.keywords import node_type, whole


def dgx_h100(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H100_SXM5_80GB,
    in_switch_reduction: bool = True,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX H100: 8x H100-SXM5-80GB, NVSwitch, 8x NDR400 a node.

    The keywords of NICs are those of `topologies.keywords.node_type`. in_switch_reduction: NVLS, which third-generation
    NVSwitch has. in_network_reduction: SHARP in the InfiniBand switches, which Quantum-2 has and a site must set up.
    """
    node = node_type(
        find_device(device),
        nvswitch(4, in_switch_reduction),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=NDR_GBIT_PER_S,
    )
    return Cluster(((node, whole("nodes", nodes)),), infiniband(in_network_reduction), name="dgx_h100")

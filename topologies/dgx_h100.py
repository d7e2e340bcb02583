"""DGX H100: eight H100 behind NVSwitch, eight NDR InfiniBand NICs.

NVIDIA DGX H100 datasheet (2023): 8x H100-SXM5-80GB, 4 NVSwitch, NVLink 900 GB/s a GPU both ways together (450e9 bytes/s
each way), 8x ConnectX-7 NDR 400 Gb/s for compute.
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device, Fabric, NodeFabric
from topologies.devices import H100_SXM5_80GB, find_device
from topologies.keywords import flag, node_type, whole

NVLINK4_BYTES_PER_S = 450 * 10**9
"""18 links of 25 GB/s in each direction."""

NVSWITCH_LATENCY_S = 1.0e-6
"""Assumed: one NVSwitch hop, GPU to GPU; the software's start-up time is in the profile, not here."""

FABRIC_LATENCY_S = 2.5e-6
"""Assumed: NIC to NIC, three-level fat tree (about 0.6 us a ConnectX-7, 0.13 us a Quantum-2 switch, cables)."""

NDR_GBIT_PER_S = 400


def dgx_h100(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H100_SXM5_80GB,
    in_switch_reduction: bool = True,
    in_network_reduction: bool = False,
) -> Cluster:
    """DGX H100: 8x H100-SXM5-80GB, NVSwitch, 8x NDR400 a node; see `topologies.keywords.node_type` for the NICs.

    in_switch_reduction: NVLS, which third-generation NVSwitch has. in_network_reduction: SHARP in the InfiniBand
    switches, which Quantum-2 has and a site must set up.
    """
    node = node_type(
        find_device(device),
        NodeFabric(
            "nvswitch", NVLINK4_BYTES_PER_S, NVSWITCH_LATENCY_S, flag("in_switch_reduction", in_switch_reduction)
        ),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=NDR_GBIT_PER_S,
    )
    fabric = Fabric(FABRIC_LATENCY_S, in_network_reduction=flag("in_network_reduction", in_network_reduction))
    return Cluster(((node, whole("nodes", nodes)),), fabric, name="dgx_h100")

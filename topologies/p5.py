"""AWS p5.48xlarge: eight H100 behind NVSwitch, thirty-two 100 Gb/s EFA network cards, four a GPU.

Amazon EC2 P5 instances, product page (2023): 8x H100 80GB, NVSwitch 900 GB/s a GPU both ways together, 3,200 Gb/s of
EFA networking in an UltraCluster's nonblocking fabric; 32 network cards (EC2 User Guide, network cards).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.devices import H100_SXM5_80GB, find_device
from topologies.interconnects import EFA_GBIT_PER_S, efa, nvswitch
from topologies.keywords import node_type, whole


def p5(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H100_SXM5_80GB,
    in_switch_reduction: bool = True,
) -> Cluster:
    """AWS p5.48xlarge: 8x H100-SXM5-80GB, NVSwitch, 32x EFA100 a node, four a GPU."""
    node = node_type(
        find_device(device),
        nvswitch(4, in_switch_reduction),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=EFA_GBIT_PER_S,
        nics_per_gpu=4,
    )
    return Cluster(((node, whole("nodes", nodes)),), efa(), name="p5")

"""AWS p4d.24xlarge: eight A100 40GB behind NVSwitch, four 100 Gb/s EFA network cards, one for two GPUs.

Amazon EC2 P4 instances, product page (2020): 8x A100 40GB, NVSwitch 600 GB/s a GPU both ways together, 400 Gb/s of EFA
networking in an UltraCluster's nonblocking fabric; 4 network cards (EC2 User Guide, network cards).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.devices import A100_SXM4_40GB, find_device
from topologies.interconnects import EFA_GBIT_PER_S, efa, nvswitch
from topologies.keywords import node_type, whole


def p4d(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = A100_SXM4_40GB,
) -> Cluster:
    """AWS p4d.24xlarge: 8x A100-SXM4-40GB, NVSwitch, 4x EFA100 a node, one for two GPUs."""
    node = node_type(
        find_device(device),
        nvswitch(3),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=EFA_GBIT_PER_S,
        nics_per_gpu=1 / 2,
    )
    return Cluster(((node, whole("nodes", nodes)),), efa(), name="p4d")

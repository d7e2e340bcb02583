"""DGX-2: sixteen V100 behind NVSwitch, eight EDR InfiniBand NICs, one for two GPUs.

NVIDIA DGX-2 datasheet (2018; 2019 for the DGX-2H): 16x V100-SXM3-32GB, 12 NVSwitch, 2.4 TB/s bisection, so 150e9
bytes/s a GPU each way; 8x ConnectX-5 of 100 Gb/s (EDR InfiniBand or Ethernet).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.devices import V100_SXM3_32GB, find_device
from topologies.interconnects import EDR_GBIT_PER_S, infiniband, nvswitch
from topologies.keywords import node_type, whole


def dgx2_v100(
    nodes: int = 1,
    gpus_per_node: int = 16,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = V100_SXM3_32GB,
) -> Cluster:
    """DGX-2: 16x V100-SXM3-32GB, NVSwitch, 8x EDR100 a node; no bf16, priced from the datasheet, with a warning."""
    node = node_type(
        find_device(device),
        nvswitch(2),
        gpus_per_node=gpus_per_node,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=EDR_GBIT_PER_S,
        nics_per_gpu=1 / 2,
    )
    return Cluster(((node, whole("nodes", nodes)),), infiniband(), name="dgx2_v100")

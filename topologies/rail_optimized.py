"""Boxes on rails: the NICs of the same place in each node of a pod share a leaf switch.

NVIDIA DGX SuperPOD reference architecture, DGX H100 (RA-11333-001, 2023): a scalable unit of 32 nodes with one leaf for
each of the 8 NICs of a node, rail-optimized, full fat tree above. GPUs of one rail meet at their leaf; to another rail
a message goes over the spines (NCCL's PXN, which first hands it to the right GPU over NVLink, is not modelled).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.boxes import room_of
from topologies.devices import H100_SXM5_80GB
from topologies.keywords import whole


def rail_optimized(
    nodes: int = 1,
    gpus_per_node: int | None = None,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H100_SXM5_80GB,
    nodes_per_pod: int = 32,
    oversubscription: float = 1.0,
    spines: int = 0,
    in_switch_reduction: bool | None = None,
    in_network_reduction: bool = False,
) -> Cluster:
    """Boxes of `device` in pods of `nodes_per_pod` with a leaf switch for each NIC's place; DGX H100 by default.

    oversubscription and spines: of the links above the leaves, as in `fat_tree`.
    """
    return room_of(
        "rail_optimized", device, nodes=nodes, nodes_per_leaf=whole("nodes_per_pod", nodes_per_pod),
        oversubscription=oversubscription, spines=spines,
        in_switch_reduction=in_switch_reduction, in_network_reduction=in_network_reduction,
        gpus_per_node=gpus_per_node, nic_gbit_per_s=nic_gbit_per_s, nics_per_node=nics_per_node,
    )  # fmt: skip

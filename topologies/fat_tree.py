"""Boxes on a fat tree: every node is below one leaf switch, and the leaves meet above.

C. Leiserson's fat tree (IEEE Trans. Computers, 1985) as data centres build it: a leaf with as many ports downwards as
upwards blocks nothing, one with k times as many is oversubscribed k:1. Four nodes of eight NDR400 NICs fill the 32
downward ports of a 64-port leaf (NVIDIA QM9700 datasheet, 2021: 64 ports of 400 Gb/s).
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device
from topologies.boxes import room_of
from topologies.devices import H100_SXM5_80GB
from topologies.keywords import whole


def fat_tree(
    nodes: int = 1,
    gpus_per_node: int | None = None,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = H100_SXM5_80GB,
    nodes_per_leaf: int = 4,
    oversubscription: float = 1.0,
    spines: int = 0,
    in_switch_reduction: bool | None = None,
    in_network_reduction: bool = False,
) -> Cluster:
    """Boxes of `device` below leaf switches of `nodes_per_leaf` nodes, `oversubscription`:1 above; DGX H100 by default.

    spines: 0 spreads traffic over all paths above the leaves (adaptive routing); n gives a leaf one link to each of n
    spines, and a message takes the spine that its destination node picks (deterministic ECMP).
    """
    return room_of(
        "fat_tree", device, nodes=nodes, nodes_per_leaf=whole("nodes_per_leaf", nodes_per_leaf),
        oversubscription=oversubscription, spines=spines,
        in_switch_reduction=in_switch_reduction, in_network_reduction=in_network_reduction,
        gpus_per_node=gpus_per_node, nic_gbit_per_s=nic_gbit_per_s, nics_per_node=nics_per_node,
    )  # fmt: skip

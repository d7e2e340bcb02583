"""One accelerator in one machine: no collective ever runs."""

from __future__ import annotations

from simulator.cluster import Cluster, Device, Fabric, NodeFabric, NodeType
from topologies.devices import H100_SXM5_80GB, find_device


def single_gpu(device: str | Device = H100_SXM5_80GB) -> Cluster:
    """One device of `topologies.devices`, by name, joined to nothing but its host."""
    chip = find_device(device)
    node = NodeType(chip, 1, 0, 0, NodeFabric("none", chip.host_link_bytes_per_s, 0.0))
    return Cluster(((node, 1),), Fabric(0.0), name="single_gpu")

"""One accelerator in one machine: no collective ever runs."""

from __future__ import annotations

from simulator.cluster import Cluster, Device, Fabric, NodeFabric, NodeType
from simulator.errors import ScenarioError
from topologies.devices import H100_SXM5_80GB, find_device
from topologies.keywords import whole


def single_gpu(device: str | Device = H100_SXM5_80GB, nodes: int = 1) -> Cluster:
    """One device, by name (`topologies.devices`), joined to nothing but its host."""
    if whole("nodes", nodes) != 1:
        raise ScenarioError(f"single_gpu is one GPU, not {nodes} nodes; use dgx_a100 or dgx_h100", key="cluster.nodes")
    chip = find_device(device)
    node = NodeType(chip, 1, 0, 0, NodeFabric("none", chip.host_link_bytes_per_s, 0.0))
    return Cluster(((node, 1),), Fabric(0.0), name="single_gpu")

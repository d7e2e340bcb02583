"""A server of two sockets with PCIe accelerators and no NVLink.

Eight A100 80GB PCIe by default (NVIDIA A100 datasheet, Jun 2021: PCIe Gen4 x16, 64 GB/s both ways together, so 32e9
bytes/s each way), one single-port ConnectX-6 HDR 200 Gb/s (NVIDIA ConnectX-6 VPI datasheet, 2020) a socket. What a GPU
sends to another GPU and what it sends to a NIC share its one PCIe link; GPUs of different sockets meet over the
processors' own links: three UPI links of 11.2 GT/s, 22.4 GB/s each way apiece (Intel Xeon Platinum 8380, 2021).

Messages between GPUs go peer to peer at the link's rate. Platforms that forbid that across sockets and copy through
host memory are slower; PCIe switches that several GPUs hang from are not modelled.
"""

from __future__ import annotations

from simulator.cluster import Cluster, Device, NodeFabric
from simulator.errors import ScenarioError
from simulator.units import gbit_per_s
from topologies.devices import A100_PCIE_80GB, find_device
from topologies.interconnects import HDR_GBIT_PER_S, infiniband
from topologies.keywords import node_type, rate, whole

UPI_GBIT_PER_S = 3 * 22.4 * 8
"""Three links of 22.4 GB/s in each direction."""

PCIE_LATENCY_S = 2.0e-6
"""Assumed: GPU to GPU through one root complex, about twice an NVSwitch hop."""


def pcie_box(
    nodes: int = 1,
    gpus_per_node: int = 8,
    nic_gbit_per_s: float | None = None,
    nics_per_node: int | None = None,
    device: str | Device = A100_PCIE_80GB,
    sockets: int | None = None,
    pcie_gbit_per_s: float | None = None,
    bridge_gbit_per_s: float = UPI_GBIT_PER_S,
) -> Cluster:
    """PCIe server: 8x A100-PCIe-80GB on two sockets, no NVLink, one HDR200 a socket.

    sockets: default two where the GPUs divide evenly, else one. pcie_gbit_per_s: one GPU's link, each way; default the
    device's own. bridge_gbit_per_s: between two sockets, each way.
    """
    chip, gpus = find_device(device), whole("gpus_per_node", gpus_per_node)
    joined = (2 if gpus % 2 == 0 else 1) if sockets is None else whole("sockets", sockets)
    if gpus % joined:
        raise ScenarioError(
            f"{gpus} GPUs cannot be dealt evenly to {joined} sockets; use --set cluster.sockets=1 or "
            f"--set cluster.gpus_per_node={(gpus // joined + 1) * joined}",
            key="cluster.sockets",
        )
    own = chip.host_link_bytes_per_s
    if pcie_gbit_per_s is not None:
        own = gbit_per_s(rate("pcie_gbit_per_s", pcie_gbit_per_s, example=256))
    bridge = gbit_per_s(rate("bridge_gbit_per_s", bridge_gbit_per_s, example=UPI_GBIT_PER_S))
    node = node_type(
        chip,
        NodeFabric("pcie", own, PCIE_LATENCY_S, sockets=joined, bridge_bytes_per_s=bridge if joined > 1 else 0),
        gpus_per_node=gpus,
        nics_per_node=nics_per_node,
        nic_gbit_per_s=nic_gbit_per_s,
        nic_gbit_each=HDR_GBIT_PER_S,
        nics_per_gpu=joined / gpus,
    )
    return Cluster(((node, whole("nodes", nodes)),), infiniband(), name="pcie_box")

"""The machine this runs on, its processes joined by Gloo over loopback. A rank is a process.

Cores and memory are read from the operating system; no figure of a datasheet is known for it, so the rates are assumed
until `rehearse calibrate` measures them. A scenario on it is therefore not the same on another machine.
"""

from __future__ import annotations

import os

from simulator.cluster import Cluster, Device, Fabric, NodeFabric, NodeType
from simulator.errors import ScenarioError
from topologies.keywords import whole

CORE_FLOPS_PER_S = 40e9
"""Assumed: fp32 FLOP/s of one core in a large GEMM (AVX2, 2 FMA of 8 lanes at about 2.5 GHz, half achieved)."""

MEMORY_BYTES_PER_S = 20 * 10**9
"""Assumed: what the cores together read and write (two channels of DDR4-3200 are 51 GB/s at best)."""

LOOPBACK_BYTES_PER_S = 1600 * 10**6
"""Assumed for machines of this class: an all_reduce of 64 MB took 42 ms between 2 processes on 2 cores."""

LOOPBACK_LATENCY_S = 150e-6
"""Assumed for machines of this class: an all_reduce of 1 KB took 0.3 ms there, two messages one after another."""


def cpu_host(gpus_per_node: int | None = None, nodes: int = 1) -> Cluster:
    """This machine with `gpus_per_node` ranks (default: one a core), which share its cores and memory evenly."""
    if whole("nodes", nodes) != 1:
        raise ScenarioError(
            f"cpu_host is the one machine it runs on, not {nodes}; set gpus_per_node to the ranks you want",
            key="cluster.nodes",
        )
    cores = _num_cores()
    ranks = cores if gpus_per_node is None else whole("gpus_per_node", gpus_per_node)
    device = Device(
        name="cpu_rank",
        memory_bytes=_memory_bytes() // ranks,
        memory_bandwidth_bytes_per_s=MEMORY_BYTES_PER_S // ranks,
        peak_flops_per_s=(),
        host_link_bytes_per_s=MEMORY_BYTES_PER_S // ranks,
        sustained_flops_per_s=CORE_FLOPS_PER_S * cores / ranks,
    )
    node = NodeType(device, ranks, 0, 0, NodeFabric("loopback", LOOPBACK_BYTES_PER_S, LOOPBACK_LATENCY_S))
    return Cluster(((node, 1),), Fabric(0.0), name="cpu_host")


def _num_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int:
    """Memory of the machine; 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30

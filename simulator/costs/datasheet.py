"""A profile for a device that nobody measured: its datasheet times a few assumed efficiencies.

It has the form of a profile, so that pricing has one road: every table is one point, every curve one value, and every
collective is its ring formula on the links that the cluster states.
"""

from __future__ import annotations

import numpy as np

from simulator.cluster import Device, NodeFabric
from simulator.costs.algorithms import RING
from simulator.costs.kernels import TABLE_AXES
from simulator.costs.profile import Profile
from simulator.costs.profile_entries import (
    INTRA_NODE,
    CollectiveCurve,
    Constant,
    Curve,
    DeviceSheet,
    KernelTable,
    Overlap,
    SourceGroup,
)
from simulator.kinds import CONTEXT, DATA, EMBEDDING, PIPELINE, TENSOR

ASSUMED = SourceGroup("assumed", "datasheet times assumed efficiencies")
GEMM_EFFICIENCY = 0.6
"""Assumed: of the dense peak. Published tables reach 0.7 to 0.9 on large products, half of that on middling ones."""
PLAIN_GEMM_EFFICIENCY = 0.9
"""Assumed: of the fp32 peak, which is that of plain multiply-adds, fed far more easily than tensor cores. NVIDIA's DLRM
in fp32 on a V100 (DeepLearningExamples, June 2021: 713,000 samples/s) does 0.65 of the peak, its other kernels in."""
ATTENTION_EFFICIENCY = 0.4
"""Assumed: of the dense peak, for a fused kernel with a causal mask (0.3 to 0.6 published)."""
MEMORY_EFFICIENCY = 0.75
"""Assumed: of the memory bandwidth (0.5 to 0.85 published for memory-bound families on A100)."""
LINK_EFFICIENCY = 0.75
"""Assumed: of a link's rate, by a large collective (0.74 to 0.78 published on NVSwitch)."""
DATASHEET_ERROR = 0.25
"""Assumed: standard deviation of the log of a datasheet price's error."""

_CONSTANTS: dict[str, tuple[float, str, str]] = {
    "launch_s": (5e-6, "s", "host time for launching one kernel, eager"),
    "kernel_startup_s": (3e-6, "s", "a kernel takes this to start and drain (2.6 to 2.9 us on A100 and H100)"),
    "clock_under_load": (1.0, "1", "no reason to assume another clock than the datasheet's"),
    "memory_under_load": (1.0, "1", "as above"),
    "nccl_base_s": (4e-6, "s", "a collective's launch"),
    "ring_hop_intra_low_latency_s": (0.5e-6, "s", "as NCCL's tuner"),
    "ring_hop_inter_low_latency_s": (2.7e-6, "s", "as NCCL's tuner"),
    "ring_hop_intra_s": (1.9e-6, "s", "as NCCL's tuner"),
    "ring_hop_inter_s": (4e-6, "s", "as NCCL's tuner"),
    "transfer_hop_inter_s": (9.6e-6, "s", "as NCCL's tuner"),
    "tree_hop_intra_s": (0.5e-6, "s", "as NCCL's tuner"),
    "tree_hop_inter_s": (5e-6, "s", "as NCCL's tuner"),
    "fabric_efficiency": (0.9, "1", "share of the NICs that large messages reach (0.8 to 0.96 published)"),
    "tree_fill_hops": (6.0, "1", "pipeline fill, as published for two nodes of A100"),
    "tree_fill_half": (0.5, "1", "as above"),
    "tree_limit_two_nodes_bytes_per_s": (1e12, "bytes/s", "no limit known"),
    "tree_limit_bytes_per_s": (1e12, "bytes/s", "no limit known"),
    "sharp_base_low_latency_s": (4.4e-6, "s", "as NCCL's tuner"),
    "sharp_hop_intra_low_latency_s": (0.5e-6, "s", "as NCCL's tuner"),
    "sharp_hop_inter_low_latency_s": (5e-6, "s", "as NCCL's tuner"),
    "sharp_hop_intra_s": (4e-6, "s", "as NCCL's tuner"),
    "sharp_hop_inter_s": (10.7e-6, "s", "as NCCL's tuner"),
    "sharp_efficiency": (0.9, "1", "as NCCL's tuner"),
    "nvls_hop_s": (25e-6, "s", "as NCCL's tuner"),
    "nvls_tree_hop_s": (20.9e-6, "s", "as NCCL's tuner"),
    "nvls_sharp_hop_s": (18e-6, "s", "as NCCL's tuner"),
    "nvls_efficiency": (0.69, "1", "of a GPU's link, as published for H100"),
    "host_link_efficiency": (0.85, "1", "of the link's rate"),
    "embedding_lookup_efficiency": (0.75, "1", "as memory-bound kernels"),
    "embedding_update_efficiency": (0.75, "1", "as memory-bound kernels"),
    "topk_passes": (6.0, "1", "radix select"),
    "scatter_add_passes": (2.0, "1", "scattered writes"),
    "orthogonalize_passes": (2.0, "1", "Gram-Schmidt"),
    "quantize_passes": (1.0, "1", "one pass"),
    "hstu_backward_slowdown": (1.0, "1", "as flash attention"),
}
_CURVES = {
    "memory_efficiency.elementwise": (("bytes",), MEMORY_EFFICIENCY),
    "memory_efficiency.layernorm": (("bytes",), MEMORY_EFFICIENCY),
    "memory_efficiency.softmax": (("bytes",), MEMORY_EFFICIENCY),
    "attention_full_over_causal": (("seq", "head_dim"), 1.0),
    "attention_forward_over_backward": (("seq", "head_dim"), 1.15),
    "flash_causal_efficiency": (("seq", "head_dim"), ATTENTION_EFFICIENCY),
}
_SIZES = 2.0 ** np.arange(8, 36)
_GROUPS = (2, 4, 8)


def datasheet_profile(device: Device, fabric: NodeFabric) -> Profile:
    """The profile of a device without one, on the links of its node."""
    constants = {name: Constant(value, unit, "assumed", why) for name, (value, unit, why) in _CONSTANTS.items()}
    sustained = device.sustained_flops_per_s is not None  # already what large products reach
    efficiency = {"gemm": GEMM_EFFICIENCY, "attention_forward": ATTENTION_EFFICIENCY}
    startup = constants["kernel_startup_s"].value
    one = np.ones(1)
    fastest = max((peak for _, peak in device.peak_flops_per_s), default=device.sustained_flops_per_s or 1e12)
    tables = {(op, "bf16"): 1.0 if sustained else efficiency[op] for op in TABLE_AXES}
    tables["gemm", "fp32"] = 1.0 if sustained else PLAIN_GEMM_EFFICIENCY
    return Profile(
        name=f"datasheet of {device.name}",
        device=DeviceSheet(
            device.name, device.memory_bytes, device.memory_bandwidth_bytes_per_s, 0,
            dict.fromkeys(("bf16", "fp32"), fastest),
            device.host_link_bytes_per_s, fabric.gpu_bytes_per_s,
        ),
        defaults={"attention": "flash"},
        sources={"datasheet": ASSUMED},
        kernels={
            (op, dtype): KernelTable(op, dtype, ASSUMED, dict.fromkeys(TABLE_AXES[op], one), one * startup / share)
            for (op, dtype), share in tables.items()
        },
        collectives={
            (op, INTRA_NODE, ranks): _ring_curve(op, ranks, fabric, constants["nccl_base_s"].value)
            for op in RING
            for ranks in _GROUPS
        },
        curves={
            name: Curve("1", ASSUMED, dict.fromkeys(axes, one), one * value) for name, (axes, value) in _CURVES.items()
        },
        constants=constants,
        overlap={
            **{kind: Overlap(1.1256, 1.1256, ASSUMED) for kind in (TENSOR, CONTEXT, EMBEDDING, DATA)},
            PIPELINE: Overlap(1.0, 1.0, ASSUMED),
        },
        fits={},
        checksum=f"datasheet:{device!r}:{fabric!r}",
    )  # fmt: skip


def _ring_curve(op: str, ranks: int, fabric: NodeFabric, base_s: float) -> CollectiveCurve:
    rate = max(fabric.gpu_bytes_per_s, 1) * LINK_EFFICIENCY
    times = np.array([base_s + RING[op](ranks, size, rate, fabric.latency_s) for size in _SIZES.tolist()])
    return CollectiveCurve(op, ranks, INTRA_NODE, ASSUMED, _SIZES, times)

"""The named constants of the published profiles: value, unit, kind, origin. One place, so that all can be read at once.

kind: published (somebody states it), fitted (to the declared rows in `fitted_on`), assumed (with the reason).
"""

from __future__ import annotations

NCCL_TUNER = "NCCL source, src/graph/tuning.cc (github NVIDIA/nccl @01afd20a77b5): the tuner's latency table"


def constant(value: float, unit: str, kind: str, citation: str, fitted_on: tuple[str, ...] = ()) -> dict:
    """One entry of a profile's `constants`."""
    return {"value": value, "unit": unit, "kind": kind, "citation": citation, "fitted_on": list(fitted_on)}


COMMON = {
    "launch_s": constant(
        5.0e-6,
        "s",
        "assumed",
        "host time to launch one kernel from eager PyTorch; launch to synchronize took 12 us (LLMCompass, softmax)",
    ),
    "nccl_base_s": constant(3.6e-6, "s", "published", f"{NCCL_TUNER}, ring, LL base 3.6 us"),
    "ring_hop_intra_low_latency_s": constant(0.47e-6, "s", "published", f"{NCCL_TUNER}, NVLink, ring, LL"),
    "ring_hop_inter_low_latency_s": constant(
        2.7e-6, "s", "published", f"{NCCL_TUNER}, network, ring, LL; the cluster's wire latency is added to it"
    ),
    "ring_hop_intra_s": constant(1.9e-6, "s", "published", f"{NCCL_TUNER}, NVLink, ring, LL128"),
    "ring_hop_inter_s": constant(
        4.0e-6, "s", "published", f"{NCCL_TUNER}, network, ring, LL128; the cluster's wire latency is added to it"
    ),
    "transfer_hop_inter_s": constant(
        9.6e-6, "s", "published", f"{NCCL_TUNER}, network, ring, Simple; the cluster's wire latency is added to it"
    ),
    "tree_hop_intra_s": constant(0.52e-6, "s", "published", f"{NCCL_TUNER}, NVLink, tree, LL"),
    "tree_hop_inter_s": constant(
        5.0e-6, "s", "published", f"{NCCL_TUNER}, network, tree, LL; the cluster's wire latency is added to it"
    ),
    "sharp_base_low_latency_s": constant(4.4e-6, "s", "published", f"{NCCL_TUNER}, CollNet, LL base 4.4 us"),
    "sharp_hop_intra_low_latency_s": constant(0.5e-6, "s", "published", f"{NCCL_TUNER}, NVLink, CollNet, LL"),
    "sharp_hop_inter_low_latency_s": constant(
        5.0e-6, "s", "published", f"{NCCL_TUNER}, network, CollNet, LL; the cluster's wire latency is added to it"
    ),
    "sharp_hop_intra_s": constant(4.0e-6, "s", "published", f"{NCCL_TUNER}, NVLink, CollNet, Simple"),
    "sharp_hop_inter_s": constant(
        10.7e-6, "s", "published", f"{NCCL_TUNER}, network, CollNet, Simple; the cluster's wire latency is added to it"
    ),
    "sharp_efficiency": constant(0.9, "1", "published", f"{NCCL_TUNER}: CollNet's bandwidth over a ring's"),
    "topk_passes": constant(
        6.0, "1", "assumed",
        "exact top-k is a radix select: four 8-bit digits read the keys once each, then a gather and a sort",
    ),
    "scatter_add_passes": constant(
        4.0,
        "1",
        "assumed",
        "a scattered 4-byte entry moves a 32-byte sector each way: 72 bytes for the 16 to 20 that the kernel states",
    ),
    "orthogonalize_passes": constant(
        2.0, "1", "assumed", "Gram-Schmidt over r columns passes over half of what is left r times: 2 at rank 4"
    ),
    "quantize_passes": constant(1.0, "1", "assumed", "one fused pass: the bytes that the kernel states"),
    "hstu_backward_slowdown": constant(
        1.0, "1", "assumed",
        "HSTU's backward over flash attention's at equal FLOPs; no source apart from validation rows",
    ),
}  # fmt: skip

EMBEDDING = {
    "host_link_efficiency": constant(
        1.0,
        "1",
        "published",
        "rows read from host memory: 1.05M lookups of 128 fp32 on one H100 took 7.93 ms (single-GPU embedding "
        "benchmark, 10 tables): 68e9 bytes/s of rows over a 64e9 bytes/s link; repeated rows hit caches, capped at 1",
    ),
    "embedding_lookup_efficiency": constant(
        0.92,
        "1",
        "published",
        "1.05M lookups of 128 fp32 on one H100 took 0.347 ms (same benchmark): rows read and vectors written are "
        "1.07e9 bytes, 0.92 of 3.35e12 bytes/s",
    ),
    "embedding_update_efficiency": constant(
        0.78,
        "1",
        "published",
        "their SGD backward took 0.614 ms (same benchmark): gradients read, rows read and written are 1.61e9 bytes, "
        "0.78 of the bandwidth; Adam's 1.005 ms is 12 % below what its bytes give at that rate or at full bandwidth",
    ),
}
"""One H100: 10 tables of width 128, 1.05M lookups in all, fp32."""

AWAITED_LAUNCH = constant(
    30e-6,
    "s",
    "published",
    "NVIDIA/DeepLearningExamples PyTorch/Recommendation/DLRM, README of October 2021, inference on one A100 of a DGX "
    "at batches of 2 to 256: as a graph 0.141 ms in fp16 and 0.158 in TF32, kernel by kernel 0.456 and 0.414. Either "
    "copies the batch in and waits; a graph has 2 more copies and its own launch for 13 and 12 kernels (3 and 4 "
    "products of the MLPs, 2 of the last layer, gather, join, interaction, a cast in fp16): 0.315 ms / 10 and "
    "0.257 ms / 9. What a graph's small kernels take is left out and would add 3 us",
)
"""What one operation of that software costs its host, Python's modules and loops over parameters included. Of no row
that is predicted: those are training."""

MEGATRON_LAUNCH = constant(
    59e-6,
    "s",
    "published",
    "vTrain (arXiv 2312.12391), data/ground_truth_single.csv, hidden 1024, sequence 1024, 16 microbatches of 1, one "
    "stage: 20 layers less 12 took 387.2, 428.1, 441.6 and 639.1 ms at tensor 1, 2, 4 and 8, so 3.03, 3.34, 3.45 and "
    "4.99 ms a layer and microbatch whatever a rank computes, over the 58 kernels (64 with all-reduces) that are "
    "counted of two forward passes and a backward: 52, 52, 54 and 78 us",
)
"""What a counted kernel costs the host of the software that these ran: modules, autograd, checkpointing, random states.
Of no row that is predicted: those have 24 layers. Later Megatron-LM is not known to launch faster, nor as slowly."""

MEMORY_UNDER_LOAD = 1.23
"""H100's, to 2 % what was fitted on A100 (`cluster_fits.py`): elementwise kernels then reach 0.64 of the datasheet's
bandwidth in a step, against 0.79 alone with nothing but GELU."""

A100 = {
    "gemm_multiprocessors": constant(
        108.0,
        "1",
        "published",
        "A100 datasheet: 108 multiprocessors; its table's products come in waves of as many tiles (costs/waves.py)",
    ),
    "gemm_sustained_share": constant(
        0.869,
        "1",
        "published",
        "mamf-finder: 271.2e12 FLOP/s of 312e12 at best, over many shapes under sustained load (kernel_max_gemm.csv)",
    ),
    "tree_limit_two_nodes_bytes_per_s": constant(
        55e9,
        "bytes/s",
        "published",
        f"{NCCL_TUNER}: trees over 2 nodes, compute capability 8.0: busbw 110, halved",
    ),
    "tree_limit_bytes_per_s": constant(
        40e9, "bytes/s", "published", f"{NCCL_TUNER}: trees over more nodes, compute capability 8.0: busbw 80, halved"
    ),
    **{name: {**entry, "kind": "transferred"} for name, entry in EMBEDDING.items()},
    "awaited_launch_s": AWAITED_LAUNCH,
    "launch_s@megatron_2021": MEGATRON_LAUNCH,
    "clock_under_load": constant(
        1.0, "1", "assumed", "a 400 W A100 keeps 1,410 MHz in the published GEMM tables and in steps alike"
    ),
}

NEWER_TUNER = "NCCL source since 2.18, src/graph/tuning.cc: the tuner's latency table"

H100 = {
    "nvls_hop_s": constant(25e-6, "s", "published", f"{NEWER_TUNER}, NVLink, NVLS and NVLSTree"),
    "nvls_tree_hop_s": constant(
        20.9e-6, "s", "published", f"{NEWER_TUNER}, network, NVLSTree; the cluster's wire latency is added to it"
    ),
    "nvls_sharp_hop_s": constant(
        18e-6, "s", "published", f"{NEWER_TUNER}, network, NVLS; the cluster's wire latency is added to it"
    ),
    "tree_limit_two_nodes_bytes_per_s": constant(
        331e9, "bytes/s", "published", "NCCL 2.28 tuner, Hopper, trees on 2 nodes: 41.4e9 a channel, 16 assumed, halved"
    ),
    "tree_limit_bytes_per_s": constant(
        288e9, "bytes/s", "published", "NCCL 2.28 tuner, Hopper, trees on more nodes: 36e9 a channel, 16 assumed, half"
    ),
    **EMBEDDING,
    "awaited_launch_s": {**AWAITED_LAUNCH, "kind": "transferred"},
    "memory_under_load": constant(
        MEMORY_UNDER_LOAD, "1", "assumed", "as on A100; no layer times of H100 are published apart from whole steps"
    ),
}  # fmt: skip

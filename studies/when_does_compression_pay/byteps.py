"""BytePS's gradient compression on 32 V100, predicted: the published rows, and every setting that is assumed.

Source: bytedance/byteps, docs/gradient-compression.md (ResNet18_v2 on CIFAR100, four p3.16xlarge with eight V100 each),
and for what it leaves out example/mxnet/gradient_compression/README.md (batch 32 a GPU, k 0.001,
BYTEPS_MIN_COMPRESS_BYTES 1024000, error feedback).
"""

from __future__ import annotations

from typing import Any

from simulator import scenario_from, simulate

SECONDS: dict[float, dict[str, float]] = {
    25.0: {"none": 703.15, "onebit": 629.42, "randomk": 502.00, "topk": 507.91},
    0.1: {"none": 518.32, "onebit": 195.24, "randomk": 89.67, "topk": 83.93},
}
"""Gb/s of a node -> method -> seconds of a whole run; only ratios within a network are comparable (epochs differ)."""

FORWARD_S, BACKWARD_S = 0.040, 0.010

ASSUMED = (
    "layers: 40 ms ahead of the backward pass and 10 ms of backward, spread evenly over tensors. 200 epochs of 49 "
    "steps in the page's fastest run leave 51 ms to whatever is not communication; 3.4 GFLOP a GPU are a few ms of "
    "that, so most is taken to be the input pipeline (-j 2), beside which nothing is sent",
    "network: a p3.16xlarge is taken as eight GPUs behind NVSwitch with one NIC (its NVLink mesh is slower; no row "
    "hangs on it), the NIC at 0.9 of its rate",
    "aggregation: reduced inside a node, then between nodes (hierarchical): 2 (N-1)/N of the gradient leaves each NIC, "
    "as from N workers with N servers beside them",
    "one bucket a tensor; tensors below 1,024,000 bytes are not compressed: 3.6 of 44.9 MB",
    "payloads that cannot be summed are gathered from all 32 GPUs: each compresses what it computed, where BytePS "
    "compresses on the CPU what its node has added up. Gathering is what makes onebit last: 1/32 of the gradient from "
    "each of 31 others is as much as the gradient itself",
    "randomk sends pairs from a seed of each rank's own (a shared seed came later, byteps pull request 395); k is "
    "0.001 for topk and randomk (the page says k = 1 and k = 8, without a unit)",
    "encoding and decoding run on the GPU, by passes over memory; BytePS's momentum is not priced",
)


def tensors(classes: int = 100) -> tuple[int, ...]:
    """Parameters of each tensor of MXNet Gluon's resnet18_v2, in forward order; a norm's two vectors as one."""
    found, width = [3 * 64 * 49, 2 * 64], 64
    for stage, out in enumerate((64, 128, 256, 512)):
        for block in range(2):
            found += [2 * width, 9 * width * out, 2 * out, 9 * out * out]
            found += [width * out] if block == 0 and stage else []
            width = out
    return (*found, 2 * 512, 512 * classes + classes)


def scenario(method: str, gbit_per_s: float):
    """32 GPUs on 4 nodes with a NIC of so many Gb/s each."""
    counts = tensors()
    layers = [
        {"forward_s": FORWARD_S / len(counts), "backward_s": BACKWARD_S / len(counts), "parameters": count}
        for count in counts
    ]
    keys: dict[str, dict[str, Any]] = {
        "none": {}, "onebit": {}, "topk": {"density": 0.001}, "randomk": {"density": 0.001, "shared_seed": False},
    }  # fmt: skip
    compression = {"method": method, **keys[method], **({} if method == "none" else {"min_bytes": 1_024_000})}
    return scenario_from({
        "schema_version": 1,
        "name": f"BytePS, {method}, {gbit_per_s:g} Gb/s",
        "model": {"trunk": {"block": "profiled", "layers": layers}},
        "dtype": "fp32",
        "optimizer": "sgd",
        "cluster": {"preset": "dgx2_v100", "nodes": 4, "gpus_per_node": 8, "nics_per_node": 1,
                    "nic_gbit_per_s": gbit_per_s},
        "plan": {"microbatch": 32, "global_batch": 1024, "bucket_mib": 1e-6, "compression": compression,
                 "aggregation": {"algorithm": "hierarchical"}},
    })  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Predicted and published speed-up of each method over none, and their ratio."""
    found = []
    for gbit_per_s, published in SECONDS.items():
        steps = {method: simulate(scenario(method, gbit_per_s)).step_time_s for method in published}
        for method in tuple(published)[1:]:
            ours, theirs = steps["none"] / steps[method], published["none"] / published[method]
            found.append({"network": f"{gbit_per_s:g} Gb/s", "method": method, "predicted": ours, "published": theirs,
                          "predicted over published": ours / theirs})  # fmt: skip
    return found

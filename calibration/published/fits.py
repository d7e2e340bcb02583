"""Curves and constants worked out from the raw tables, each with its derivation."""

from __future__ import annotations

import math

import numpy as np

from calibration.published.constants import COMMON, constant
from calibration.published.raw import citation, rows

A100_BANDWIDTH, H100_PEAK, A100_PEAK = 2039e9, 989e12, 312e12
FP16_BYTES_READ_AND_WRITTEN = 4


def digits(value: float, count: int = 6) -> float:
    """Rounded to significant digits, so that the last bits of log and exp never reach a file."""
    return float(f"{value:.{count - 1}e}")


def memory_curves(source: str) -> dict:
    """Share of the datasheet's memory bandwidth that a family reaches, against bytes moved (LLMCompass, A100).

    Their third number is elements of the tensor over wall-clock seconds, in 1e9/s (ae/figure5/*/test_*.py print
    M * N / latency / 1e9 of fp16 tensors), so each element is 4 bytes, read and written. The clock ran on the host
    around launch and synchronize: every small tensor takes the same 15 us (softmax) or 48 us (layernorm, gelu), which
    is no property of the GPU. What the host adds to a large kernel is the intercept of time against bytes over the five
    largest sizes (layernorm, gelu: 40 us; their own simulator adds 45) or, where time bends too much for a line
    (softmax), their own 12 us. Only points whose time is twice that are kept. Rows are 4,096 wide; wider ones are
    slower (`wide_rows`).
    """
    families = {
        "elementwise": [(float(elements), float(rate)) for elements, rate in _split("gelu")],
        "layernorm": [(float(m) * float(n), float(rate)) for m, n, rate in _split("layernorm") if n == "4096"],
        "softmax": [(float(m) * float(n), float(rate)) for m, n, rate in _split("softmax") if n == "4096"],
    }
    curves = {}
    for name, points in families.items():
        elements = np.array(sorted(dict.fromkeys(points)))
        num_bytes = elements[:, 0] * FP16_BYTES_READ_AND_WRITTEN
        seconds = elements[:, 0] / (elements[:, 1] * 1e9)
        host_s = 12e-6 if name == "softmax" else float(np.polyfit(num_bytes[-5:], seconds[-5:], 1)[1])
        kept = seconds > 2 * host_s
        share = num_bytes[kept] / (seconds[kept] - host_s) / A100_BANDWIDTH
        curves[f"memory_efficiency.{name}"] = {
            "unit": "1", "source": source,
            "columns": {"bytes": [int(size) for size in num_bytes[kept]]},
            "value": [digits(value, 4) for value in share],
        }  # fmt: skip
    return curves


def wide_rows(source: str) -> dict:
    """Bandwidth of a layernorm over rows of 4,096 to 32,768 elements, over that of the same elements in rows of 4,096.

    LLMCompass measured torch's kernel, one block a row, with the host's 40 us of `memory_curves` taken off. That apex's
    FusedLayerNorm, also one pass for the moments and one for the result, slows down alike is assumed.
    """
    points = {(int(m), int(n)): float(m) * float(n) / (float(rate) * 1e9) for m, n, rate in _split("layernorm")}
    tall = sorted((m * n, seconds) for (m, n), seconds in points.items() if n == 4096)
    host_s = float(np.polyfit(*np.array(tall[-5:]).T, 1)[1])
    at_4096 = dict(tall)
    widths = sorted(n for m, n in points if m == 4096 and n >= 4096)
    share = [(at_4096[4096 * width] - host_s) / (points[4096, width] - host_s) for width in widths]
    return {
        "layernorm_wide_rows": {
            "unit": "1", "source": source, "columns": {"width": widths}, "value": [digits(value, 4) for value in share],
        }
    }  # fmt: skip


def _split(kernel: str) -> list[list[str]]:
    return [row["row"].split(", ") for row in rows("kernel_llmcompass_a100", kernel=kernel)]


def attention_curves(source: str, ampere: bool) -> dict:
    """Ratios between kinds of flash attention, from FlashAttention-3's figures on H100, 16k tokens.

    attention_full_over_causal: FLOP/s without mask over FLOP/s with it. attention_forward_over_backward: FLOP/s forward
    over backward, no mask. flash_causal_efficiency: share of the peak of a causal forward. On A100 the first two carry
    over (the second at FlashAttention-2's own figures: 73 and 63 % of peak at best, arXiv 2307.08691 section 4.1) and
    the third is what a user measured of FlashAttention-2 without mask, over the first.
    """
    table = rows("kernel_flash_attention3_h100")
    rate = {(row["pass"], row["causal"], int(row["head_dim"]), int(row["seq"])): float(row["tflops"]) for row in table}
    both = [(dim, seq) for kind, causal, dim, seq in rate if (kind, causal) == ("forward", "1")]
    full = {key: rate["forward", "0", *key] / rate["forward", "1", *key] for key in both}
    if ampere:
        measured = rows("kernel_flash_attention2_a100")
        best = sum(float(row["tflops"]) for row in measured) / len(measured) * 1e12 / A100_PEAK
        efficiency = {key: best / full[key] for key in both}
        backward = {(128, 2048): 0.73 / 0.63}
    else:
        efficiency = {key: rate["forward", "1", *key] * 1e12 / H100_PEAK for key in both}
        backward = {
            (dim, seq): rate["forward", "0", dim, seq] / tflops
            for (kind, _, dim, seq), tflops in rate.items()
            if kind == "backward"
        }

    def curve(values: dict[tuple[int, int], float]) -> dict:
        columns = {"seq": [seq for _, seq in values], "head_dim": [dim for dim, _ in values]}
        return {"unit": "1", "source": source, "columns": columns, "value": [digits(v, 4) for v in values.values()]}

    return {
        "attention_full_over_causal": curve(full),
        "attention_forward_over_backward": curve(backward),
        "flash_causal_efficiency": curve(efficiency),
    }


LOG = "2x p4de.24xlarge A100-80GB, 4x100Gb/s EFA per node"
LOG_NODES, LOG_RANKS, LOG_NODE_BYTES_PER_S = 2, 16, 50e9


def inter_node_log() -> list[tuple[int, float]]:
    """(bytes, seconds) of the two-node all_reduce log, sizes ascending, from 1 KiB (below it all times are one)."""
    found = [(int(row["size_B"]), float(row["time_us"]) * 1e-6) for row in rows("nccl_allreduce_logs", system=LOG)]
    return sorted(point for point in found if point[0] >= 1024)


def fit_rows() -> list[tuple[int, float]]:
    """Every other size of the log, the largest included: what the inter-node constants are fitted on."""
    return inter_node_log()[::-1][::2]


def inter_node_constants() -> dict:
    """What a tree over two nodes costs beyond its hops, from every other size of the log; what InfiniBand reaches.

    Model (`costs/collectives.py`): t = base + hops + S / (e B) + F h S / (S + H h B), h one hop between nodes (NCCL's
    5 us and the wire), B the node's NICs. h and e are EFA's own; F and H have no dimension and carry over to other
    fabrics. Least squares of the log of time over a fixed grid. On InfiniBand e is the mean of three reports.
    """
    points = fit_rows()
    best = (math.inf, 0.0, 0.0, 0.0, 0.0)
    for wire in np.arange(60, 91, 2) * 1e-6:
        for efficiency in np.arange(0.80, 0.961, 0.01):
            for hops in np.arange(1, 13, 0.5):
                for half in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0):
                    error = _log_error(points, wire, efficiency, hops, half)
                    if error < best[0] - 1e-9:
                        best = (error, float(wire), float(efficiency), float(hops), half)
    _, wire, efficiency, hops, half = best
    cited, declared = citation("nccl_allreduce_logs"), tuple(f"p4de all_reduce {row[0]} B" for row in points)
    reports = rows("nccl_fabric_reports")
    infiniband = sum(float(row["reached_gb_per_s"]) / float(row["nic_gb_per_s"]) for row in reports) / len(reports)
    return {
        "fabric_efficiency": constant(digits(infiniband, 3), "1", "published", citation("nccl_fabric_reports")),
        "tree_fill_hops": constant(hops, "1", "fitted", cited, declared),
        "tree_fill_half": constant(half, "1", "fitted", cited, declared),
        "efa_fabric_efficiency": constant(digits(efficiency, 3), "1", "fitted", cited, declared),
        "efa_latency_s": constant(digits(wire, 3), "s", "fitted", cited, declared),
    }


NVLS_LOG, NVLS_RANKS, NVLINK4_BYTES_PER_S = "1x DGX H100 (NVLS on)", 8, 450e9


def switch_constants() -> dict:
    """What sums in a node's switches reach of a GPU's link, which carries the message and an n-th of it out."""
    seconds = {int(row["size_B"]): float(row["time_us"]) * 1e-6 for row in rows("nccl_allreduce_logs", system=NVLS_LOG)}
    best = max(size * (1 + 1 / NVLS_RANKS) / time for size, time in seconds.items()) / NVLINK4_BYTES_PER_S
    cited = f"{citation('nccl_allreduce_logs')} {NVLS_LOG}: (1 + 1/8) S over time, of 450e9 bytes/s, at best"
    return {"nvls_efficiency": constant(digits(best, 3), "1", "published", cited)}


def _log_error(points: list[tuple[int, float]], wire: float, efficiency: float, hops: float, half: float) -> float:
    size = np.array([point[0] for point in points], dtype=np.float64)
    seconds = np.array([point[1] for point in points])
    value = {name: COMMON[name]["value"] for name in ("nccl_base_s", "tree_hop_intra_s", "tree_hop_inter_s")}
    hop = value["tree_hop_inter_s"] + wire
    start = value["nccl_base_s"] + 2 * ((LOG_RANKS // LOG_NODES - 1) * value["tree_hop_intra_s"] + hop)
    fill = hops * hop * size / (size + half * hop * LOG_NODE_BYTES_PER_S)
    model = start + size / (efficiency * LOG_NODE_BYTES_PER_S) + fill
    return float(np.sum(np.log(model / seconds) ** 2))

"""HSTU ranking on 16 H100: what the kernels of one step take, by family."""

from __future__ import annotations

from simulator.costs.measured import LOOKUPS, ROW_UPDATES
from simulator.validation.cases import KERNELS, Case, read_rows
from simulator.validation.sources import hstu_h100

CITATION = hstu_h100.CITATION
READINGS = (
    "the sums of one rank's kernels, one by one, against the published breakdown of a step",
    "uvqk's kernels sum to 40.2 ms in the profile and to 33.1 in the breakdown: the breakdown is taken",
    "DynamicEmb's hash tables, cache and sorting are not modelled: embedding is its rows' bytes alone, a thirteenth",
    "of its 10.6 ms bytes explain 0.9 with the experiments' Zipf ids (a tenth of the lookups miss the cache), 6.7 with "
    "uniform ones, its script's default (nine tenths miss; rows and states cross the host link): which ran is not said",
    "idle 6.2, exposed NCCL 0.9 and others 1.2 ms are judged in the step alone",
)

FIT_ROWS = ("attention", "attention backward")
"""HSTU's pointwise attention: nobody publishes its backward apart from this step."""

FAMILIES = {
    "attention": (("hstu fwd/bwd",), ("hstu_attention_forward", "hstu_attention_backward")),
    "attention backward": (("HSTU attn bwd",), ("hstu_attention_backward",)),
    "attention forward": (("HSTU attn fwd (8 layers)",), ("hstu_attention_forward",)),
    "all GEMMs": (("gemm uvqk", "gemm projection", "gemm others"), ("gemm", "batched_gemm")),
    "elementwise": (("elementwise",), ("elementwise", "layernorm", "copy", "cast", "residual", "reduction", "softmax",
                                       "cross_entropy")),
    "embedding": (("embedding op",), (*LOOKUPS, "embedding_lookup_host", "embedding_backward",
                                      "embedding_update", "embedding_update_host", *ROW_UPDATES)),
}  # fmt: skip
"""name -> published rows, ops of ours."""


def cases() -> tuple[Case, ...]:
    """One row a family."""
    published = {row["name"]: float(row["value"]) / 1e3 for row in read_rows("hstu_h100.csv") if row["unit"] == "ms"}
    return tuple(_family(name, published) for name in FAMILIES)


def _family(name: str, published: dict[str, float]) -> Case:
    theirs, ours = FAMILIES[name]
    measured_s = sum(published[row] for row in theirs)
    return Case("hstu_kernels", name, hstu_h100.hstu_scenario(), measured_s, name, KERNELS, ops=ours)

"""HSTU ranking on 16 H100: the step. What its kernels take by family is `hstu_kernels`'."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, scenario

CITATION = (
    "github NVIDIA/recsys-examples 43465aeabf61, examples/hstu/training/benchmark, E2E_BENCHMARK.md, PERF_ANALYSIS.md"
)
READINGS = (
    "two DGX H100, batch 32 a GPU, all sequences 4,099 long (the analysis' own case)",
    "the step is 185 ms; the terms of its breakdown that are listed sum to 182",
    "tables are dealt out row by row over all ranks (hash, round robin): embedding_sharding row_wise",
    "prefetching overlaps the tables' host traffic with the step before; here it stands inside the step",
    "attention's backward is fitted (hstu_kernels), and is a third of the step",
)

STEP_S = 0.185


def cases() -> tuple[Case, ...]:
    """One row."""
    return (Case("hstu_h100", "HSTU on 16 H100", hstu_scenario(), STEP_S, "step"),)


def hstu_scenario() -> dict[str, Any]:
    """The analysis' run of fixed lengths."""
    return scenario(
        "HSTU ranking on 16 H100",
        model={"preset": "hstu_nv_ranking"},
        dtype="bf16",
        optimizer="adam",
        cluster={"preset": "dgx_h100", "nodes": 2},
        plan={"data": 16, "microbatch": 32, "global_batch": 512, "embedding_sharding": "row_wise"},
    )

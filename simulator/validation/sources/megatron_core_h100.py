"""Megatron-Core on 48 to 2,304 H100, four model sizes: the table of its README."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, read_rows, scenario

CITATION = "github NVIDIA/Megatron-LM README, images/model_table.png at f2e5db402c (Megatron-Core r0.8.0, July 2024)"
READINGS = (
    "the step is derived: 72 B s l h^2 (1 + s/6h + V/12lh) model FLOPs (arXiv 2205.05198) over the published rate",
    "sequence parallel, flash attention, no recomputation; gradients and parameters overlapped (zero 1), as listed",
    "tp-comm-overlap and pipeline overlap as listed; vocabulary 131072, sequence 4096",
    "microbatch 1, interleaved with two layers a chunk (neither is stated); data loading and logging are in the time",
)

FIT_ROWS = ("16B on 192 H100", "177B on 2304 H100")
"""The smallest run with tensor parallelism, and the largest run."""

LAYERS_A_CHUNK = 2


def cases() -> tuple[Case, ...]:
    """Four rows, of four models."""
    return tuple(_case(row) for row in read_rows("megatron_core_h100.csv"))


def _case(row: dict[str, str]) -> Case:
    layers, hidden, seq, vocab = (int(row[key]) for key in ("layers", "hidden", "seq", "vocab"))
    gpus, batch = int(row["gpus"]), int(row["global_batch"])
    flops = 72 * batch * seq * layers * hidden**2 * (1 + seq / (6 * hidden) + vocab / (12 * layers * hidden))
    name = f"{row['model']} on {gpus} H100"
    return Case(
        source="megatron_core_h100",
        name=name,
        measured_s=flops / (float(row["tflops_per_gpu"]) * 1e12 * gpus),
        group=row["model"],
        scenario=scenario(
            name,
            model=gpt_model(layers=layers, hidden=hidden, heads=int(row["heads"]), seq=seq, vocab=vocab),
            dtype="bf16",
            optimizer="adam",
            software={"stack": "current"},
            cluster={"preset": "dgx_h100", "nodes": gpus // 8},
            plan=_plan(row, batch),
        ),
    )


def _plan(row: dict[str, str], batch: int) -> dict[str, Any]:
    tensor, pipeline = int(row["tp"]), int(row["pp"])
    chunks = int(row["layers"]) // pipeline // LAYERS_A_CHUNK if pipeline > 1 else 1
    return {
        "tensor": tensor,
        "pipeline": pipeline,
        "data": int(row["dp"]),
        "sequence_parallel": tensor > 1,
        "schedule": "interleaved_1f1b" if chunks > 1 else "1f1b",
        "virtual_stages": chunks,
        "microbatch": 1,
        "global_batch": batch,
        "recompute": "none",
        "zero": 1,
        "overlap": {"grad_reduce": True, "param_gather": True, "tensor": tensor > 1, "pipeline": True},
    }

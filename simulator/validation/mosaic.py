"""What Mosaic's FSDP runs have in common: MPT models, Composer on PyTorch FSDP, one GPU a rank.

Read from github mosaicml/composer (composer/trainer/mosaic_fsdp_utils.py, get_mixed_precision): MP mode PURE gathers
and reduces in the compute dtype. What DEFAULT is changed with the version, which the table does not state: first
(param_dtype None or fp32, reduce_dtype the compute dtype) fp32 gathers, whose parameters autocast casts, and a
reduction in the compute dtype; later both in the compute dtype; then the reduction alone in fp32. Read as the first.
"""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, read_rows, scenario

CITATION = (
    "github mosaicml/llm-foundry 8c8dd48f7216, scripts/train/benchmarking/README.md and yamls/pretrain/mpt-*.yaml"
)
READINGS = (
    "MPT: learned positions, biases, tied embedding; parameters agree with the table's NumParams to the digit",
    "FULL_SHARD is zero 3 with every block dropped; each microbatch gathers and scatters, as Composer runs FSDP",
    "PURE: bf16 on the wire; DEFAULT: fp32 gathers, cast by autocast, and bf16 reduction (Composer's first versions)",
    "activation checkpointing is full recomputation; no dropout, fused loss, Triton's flash attention of 2023",
    "priced with FSDP2's copies, which FSDP1's flat parameters do without",
    "the step is the batch's tokens over tokens/s/GPU (samples/s are rounded to integers)",
)

MODES = {
    "PURE": {"parameters": "bf16", "gradients": "bf16", "reduce": "bf16"},
    "DEFAULT": {"parameters": "fp32", "gradients": "fp32", "reduce": "bf16"},
}


STACKS = {"PURE": "llm_foundry_torch1", "DEFAULT": "llm_foundry"}
"""By image: mosaicml/pytorch:1.13.1 with PURE (submit_benchmarks.py's defaults), a nightly of 2.1.0 with DEFAULT
(benchmarking/h100new.csv, column Image)."""


def mosaic_cases(source: str, clusters: dict[str, dict[str, Any]]) -> tuple[Case, ...]:
    """The rows of the GPUs that `clusters` names, as the table spells them. No two rank against each other."""
    shapes = {row["model"]: row for row in read_rows("mosaic_mpt_shapes.csv")}
    rows = [row for row in read_rows("mosaic_fsdp.csv") if row["GPU"] in clusters]
    return tuple(_case(source, row, shapes[row["Model"]], clusters[row["GPU"]]) for row in rows)


def _case(source: str, row: dict[str, str], shape: dict[str, str], cluster: dict[str, Any]) -> Case:
    gpus, seq, microbatch = int(row["# GPUs"]), int(row["SeqLen (T)"]), int(row["MicroBatchSize"])
    name = f"{row['Model']} T{seq} b{microbatch}x{row['GradAccum']} on {gpus} {row['GPU']} {row['MP Mode']}"
    return Case(
        source=source,
        name=name,
        measured_s=int(row["GlobalBatchSize (T)"]) / (int(row["Throughput (T/s/GPU)"]) * gpus),
        group=name,
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(shape["n_layers"]), hidden=int(shape["d_model"]), heads=int(shape["n_heads"]), seq=seq,
                vocab=int(shape["vocab"]),
            ),
            dtype="bf16",
            precision=MODES[row["MP Mode"]],
            optimizer="adamw",
            software={"stack": STACKS[row["MP Mode"]]},
            cluster={**cluster, "nodes": gpus // 8},
            plan=_plan(row, gpus, microbatch),
        ),
    )  # fmt: skip


def _plan(row: dict[str, str], gpus: int, microbatch: int) -> dict[str, Any]:
    return {
        "tensor": 1,
        "pipeline": 1,
        "data": gpus,
        "virtual_stages": 1,
        "microbatch": microbatch,
        "global_batch": int(row["GlobalBatchSize"]),
        "recompute": "full" if row["Activation Checkpointing"] == "True" else "none",
        "zero": 3,
        "overlap": {"grad_reduce": True, "param_gather": True},
    }

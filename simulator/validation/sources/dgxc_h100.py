"""NeMo on H100, weak scaling from 64 to 2048 GPUs."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, read_rows, scenario

CITATION = "github NVIDIA/dgxc-benchmarking, README tables at 5f23b67 (v25.02.01); nemo_megatron/gpt3_175b_hydra.yaml"
READINGS = (
    "NeMo: sequence parallel, interleaved 1F1B, pipeline transfers overlapped, no recomputation, flash attention (TE)",
    "distributed_fused_adam is zero 1 with its reduction and parameter gather overlapped, buckets of 220 MB",
    "gradients go on the wire in bf16 (grad_sync_dtype)",
    "ub_tp_comm_overlap: tensor-parallel collectives are split and run beside their GEMMs (overlap.tensor)",
    "GPT-2's vocabulary of 50257 padded to 50688, a multiple of 128 x tensor 4; Llama 3's is 128256",
    "the Llama 3.1 recipe is read as the GPT-3 one in what the table does not say",
)

FIT_ROWS = ("GPT3-175B on 128 H100", "GPT3-175B on 2048 H100", "Llama3.1-70B on 64 H100", "Llama3.1-70B on 2048 H100")
"""The smallest and the largest run of each model."""

PLAIN = "without tensor overlap"

MODELS = {
    "GPT3-175B": gpt_model(layers=96, hidden=12288, heads=96, seq=2048, vocab=50688),
    "Llama3.1-70B": {
        "trunk": {"block": "llama", "layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 8, "ffn": 28672,
                  "vocab": 128256, "seq": 8192},
        "head": {"kind": "lm"},
    },
}  # fmt: skip


def cases() -> tuple[Case, ...]:
    """Each row as published; each without context parallelism also without tensor overlap, as a stand-in."""
    found = []
    for row in read_rows("dgxc_h100.csv"):
        found.append(_case(row, overlap_tensor=True))
        if int(row["cp"]) == 1:
            found.append(_case(row, overlap_tensor=False))
    return tuple(found)


def _case(row: dict[str, str], *, overlap_tensor: bool) -> Case:
    gpus, model = int(row["gpus"]), row["model"]
    name = f"{model} on {gpus} H100"
    return Case(
        source="dgxc_h100",
        name=name,
        measured_s=float(row["step_s"]),
        group=model,
        stand_in="" if overlap_tensor else PLAIN,
        scenario=scenario(
            name,
            model=MODELS[model],
            dtype="bf16",
            precision={"reduce": "bf16"},
            optimizer="adamw",
            software={"stack": "current"},
            cluster={"preset": "dgx_h100", "nodes": gpus // 8},
            plan=_plan(row, overlap_tensor),
        ),
    )


def _plan(row: dict[str, str], overlap_tensor: bool) -> dict[str, Any]:
    return {
        "tensor": int(row["tp"]),
        "pipeline": int(row["pp"]),
        "context": int(row["cp"]),
        "data": int(row["dp"]),
        "sequence_parallel": True,
        "schedule": "interleaved_1f1b",
        "virtual_stages": int(row["vp"]),
        "microbatch": int(row["micro_batch"]),
        "global_batch": int(row["global_batch"]),
        "recompute": "none",
        "zero": 1,
        "bucket_mib": 220,
        "overlap": {"grad_reduce": True, "param_gather": True, "tensor": overlap_tensor, "pipeline": True},
    }

"""Llama 2 and 3 on 64 A100 by FSDP2 (torchtitan of spring 2024)."""

from __future__ import annotations

from simulator.validation.cases import Case, read_rows, scenario

CITATION = "github pytorch/torchtitan docs/performance.md at 041336434916 (May 2024)"
READINGS = (
    "as torchtitan_h100, not compiled (the configurations' default of that time)",
    "sequence 8192 for Llama 3, 4096 for Llama 2; one sample or two a GPU",
    "A100 of 80 GB, eight 200 Gb/s NICs a node (not stated)",
    "rows whose every second layer is checkpointed are left out",
)

LLAMA2 = {"vocab": 32000, "seq": 4096, "tied_embeddings": False, "block": "llama"}
MODELS = {
    "Llama3-8B": {"preset": "llama3_8b"},
    "Llama3-70B": {"preset": "llama3_70b"},
    "Llama2-13B": {"trunk": {"layers": 40, "hidden": 5120, "heads": 40, "ffn": 13824, **LLAMA2},
                   "head": {"kind": "lm"}},
    "Llama2-70B": {"trunk": {"layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 8, "ffn": 28672, **LLAMA2},
                   "head": {"kind": "lm"}},
}  # fmt: skip


def cases() -> tuple[Case, ...]:
    """Six rows."""
    return tuple(_case(row) for row in read_rows("torchtitan_a100.csv"))


def _case(row: dict[str, str]) -> Case:
    gpus, batch = int(row["gpus"]), int(row["local_batch"])
    name = f"{row['model']} b{batch} {row['act_ckpt']} on {gpus} A100"
    return Case(
        source="torchtitan_a100",
        name=name,
        measured_s=batch * int(row["seq"]) / int(row["tps_per_gpu"]),
        group=row["model"],
        scenario=scenario(
            name,
            model=MODELS[row["model"]],
            dtype="bf16",
            optimizer="adamw",
            software={"stack": "torchtitan"},
            cluster={"preset": "dgx_a100", "nodes": gpus // 8},
            plan={
                "data": gpus, "microbatch": batch, "global_batch": gpus * batch, "recompute": row["act_ckpt"],
                "zero": 3, "overlap": {"grad_reduce": True, "param_gather": True},
            },
        ),
    )  # fmt: skip

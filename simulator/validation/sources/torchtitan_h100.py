"""Llama 3 8B on H100 by FSDP2 (torchtitan)."""

from __future__ import annotations

from simulator.validation.cases import Case, read_rows, scenario

CITATION = "github pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md; arXiv 2410.06511"
READINGS = (
    "FSDP2: zero 3, blocks dropped after forward, bf16 gathers, fp32 gradients and reduction",
    "the GPUs are 96 GB parts of 500 W with HBM2e at 2.4 TB/s: the 80 GB part's costs, memory scaled, clock fitted",
    "selective (op) recomputation is recompute selective_op with every second product run again",
    "without torch.compile, norms, rotary positions and gates are PyTorch's small kernels",
    "with it each layer is one graph, the loss none: norms and gates are a kernel each, complex rotary products stay",
    "sequence 8192 is the configuration's default",
    "400 Gb/s of RDMA for each GPU, as a DGX H100 has",
)

MODEL = {
    "trunk": {"block": "llama", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 14336, "vocab": 128256,
              "seq": 8192, "tied_embeddings": False},
    "head": {"kind": "lm"},
}  # fmt: skip
FIT_ROWS = ("Llama3-8B on 8 H100",)
"""One node; what is predicted is the step on sixteen."""


def cases() -> tuple[Case, ...]:
    """Four rows, two of them compiled."""
    return tuple(_case(row) for row in read_rows("torchtitan_h100.csv"))


def _case(row: dict[str, str]) -> Case:
    gpus, batch = int(row["gpus"]), int(row["global_batch"])
    name = f"Llama3-8B on {gpus} H100{' compiled' if row['compile'] == '1' else ''}"
    return Case(
        source="torchtitan_h100",
        name=name,
        measured_s=batch * int(row["seq"]) / (int(row["tps_per_gpu"]) * gpus),
        group=name,
        scenario=scenario(
            name,
            model=MODEL,
            dtype="bf16",
            optimizer="adamw",
            software={"stack": "torchtitan", "compile": row["compile"] == "1"},
            cluster={"preset": "dgx_h100", "nodes": gpus // 8, "device": "h100_sxm5_96gb_500w"},
            plan={
                "tensor": int(row["tp"]), "pipeline": int(row["pp"]), "data": int(row["fsdp"]), "virtual_stages": 1,
                "microbatch": int(row["local_batch"]), "global_batch": batch, "recompute": "selective_op", "zero": 3,
                "overlap": {"grad_reduce": True, "param_gather": True},
            },
        ),
    )  # fmt: skip

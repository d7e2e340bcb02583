"""Llama 3 on H100 by FSDP2 (torchtitan): 8B, and 405B with tensor parallelism."""

from __future__ import annotations

from simulator.validation.cases import Case, read_rows, scenario

CITATION = (
    "github pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md; arXiv 2410.06511; 405B: "
    "docs/performance.md at 3faaa1a0d (August 2024)"
)
READINGS = (
    "FSDP2: zero 3, blocks dropped after forward, bf16 gathers, fp32 gradients and reduction",
    "the GPUs are 96 GB parts of 500 W with HBM2e at 2.4 TB/s: the 80 GB part's costs, memory scaled, clock fitted",
    "selective (op) recomputation is recompute selective_op with every second product run again",
    "without torch.compile, norms, rotary positions and gates are PyTorch's small kernels",
    "with it each layer is one graph, the loss none: norms and gates are a kernel each, complex rotary products stay",
    "sequence 8192 is the configuration's default",
    "405B: tensor 8 with sequence parallelism in each node, sharded over 16; full checkpoints, not compiled",
    "400 Gb/s of RDMA for each GPU, as a DGX H100 has",
)

MODELS = {"8B": {"preset": "llama3_8b"}, "405B": {"preset": "llama3_405b"}}
RECOMPUTE = {"selective (op)": "selective_op", "full": "full"}
FIT_ROWS = ("Llama3-8B on 8 H100",)
"""One node; what is predicted is the step on sixteen."""


def cases() -> tuple[Case, ...]:
    """Four rows of 8B, two of them compiled, and one of 405B."""
    return tuple(_case(row) for row in read_rows("torchtitan_h100.csv"))


def _case(row: dict[str, str]) -> Case:
    gpus, batch = int(row["gpus"]), int(row["global_batch"])
    name = f"Llama3-{row['model']} on {gpus} H100{' compiled' if row['compile'] == '1' else ''}"
    return Case(
        source="torchtitan_h100",
        name=name,
        measured_s=batch * int(row["seq"]) / (int(row["tps_per_gpu"]) * gpus),
        group=name,
        scenario=scenario(
            name,
            model=MODELS[row["model"]],
            dtype="bf16",
            optimizer="adamw",
            software={"stack": "torchtitan", "compile": row["compile"] == "1"},
            cluster={"preset": "dgx_h100", "nodes": gpus // 8, "device": "h100_sxm5_96gb_500w"},
            plan={
                "tensor": int(row["tp"]), "pipeline": int(row["pp"]), "data": int(row["fsdp"]), "virtual_stages": 1,
                "microbatch": int(row["local_batch"]), "global_batch": batch, "recompute": RECOMPUTE[row["act_ckpt"]],
                "sequence_parallel": int(row["tp"]) > 1, "zero": 3,
                "overlap": {"grad_reduce": True, "param_gather": True},
            },
        ),
    )  # fmt: skip

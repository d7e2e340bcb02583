"""NeMo on H100, weak scaling from 8 to 2048 GPUs: GPT-3, Llama 3.1, Nemotron 4."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, read_rows, scenario

CITATION = (
    "github NVIDIA/dgxc-benchmarking, README tables at 5f23b67 (v25.02.01), of Llama 3.1 8B and 405B and Nemotron 4 "
    "at the commit in column release; nemo_megatron/gpt3_175b_hydra.yaml, nemotron/*-synth.yaml, configure.sh; "
    "github NVIDIA/NeMo-Framework-Launcher conf/training/llama/llama3_1_*.yaml"
)
READINGS = (
    "NeMo: sequence parallel, interleaved 1F1B, pipeline transfers overlapped, no recomputation, flash attention (TE)",
    "distributed_fused_adam is zero 1 with its reduction and parameter gather overlapped, buckets of 220 MB",
    "gradients go on the wire in bf16 (grad_sync_dtype); by mcore_distributed_optim (8B, 15B) in fp32",
    "ub_tp_comm_overlap: tensor-parallel collectives are split and run beside their GEMMs (overlap.tensor)",
    "GPT-2's vocabulary of 50257 padded to 50688, a multiple of 128 x tensor 4; Llama 3's is 128256",
    "the Llama 3.1 70B recipe is read as the GPT-3 one in what is not stated; the others' buckets are their own",
    "Llama 3.1 405B on 32, 96 and 192 GPUs is a proxy of 7, 21 and 42 layers, 16 key-value heads as in its recipe; "
    "its rows of 576 GPUs and more are left out: each takes ten seconds to simulate",
    "Nemotron 4 has rotary positions on half of each head, squared ReLU, a fused loss, neither biases nor dropout: "
    "priced as a GPT of the stack with grouped queries",
    "Nemotron 4 340B on 128 GPUs is left out: it would not fit here. NeMo's optimizer keeps bf16 gradients and 16-bit "
    "remainders of its master copy, which no plan of this version says",
)

FIT_ROWS = ("GPT3-175B on 128 H100", "GPT3-175B on 2048 H100", "Llama3.1-70B on 64 H100", "Llama3.1-70B on 2048 H100")
"""The smallest and the largest run of each model."""

PLAIN = "without tensor overlap"


def _llama(layers: int, hidden: int, heads: int, kv_heads: int, ffn: int) -> dict[str, Any]:
    return {
        "trunk": {"block": "llama", "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
                  "ffn": ffn, "vocab": 128256, "seq": 8192, "tied_embeddings": False},
        "head": {"kind": "lm"},
    }  # fmt: skip


def _nemotron(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    model = gpt_model(layers=layers, hidden=hidden, heads=heads, seq=4096, vocab=256000)
    return {**model, "trunk": {**model["trunk"], "kv_heads": 8, "tied_embeddings": False}}


def _model(name: str, layers: int) -> dict[str, Any]:
    """A row's model; layers: the proxies of 405B have fewer."""
    return {
        "GPT3-175B": gpt_model(layers=layers, hidden=12288, heads=96, seq=2048, vocab=50688),
        "Llama3.1-8B": _llama(layers, 4096, 32, 8, 14336),
        "Llama3.1-70B": _llama(layers, 8192, 64, 8, 28672),
        "Llama3.1-405B": _llama(layers, 16384, 128, 16, 53248),
        "Nemotron4-15B": _nemotron(layers, 6144, 48),
        "Nemotron4-340B": _nemotron(layers, 18432, 96),
    }[name]


BUCKET_MIB = {"Llama3.1-8B": 125, "Llama3.1-405B": 125, "Nemotron4-15B": 100, "Nemotron4-340B": 50}
"""bucket_cap_mb; the others': 220."""
FP32_REDUCED = ("Llama3.1-8B", "Nemotron4-15B")
"""By mcore_distributed_optim, without grad_sync_dtype."""


def cases() -> tuple[Case, ...]:
    """Each row as published; GPT-3's also without tensor overlap, as stand-ins."""
    found = []
    for row in read_rows("dgxc_h100.csv"):
        found.append(_case(row, overlap_tensor=True))
        if row["model"] == "GPT3-175B":
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
            model=_model(model, int(row["layers"])),
            dtype="bf16",
            precision={"reduce": None if model in FP32_REDUCED else "bf16"},
            optimizer="adamw",
            software={"stack": "current"},
            cluster={"preset": "dgx_h100", "nodes": gpus // 8},
            plan=_plan(row, overlap_tensor),
        ),
    )


def _plan(row: dict[str, str], overlap_tensor: bool) -> dict[str, Any]:
    interleaved = int(row["vp"]) > 1
    return {
        "tensor": int(row["tp"]),
        "pipeline": int(row["pp"]),
        "context": int(row["cp"]),
        "data": int(row["dp"]),
        "sequence_parallel": int(row["tp"]) > 1,
        "schedule": "interleaved_1f1b" if interleaved else "1f1b",
        "virtual_stages": int(row["vp"]),
        "microbatch": int(row["micro_batch"]),
        "global_batch": int(row["global_batch"]),
        "recompute": "none",
        "zero": 1,
        "bucket_mib": BUCKET_MIB.get(row["model"], 220),
        "overlap": {"grad_reduce": True, "param_gather": True, "tensor": overlap_tensor, "pipeline": True},
    }

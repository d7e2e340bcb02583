"""Pipelines alone on 8 and 16 A100: 1F1B, interleaved 1F1B and, as stand-ins, the zero-bubble schedules."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, read_rows, scenario

CITATION = "Qi et al., Zero Bubble (Almost) Pipeline Parallelism (ICLR 2024, arXiv 2401.10241), tables 3, 4 and 6"
READINGS = (
    "pipeline parallelism alone; one layer fewer on the first and the last stage (partition)",
    "interleaved: one layer a chunk, the first chunk holds the embedding alone and the last the head alone",
    "the authors' script of that time (github NVIDIA/Megatron-LM 425b42e5, examples/pretrain_zero_bubble.sh; seq 1024, "
    "4p - 2 layers, tensor 1): fp16, tied embeddings, no recomputation, no --use-flash-attn, so unfused attention in a "
    "Megatron-LM of 2023 whose weight gradients are added by the GEMM, and which reads each microbatch's sizes back to "
    "the host: every pass of every chunk begins on an empty device",
    "plain 1F1B waits for its transfers where it issues them; the others overlap them (--overlap-p2p's default)",
    "vocabulary 32000 (not stated): with it the models have the 1.5B and 14.6B parameters of their names",
    "nodes of 8 A100 80GB; RoCE of unstated speed, taken to be eight 200 Gb/s NICs a node",
    "ZB-1p and ZB-2p are schedules searched for measured times: zb_h1 and zb_h2 stand in for them",
    "the 14.6B model's one more microbatch (m 48 to 128) takes 34.2 ms in 1F1B, 31.5 by the paper's own T_F + T_B + "
    "T_W + 2 T_comm and 29.7 as simulated: 2.7 ms of the 4.5 lacking are in no stage's times, 1.3 are forward's, "
    "0.4 the input gradients', none the weight gradients'. The paper's times are the host's, between two waits for the "
    "device, so launches that nothing hides are in them",
)

SCHEDULES = {"1F1B": ("1f1b", ""), "1F1B-I": ("interleaved_1f1b", ""), "ZB-1p": ("zb_h1", "by zb_h1"),
             "ZB-2p": ("zb_h2", "by zb_h2")}  # fmt: skip
"""(ours, what stands in) of each row that was measured."""


def cases() -> tuple[Case, ...]:
    """24 rows with a throughput; rows without one are bubble rates alone."""
    return tuple(_case(row) for row in read_rows("zero_bubble.csv") if row["samples_per_gpu_per_s"])


def _case(row: dict[str, str]) -> Case:
    stages, microbatches, microbatch = int(row["p"]), int(row["m"]), int(row["micro_batch_b"])
    schedule, stand_in = SCHEDULES[row["schedule"]]
    name = f"{row['model']} p{stages} m{microbatches} {row['schedule']}"
    samples = microbatches * microbatch
    return Case(
        source="zero_bubble",
        name=name,
        measured_s=samples / (float(row["samples_per_gpu_per_s"]) * stages),
        group=f"{row['model']} m{microbatches}",
        stand_in=stand_in,
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["layers"]), hidden=int(row["hidden"]), heads=int(row["heads"]), seq=int(row["seq"]),
                vocab=32000,
            ),
            dtype="fp16",
            optimizer="adam",
            software={"stack": "megatron_2023"},
            cluster={"preset": "dgx_a100", "nodes": stages // 8},
            plan=_plan(schedule, stages, int(row["layers"]), microbatch, samples),
        ),
    )  # fmt: skip


def _plan(schedule: str, stages: int, layers: int, microbatch: int, samples: int) -> dict[str, Any]:
    """Layers and two more, for embedding and head, are dealt out evenly; interleaved, one to a chunk."""
    chunks = (layers + 2) // stages if schedule == "interleaved_1f1b" else 1
    each = (layers + 2) // (stages * chunks)
    return {
        "tensor": 1,
        "pipeline": stages,
        "data": 1,
        "schedule": schedule,
        "virtual_stages": chunks,
        "partition": [each - 1, *[each] * (stages * chunks - 2), each - 1],
        "microbatch": microbatch,
        "global_batch": samples,
        "recompute": "none",
        "overlap": {"pipeline": schedule != "1f1b"},
    }

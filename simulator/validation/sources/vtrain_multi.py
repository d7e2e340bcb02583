"""Megatron-DeepSpeed on up to 64 nodes: many plans for the same model, GPUs and batch."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, scenario
from simulator.validation.megatron import megatron_keys, megatron_plan

CITATION = "vTrain (Bang et al., MICRO 2024, arXiv 2312.12391), github VIA-Research/vTrain data/ground_truth_multi.csv"
READINGS = (
    "config/validation/multi/*.json: 1F1B, full recomputation, no gradient bucketing, 8 GPUs and 800 Gb/s a node",
    "four HDR200 NICs a node, shared by its GPUs in pairs; A100 of 80 GB assumed",
    "no gradient overlap; gradients are fp16, as their own predictor counts them (src/predictor.py: elem_size=2)",
    "Megatron-DeepSpeed's layers are those of Megatron-LM 2021 until its merge of 2023 (version not stated)",
    "vocabulary 51200 as in Megatron-LM's runs of the same models (not stated)",
    "the 39B rows at tensor 2 and 4 run 10-40 % slower than their tensor-8 twins for no reason in the table",
)

GPU_COLUMN, STEP_COLUMN = "# GPUs", "iteration time (ms)"


def cases() -> tuple[Case, ...]:
    """93 rows in four groups."""
    return tuple(_case(row) for row in read_rows("vtrain_multi_a100.csv"))


def _case(row: dict[str, str]) -> Case:
    size = row["Parameters (billion)"]
    tensor, data = int(row["tensor parallelism"]), int(row["data parallelism"])
    pipeline, microbatch = int(row["pipeline parallelism"]), int(row["micro batch"])
    name = f"{size}B t{tensor} d{data} p{pipeline} b{microbatch}"
    return Case(
        source="vtrain_multi",
        name=name,
        measured_s=float(row[STEP_COLUMN]) / 1e3,
        group=f"{size}B",
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["# layers"]), hidden=int(row["hidden size"]), heads=int(row["attention heads"]),
                seq=int(row["sequence length"]), vocab=51200,
            ),
            cluster={"preset": "dgx_a100", "nodes": int(row[GPU_COLUMN]) // 8, "nic_gbit_per_s": 800,
                     "nics_per_node": 4},
            plan=megatron_plan(
                tensor=tensor, pipeline=pipeline, data=data, virtual_stages=1, microbatch=microbatch,
                global_batch=int(row["global batch"]), recompute="full",
            ),
            **megatron_keys("megatron_2021"),
        ),
    )  # fmt: skip

"""Megatron-DeepSpeed on up to 64 nodes: many plans for the same model, GPUs and batch."""

from __future__ import annotations

from simulator.validation.cases import Case, read_rows
from simulator.validation.vtrain import vtrain_case

CITATION = "vTrain (Bang et al., MICRO 2024, arXiv 2312.12391), github VIA-Research/vTrain data/ground_truth_multi.csv"
READINGS = (
    "config/validation/multi/*.json: 1F1B, full recomputation, no gradient bucketing, 8 GPUs and 800 Gb/s a node",
    "four HDR200 NICs a node, shared by its GPUs in pairs; A100 of 80 GB assumed",
    "no gradient overlap; gradients are fp16, as their own predictor counts them (src/predictor.py: elem_size=2)",
    "Megatron-DeepSpeed's layers are those of Megatron-LM 2021 until its merge of 2023 (version not stated)",
    "vocabulary 51200 as in Megatron-LM's runs of the same models (not stated)",
    "the 39B rows at tensor 2 and 4 run 10-40 % slower than their tensor-8 twins for no reason in the table",
)

GPU_COLUMN = "# GPUs"


def cases() -> tuple[Case, ...]:
    """93 rows in four groups."""
    return tuple(_case(row) for row in read_rows("vtrain_multi_a100.csv"))


def _case(row: dict[str, str]) -> Case:
    size = f"{row['Parameters (billion)']}B"
    nodes = int(row[GPU_COLUMN]) // 8
    cluster = {"preset": "dgx_a100", "nodes": nodes, "nic_gbit_per_s": 800, "nics_per_node": 4}
    return vtrain_case("vtrain_multi", row, kind=size, group=size, cluster=cluster)

"""Megatron-DeepSpeed on one node: models so small that the host's launches bound many steps."""

from __future__ import annotations

from simulator.validation.cases import Case, read_rows
from simulator.validation.vtrain import vtrain_case

CITATION = "vTrain (Bang et al., MICRO 2024, arXiv 2312.12391), github VIA-Research/vTrain data/ground_truth_single.csv"
READINGS = (
    "of the 1,440 rows those of 24 layers on 8 GPUs with 16 samples a replica: every plan and micro batch, both widths",
    "config/validation/single/*.json: 1F1B, full recomputation, no gradient bucketing",
    "software as in the multi-node rows: Megatron-DeepSpeed's layers of before 2023",
    "what a launch costs this software's host was read from rows of 12 and 20 layers, which are not among these",
    "vocabulary 51200 as in Megatron-LM's runs (not stated)",
)


def cases() -> tuple[Case, ...]:
    """72 rows in six groups, of one width and global batch each."""
    return tuple(_case(row) for row in read_rows("vtrain_single_a100.csv"))


def _case(row: dict[str, str]) -> Case:
    width = f"{row['hidden size']} wide"
    group = f"{width}, {row['global batch']} samples"
    return vtrain_case("vtrain_single", row, kind=width, group=group, cluster={"preset": "dgx_a100"})

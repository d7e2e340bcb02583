"""Megatron-DeepSpeed on one node: models so small that the host's launches bound many steps."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, scenario
from simulator.validation.megatron import megatron_keys, megatron_plan
from simulator.validation.sources.vtrain_multi import STEP_COLUMN

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
    tensor, data = int(row["tensor parallelism"]), int(row["data parallelism"])
    pipeline, microbatch = int(row["pipeline parallelism"]), int(row["micro batch"])
    hidden, batch = int(row["hidden size"]), int(row["global batch"])
    name = f"{hidden} wide t{tensor} d{data} p{pipeline} b{microbatch}"
    return Case(
        source="vtrain_single",
        name=name,
        measured_s=float(row[STEP_COLUMN]) / 1e3,
        group=f"{hidden} wide, {batch} samples",
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["# layers"]), hidden=hidden, heads=int(row["attention heads"]),
                seq=int(row["sequence length"]), vocab=51200,
            ),
            cluster={"preset": "dgx_a100"},
            plan=megatron_plan(
                tensor=tensor, pipeline=pipeline, data=data, virtual_stages=1, microbatch=microbatch,
                global_batch=batch, recompute="full",
            ),
            **megatron_keys("megatron_2021"),
        ),
    )  # fmt: skip

"""Megatron-LM on Selene, eight model sizes (weak scaling)."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, rounded_percent, scenario
from simulator.validation.megatron import SELENE, megatron_keys, megatron_plan

CITATION = "Narayanan et al., SC'21, arXiv 2104.04473, Table 1, and the authors' run_table_1.sh"
READINGS = (
    "the step time is derived: 96 B s l h^2 (1 + s/6h + V/16lh) FLOPs over the published aggregate of 3 digits",
    "software of April 2021, full recomputation, fp16; interleaving as the script sets it",
    "DDP: 'torch' overlaps buckets with backward, 'local' reduces one buffer after it",
)

FIT_ROWS = ("530B on 2520 A100",)
"""The largest run."""


def cases() -> tuple[Case, ...]:
    """Eight of the table's ten rows (310B and 1T take long to simulate); no two rank against each other."""
    return tuple(_case(row) for row in read_rows("sc21_table1.csv"))


def _case(row: dict[str, str]) -> Case:
    name = f"{row['model']} on {row['gpus']} A100"
    gpus = int(row["gpus"])
    return Case(
        source="sc21_table1",
        name=name,
        measured_s=float(row["iter_time_derived_s"]),
        rounding_percent=rounded_percent(row["tflops_per_gpu"]),
        group=row["model"],
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["layers"]), hidden=int(row["hidden"]), heads=int(row["heads"]), seq=int(row["seq"]),
                vocab=int(row["vocab"]),
            ),
            cluster={**SELENE, "nodes": gpus // 8},
            plan=megatron_plan(
                tensor=int(row["tp"]), pipeline=int(row["pp"]), data=int(row["dp"]), virtual_stages=int(row["vp"]),
                microbatch=int(row["micro_batch"]), global_batch=int(row["global_batch"]), recompute="full",
                overlapped_ddp=row["ddp_impl"] == "torch",
            ),
            **megatron_keys("megatron_2021"),
        ),
    )  # fmt: skip

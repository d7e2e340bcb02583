"""PTD-P on Selene, 175B at a fixed batch (strong scaling). The table's ZeRO-3 rows are `sc21_zero3`'s."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, rounded_percent, scenario
from simulator.validation.megatron import SELENE, megatron_keys, megatron_plan

CITATION = "Narayanan et al., SC'21, arXiv 2104.04473, Table 2"
READINGS = (
    "the step time is derived from the published FLOP/s of 3 digits, as in Table 1",
    "PTD-P: software of April 2021, 8 x 12 model parallel without interleaving, full recomputation, local DDP",
    "sequence 2048, vocabulary 51200 as in Table 1",
)

FIT_ROWS = ("PTD-P 175B on 1536 A100",)
"""The largest run."""


def cases() -> tuple[Case, ...]:
    """Three rows; they differ in the number of GPUs."""
    return cases_of("PTD-P", "sc21_table2")


def cases_of(scheme: str, source: str, stand_in: str = "") -> tuple[Case, ...]:
    """The rows of one scheme, as a source of its own."""
    return tuple(_case(row, source, stand_in) for row in read_rows("sc21_table2.csv") if row["scheme"] == scheme)


def _case(row: dict[str, str], source: str, stand_in: str) -> Case:
    gpus, scheme = int(row["gpus"]), row["scheme"]
    name = f"{scheme} 175B on {gpus} A100"
    tensor, pipeline = int(row["tp"]), int(row["pp"])
    plan = megatron_plan(
        tensor=tensor, pipeline=pipeline, data=gpus // (tensor * pipeline), virtual_stages=1,
        microbatch=int(row["micro_batch"]), global_batch=int(row["global_batch"]), recompute="full",
    )  # fmt: skip
    if scheme == "ZeRO-3":
        plan |= {"zero": 3, "bucket_mib": None, "overlap": {"grad_reduce": True, "param_gather": True}}
    return Case(
        source=source,
        name=name,
        measured_s=float(row["iter_time_derived_s"]),
        rounding_percent=rounded_percent(row["tflops_per_gpu"]),
        group=scheme,
        stand_in=stand_in,
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["layers"]), hidden=int(row["hidden"]), heads=int(row["heads"]), seq=2048, vocab=51200
            ),
            cluster={**SELENE, "nodes": gpus // 8},
            plan=plan,
            **megatron_keys("megatron_2021"),
        ),
    )

"""Megatron-LM with sequence parallelism and selective recomputation, whole steps."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, scenario
from simulator.validation.megatron import SELENE, megatron_keys, megatron_plan

CITATION = "Korthikanti et al., arXiv 2205.05198, Table 5 (times) and Table 3 (settings)"
READINGS = (
    "'full recompute' is plain tensor parallelism with every layer recomputed, without sequence parallelism",
    "'present work' is sequence parallelism with selective recomputation of the attention core",
    "software of May 2022, fp16, unfused attention (the memory formulas count the s^2 matrices); no data parallelism",
)

FIT_ROWS = ("530B present work",)
"""The largest run."""

VARIANTS = (
    ("full recompute", "iter_full_recompute_s", {"recompute": "full", "sequence_parallel": False}),
    ("present work", "iter_present_s", {"recompute": "selective", "sequence_parallel": True}),
)


def cases() -> tuple[Case, ...]:
    """Two rows a model; they rank against each other."""
    return tuple(_case(row, *variant) for row in read_rows("korthikanti_table5.csv") for variant in VARIANTS)


def _case(row: dict[str, str], variant: str, column: str, choice: dict) -> Case:
    name = f"{row['model']} {variant}"
    return Case(
        source="korthikanti_table5",
        name=name,
        measured_s=float(row[column]),
        group=row["model"],
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["layers"]), hidden=int(row["hidden"]), heads=int(row["heads"]), seq=int(row["seq"]),
                vocab=51200,
            ),
            cluster={**SELENE, "nodes": int(row["gpus"]) // 8},
            plan=megatron_plan(
                tensor=int(row["tp"]), pipeline=int(row["pp"]), data=int(row["dp"]), virtual_stages=int(row["vp"]),
                microbatch=int(row["micro_batch"]), global_batch=int(row["global_batch"]), **choice,
            ),
            **megatron_keys("megatron_2022"),
        ),
    )  # fmt: skip

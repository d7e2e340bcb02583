"""vTrain's published tables: one layout of columns for its runs on one node and on many."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import Case, gpt_model, scenario
from simulator.validation.megatron import megatron_keys, megatron_plan

STEP_COLUMN = "iteration time (ms)"


def vtrain_case(source: str, row: dict[str, str], *, kind: str, group: str, cluster: dict[str, Any]) -> Case:
    """The case of a row. kind: of model, ahead of the plan in its name."""
    tensor, data = int(row["tensor parallelism"]), int(row["data parallelism"])
    pipeline, microbatch = int(row["pipeline parallelism"]), int(row["micro batch"])
    name = f"{kind} t{tensor} d{data} p{pipeline} b{microbatch}"
    return Case(
        source=source,
        name=name,
        measured_s=float(row[STEP_COLUMN]) / 1e3,
        group=group,
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["# layers"]), hidden=int(row["hidden size"]), heads=int(row["attention heads"]),
                seq=int(row["sequence length"]), vocab=51200,
            ),
            cluster=cluster,
            plan=megatron_plan(
                tensor=tensor, pipeline=pipeline, data=data, virtual_stages=1, microbatch=microbatch,
                global_batch=int(row["global batch"]), recompute="full",
            ),
            **megatron_keys("megatron_2021"),
        ),
    )  # fmt: skip

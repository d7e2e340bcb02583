"""Megatron-LM on 256 to 1,024 A100, 175B at a fixed batch: the baseline rows of the MegaScale paper."""

from __future__ import annotations

from simulator.validation.cases import Case, gpt_model, read_rows, scenario
from simulator.validation.megatron import megatron_keys, megatron_plan

CITATION = "Jiang et al., MegaScale (NSDI 2024, arXiv 2402.15627), tables 1 and 2"
READINGS = (
    "the Megatron-LM rows alone: MegaScale's own change the block, the attention and the overlap",
    "iteration time; the table's PFLOP/s disagree with its MFU in some rows",
    "microbatch 1 (not stated), sequence parallelism with selective recomputation, as Megatron-LM of 2023 runs it",
    "Megatron-LM at 285068c8 (2023): software of 2022 with pipeline transfers overlapped",
)


def cases() -> tuple[Case, ...]:
    """The rows of Megatron-LM."""
    return tuple(_case(row) for row in read_rows("megascale.csv") if row["method"] == "Megatron-LM")


def _case(row: dict[str, str]) -> Case:
    gpus = int(row["gpus"])
    name = f"175B on {gpus} A100, batch {row['global_batch']}"
    plan = megatron_plan(
        tensor=int(row["tp"]), pipeline=int(row["pp"]), data=int(row["dp"]), virtual_stages=int(row["vp"]),
        microbatch=1, global_batch=int(row["global_batch"]), recompute="selective", sequence_parallel=True,
    )  # fmt: skip
    plan["overlap"]["pipeline"] = True
    return Case(
        source="megascale",
        name=name,
        measured_s=float(row["iter_s"]),
        group=f"batch {row['global_batch']}",
        scenario=scenario(
            name,
            model=gpt_model(
                layers=int(row["layers"]), hidden=int(row["hidden"]), heads=int(row["heads"]), seq=2048, vocab=64000
            ),
            cluster={"preset": "dgx_a100", "nodes": gpus // 8},
            plan=plan,
            **megatron_keys("megatron_2022"),
        ),
    )

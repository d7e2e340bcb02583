"""BERT-Large by data parallelism alone on 1 to 32 DGX A100, strong scaling: the ratios of steps, not their lengths.

At sequence 512 the table implies an implausible 66 % of the GPUs' peak, so lengths are not judged: each row is the
published step of one node, times what the step on more nodes is predicted to take of it.
"""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import SCALED_STEP, Case, read_rows, scenario

CITATION = (
    "github NVIDIA/DeepLearningExamples 729963dd47e7, PyTorch/LanguageModeling/BERT/README.md, multi-node scaling"
)
READINGS = (
    "DGX A100 80GB, sequence 128, global batch 65,536, LAMB; microbatches of 256 (fp16) and 128 (tf32) a GPU",
    "the step is the global batch over sequences/s; a row is judged by its ratio to the one-node row",
    "gradients are reduced in the compute dtype after the last microbatch, in buckets of 25 MiB beside its backward",
    "every position is scored (the script scores the masked ones): about a tenth more work, in all rows alike",
)

BATCH, SEQ = 65536, 128
MICROBATCH = {"fp16": 256, "tf32": 128}
MODEL = {
    "trunk": {"block": "bert", "layers": 24, "hidden": 1024, "heads": 16, "ffn": 4096, "vocab": 30522, "seq": SEQ,
              "causal": False},
    "head": {"kind": "lm"},
}  # fmt: skip


def cases() -> tuple[Case, ...]:
    """Five rows of each dtype; the one-node rows are what the others are measured against."""
    rows = list(read_rows("bert_large_dp.csv"))
    return tuple(_case(row, rows[0], dtype) for dtype in MICROBATCH for row in rows[1:])


def _case(row: dict[str, str], one_node: dict[str, str], dtype: str) -> Case:
    column = f"{dtype}_seq_per_s"
    name = f"BERT-Large {dtype} on {row['gpus']} A100"
    return Case(
        source="bert_large_dp",
        name=name,
        measured_s=BATCH / float(row[column]),
        group=dtype,
        scenario=_scenario(name, row, dtype),
        quantity=SCALED_STEP,
        baseline=_scenario(f"BERT-Large {dtype} on {one_node['gpus']} A100", one_node, dtype),
        baseline_s=BATCH / float(one_node[column]),
    )


def _scenario(name: str, row: dict[str, str], dtype: str) -> dict[str, Any]:
    return scenario(
        name,
        model=MODEL,
        dtype=dtype,
        optimizer="lamb",
        software={"stack": "torch", "attention": "unfused"},
        cluster={"preset": "dgx_a100", "nodes": int(row["nodes"])},
        plan={
            "data": int(row["gpus"]), "microbatch": MICROBATCH[dtype], "global_batch": BATCH,
            "overlap": {"grad_reduce": True},
        },
    )  # fmt: skip

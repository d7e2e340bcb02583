"""One transformer layer of the 22B model: forward and backward apart."""

from __future__ import annotations

from typing import Any

from simulator.validation.cases import LAYER_BACKWARD, LAYER_FORWARD, Case, gpt_model, read_rows, scenario
from simulator.validation.megatron import SELENE, megatron_keys, megatron_plan

CITATION = "Korthikanti et al., arXiv 2205.05198, Table 4"
READINGS = (
    "h 6144, 64 heads, sequence 2048, microbatch 4, tensor parallel 8 without sequence parallelism",
    "a layer's time is that of two layers less that of one, so that embedding and logits drop out",
    "backward holds the recomputed forward where the row has one",
)

FIT_ROWS = tuple(
    f"22B layer {direction}, baseline {mode}"
    for mode in ("no recompute", "with full recompute")
    for direction in ("forward", "backward")
)

VOCAB = 51200


def cases() -> tuple[Case, ...]:
    """Forward and backward of each published experiment."""
    found = []
    for row in read_rows("korthikanti_table4.csv"):
        recompute = "full" if "full recompute" in row["experiment"] else "none"
        for quantity, column in ((LAYER_FORWARD, "forward_ms"), (LAYER_BACKWARD, "backward_ms")):
            name = f"22B layer {quantity.removeprefix('layer_')}, {row['experiment']}"
            found.append(
                Case(
                    source="korthikanti_table4",
                    name=name,
                    measured_s=float(row[column]) / 1e3,
                    group=quantity,
                    scenario=_layers(name, 2, recompute),
                    quantity=quantity,
                    baseline=_layers(name, 1, recompute),
                )
            )
    return tuple(found)


def _layers(name: str, layers: int, recompute: str) -> dict[str, Any]:
    return scenario(
        name,
        model=gpt_model(layers=layers, hidden=6144, heads=64, seq=2048, vocab=VOCAB),
        cluster={**SELENE, "nodes": 1},
        plan=megatron_plan(
            tensor=8, pipeline=1, data=1, virtual_stages=1, microbatch=4, global_batch=4, recompute=recompute
        ),
        **megatron_keys("megatron_2022"),
    )

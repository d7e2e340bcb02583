"""ZeRO-3 on Selene, 175B at a fixed batch: the rows beside PTD-P's in SC'21's table 2. No target is set for them."""

from __future__ import annotations

from simulator.validation.cases import Case
from simulator.validation.sources import sc21_table2

CITATION = sc21_table2.CITATION
READINGS = (
    "the step time is derived from the published FLOP/s of 3 digits, as in Table 1",
    "DeepSpeed of 2021, no tensor or pipeline parallelism, full recomputation, fp16 gathers and reduction",
    "its rows behave like one NIC a node: they are predicted with the eight that the machine has, and no target is set",
    "blocks are gathered and scattered as FSDP2 does it today; DeepSpeed's prefetch of 2021 is not told apart",
)

EIGHT_NICS = "eight NICs a node, not one"


def cases() -> tuple[Case, ...]:
    """Three rows; they differ in the number of GPUs."""
    return sc21_table2.cases_of("ZeRO-3", "sc21_zero3", stand_in=EIGHT_NICS)

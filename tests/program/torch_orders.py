"""Action lists of torch.distributed.pipelining, without its processes. Private names: `pipeline_order`, `_Action`."""

from __future__ import annotations

import re
from types import SimpleNamespace

from torch.distributed.pipelining import schedules

CLASSES = {
    "gpipe": schedules.ScheduleGPipe,
    "1f1b": schedules.Schedule1F1B,
    "interleaved_1f1b": schedules.ScheduleInterleaved1F1B,
    "zb_h1": schedules.ScheduleInterleavedZeroBubble,
    "zb_v": schedules.ScheduleZBVZeroBubble,
}
"""Ours by torch's. Its interleaved zero bubble is H1 where each rank holds one stage. There is no H2."""

COMPUTE = re.compile(r"\d+[FBIW]\d+$")


def torch_order(name: str, stages: int, microbatches: int, chunks: int = 1) -> list[list[str]]:
    """One list of texts ("2F0") for each rank; waiting and the reduction of gradients left out."""
    rank = SimpleNamespace(num_stages=stages * chunks, group_size=stages, group_rank=0, submod=None)
    single = issubclass(CLASSES[name], schedules.PipelineScheduleSingle)
    made = CLASSES[name](rank if single else [rank] * chunks, microbatches)
    order = made.pipeline_order
    return [[text for action in order[rank] if COMPUTE.match(text := str(action))] for rank in range(stages)]

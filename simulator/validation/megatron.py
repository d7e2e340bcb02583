"""What the Megatron-LM runs of 2021 and 2022 have in common; each source says where it departs from it.

Read from the authors' scripts (github NVIDIA/Megatron-LM, examples/academic_paper_scripts/sc21/CONFIG.sh and run_*.sh:
--fp16, --DDP-impl, --activations-checkpoint-method uniform) and from the code of that time:
- activations are fp16, so are gradients; what differs between the two years' code is in `model/stacks.py`;
- local DDP keeps gradients in one contiguous buffer and reduces it after the last backward (no overlap);
- torch DDP reduces buckets of 25 MiB while the backward pass goes on;
- pipeline transfers are waited for where they are issued (overlapped ones came with --overlap-p2p-communication, 2023).
"""

from __future__ import annotations

from typing import Any

ONE_BUFFER_MIB = 2**20
"""A bucket that holds any model's gradients (1 TiB): local DDP fuses them all."""

SELENE = {"preset": "dgx_a100"}
"""Selene: DGX A100 80GB, 8 HDR200 a node, full-bisection fat tree (arXiv 2104.04473, section 5)."""


def megatron_keys(stack: str) -> dict[str, Any]:
    """Precision, optimizer and software of the A100 runs. stack: a name of `model/stacks.py`."""
    return {"dtype": "fp16", "optimizer": "adam", "software": {"stack": stack}}


def megatron_plan(
    *, tensor: int, pipeline: int, data: int, virtual_stages: int, microbatch: int, global_batch: int, recompute: str,
    overlapped_ddp: bool = False, sequence_parallel: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The plan of one run; see the module for what overlaps."""
    return {
        "tensor": tensor,
        "pipeline": pipeline,
        "data": data,
        "sequence_parallel": sequence_parallel,
        "schedule": "interleaved_1f1b" if virtual_stages > 1 else "1f1b",
        "virtual_stages": virtual_stages,
        "microbatch": microbatch,
        "global_batch": global_batch,
        "recompute": recompute,
        "bucket_mib": 25 if overlapped_ddp else ONE_BUFFER_MIB,
        "overlap": {"grad_reduce": overlapped_ddp, "pipeline": False},
    }

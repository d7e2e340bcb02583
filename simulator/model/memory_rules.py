"""Bytes that a dense parameter takes, and the traffic of its update.

Adam at bf16, zero 0: parameter 2, gradient 4 (fp32), optimizer 12 with the fp32 master copy: the 18 bytes a parameter
of Korthikanti et al. (arXiv 2205.05198, figure 1). ZeRO (arXiv 1910.02054) leaves each rank 1/N of the optimizer part
(stage 1), of the gradients (2) and of the parameters (3).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from simulator import kinds
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES

MASTER_BYTES = 4
STATE_BYTES = {"adam": 8, "adamw": 8, "lamb": 8, "adagrad": 4, "sgd": 0}
"""fp32 moments; sgd has no momentum."""

UPDATE_BYTES = {
    # reads and writes the fp32 parameter (8) and its states (8 each); the gradient's read is added
    "adam": 24,
    "adamw": 24,
    "adagrad": 16,
    "sgd": 8,
    # stage 1 as adam, but writes an update (4) instead of the parameter (-4); both norms (8); applies it: reads two,
    # writes one (12) (arXiv 1904.00962, apex FusedLAMB)
    "lamb": 24 + 8 + 12,
}


class Shares(NamedTuple):
    """Among how many ranks parameters, accumulated gradients and optimizer states are divided; 1: each holds all."""

    parameters: int = 1
    gradients: int = 1
    optimizer: int = 1


WHOLE = Shares()


def has_master(parameters: str) -> bool:
    """16-bit parameters are updated through an fp32 copy."""
    return DTYPE_BYTES[parameters] < MASTER_BYTES


def optimizer_bytes(optimizer: str, parameters: str) -> int:
    """Optimizer bytes of one parameter, the fp32 master included."""
    return STATE_BYTES[optimizer] + (MASTER_BYTES if has_master(parameters) else 0)


def dense_bytes(count: int, precision, optimizer: str, shares: Shares = WHOLE, *, frozen: int = 0) -> dict[str, int]:
    """{parameters, gradients, optimizer}: bytes at rest of `count` dense parameters on one rank that are trained.

    precision: dtypes `.parameters` and `.gradients`. frozen: parameters beside them that are only stored.
    """
    return {
        "parameters": part(count + frozen, shares.parameters) * DTYPE_BYTES[precision.parameters],
        "gradients": part(count, shares.gradients) * DTYPE_BYTES[precision.gradients],
        "optimizer": part(count, shares.optimizer) * optimizer_bytes(optimizer, precision.parameters),
    }


def part(count: int, ranks: int) -> int:
    """What one of `ranks` owns of `count`; the last one's is padded."""
    return -(-count // ranks)


def optimizer_kernels(scenario, shapes: Iterable[tuple[int, ...]], *, clips: bool = True) -> tuple[Kernel, ...]:
    """The update of one rank's dense parameters, as Megatron-LM runs it: one fused kernel over all tensors a pass."""
    count = sum(prod(shape) for shape in shapes)
    return update_kernels(
        count, scenario.precision, scenario.optimizer, scenario.plan.shares, scaled=scales_loss(scenario), clips=clips
    )


def scales_loss(scenario) -> bool:
    """fp16's narrow range needs a scaled loss, whatever parameters are kept in; every gradient is unscaled."""
    return "fp16" in (scenario.dtype, scenario.precision.parameters)


def update_kernels(
    count: int, precision, optimizer: str, shares: Shares = WHOLE, *, scaled: bool = False, clips: bool = True
) -> tuple[Kernel, ...]:
    """(Cast, unscale,) norm, clip, update, copy, zero: bytes for each parameter; all but the last on the owned share.

    Passes of Megatron-LM's Float16OptimizerWithFloat16Params; clips False: neither norm nor clipping, and gradients
    are dropped. Gradients that are sharded too are dropped, not zeroed: the first reduction of the next step makes them
    anew.
    """
    gradient, parameter = DTYPE_BYTES[precision.gradients], DTYPE_BYTES[precision.parameters]
    owned = part(count, shares.optimizer)
    passes = []
    if gradient < MASTER_BYTES:  # 16-bit gradients are cast up first: reads one, writes the other
        passes.append((owned, gradient + MASTER_BYTES))
    if scaled:  # the loss scale is taken out, infinities are looked for: reads, writes
        passes.append((owned, 2 * MASTER_BYTES))
    if clips:
        passes.append((owned, MASTER_BYTES))  # gradient norm: reads
        passes.append((owned, 2 * MASTER_BYTES))  # clipping: reads, writes
    passes.append((owned, MASTER_BYTES + UPDATE_BYTES[optimizer]))  # reads the gradient, updates
    if has_master(precision.parameters):  # the master copy is cast down: reads 4, writes the parameter
        passes.append((owned, MASTER_BYTES + parameter))
    if clips and shares.gradients == 1:
        passes.append((count, gradient))  # gradients are zeroed: writes
    return tuple(
        Kernel("optimizer", (elements,), "fp32", 0, elements * each, kinds.OPTIMIZER)
        for elements, each in passes
        if elements
    )

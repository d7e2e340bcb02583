"""Megatron-LM's two linear layers, forward and backward, with their collectives (arXiv 1909.08053, 2205.05198).

Backward order is that of Megatron-LM's LinearWithGradAccumulationAndAsyncCommunication: the input's all-gather (under
sequence parallelism) runs beside the input-gradient GEMM, the input gradient's reduction beside the weight gradient's.
Older code reduces after both, and waits (`model/stacks.py`). The weight gradient and the gather of the input that it
alone needs are marked as `of_weight`: where the backward pass is split they are W, and all else is I.
`in_width` and `out_width` are the whole layer's; the GEMM shapes are one tensor rank's.
"""

from __future__ import annotations

from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import gemm, memory_bound, tensor_collective, weight_gradient
from simulator.model.work import Step, Wait


def column_forward(in_width: int, out_width: int, cut: Cut) -> tuple[Step, ...]:
    """Y = X A with A's output features sharded; under sequence parallelism X's positions are gathered first.

    The bias is added in the GEMM's epilogue or in the next fused kernel: no pass of its own.
    """
    steps: list[Step] = []
    if cut.sequence_parallel:
        steps += tensor_collective("all_gather", cut.tokens * in_width * cut.bytes, cut)
    return (*steps, gemm(cut.tokens, cut.share(out_width), in_width, cut))


def column_backward(in_width: int, out_width: int, cut: Cut, bias: bool = True) -> tuple[Step, ...]:
    """Input gradient [tokens, in] = dY A^T, weight gradient [out, in] = dY^T X, bias gradient by a read of dY."""
    tokens, out, size = cut.tokens, cut.share(out_width), cut.tokens * in_width * cut.bytes
    overlapped = cut.tensor > 1 and (cut.async_reduction or cut.sequence_parallel)
    steps: list[Step] = []
    if bias:  # sum over positions: reads dY once
        steps.append(memory_bound("elementwise", tokens * out, cut.bytes, cut))
    if overlapped and cut.sequence_parallel:
        steps += tensor_collective("all_gather", size, cut, handle="input", of_weight=True)
    steps.append(gemm(tokens, in_width, out, cut))
    if overlapped and cut.sequence_parallel:
        steps.append(Wait("input"))
    if not overlapped:
        return (*steps, *weight_gradient(out, in_width, tokens, cut), *tensor_collective(_reduction(cut), size, cut))
    steps += tensor_collective(_reduction(cut), size, cut, handle="grad")
    steps += weight_gradient(out, in_width, tokens, cut)
    steps.append(Wait("grad"))
    return tuple(steps)


def row_forward(in_width: int, out_width: int, cut: Cut) -> tuple[Step, ...]:
    """Y = X A with A's input features sharded: a partial sum, reduced over the tensor group."""
    size = cut.tokens * out_width * cut.bytes
    return (
        gemm(cut.tokens, out_width, cut.share(in_width), cut),
        *tensor_collective(_reduction(cut), size, cut),
    )


def row_backward(in_width: int, out_width: int, cut: Cut) -> tuple[Step, ...]:
    """Under sequence parallelism dY's positions are gathered first, exposed; then both GEMMs are local.

    The bias of a row-parallel layer is added after the reduction; its gradient belongs to that kernel.
    """
    tokens, width = cut.tokens, cut.share(in_width)
    steps: list[Step] = []
    if cut.sequence_parallel:
        steps += tensor_collective("all_gather", tokens * out_width * cut.bytes, cut)
    return (*steps, gemm(tokens, width, out_width, cut), *weight_gradient(out_width, width, tokens, cut))


def column_weight_bytes(in_width: int, out_width: int, cut: Cut) -> int:
    """What the weight gradient reads: X (its share of positions under sequence parallelism, gathered again), dY."""
    return cut.bytes * (cut.shard_tokens * in_width + cut.tokens * cut.share(out_width))


def row_weight_bytes(in_width: int, out_width: int, cut: Cut) -> int:
    """What the weight gradient reads: X and all positions of dY, which I has gathered."""
    return cut.bytes * cut.tokens * (cut.share(in_width) + out_width)


def _reduction(cut: Cut) -> str:
    return "reduce_scatter" if cut.sequence_parallel else "all_reduce"

"""Megatron-LM's two linear layers, forward and backward, with their collectives (arXiv 1909.08053, 2205.05198).

Backward order is that of Megatron-LM's LinearWithGradAccumulationAndAsyncCommunication: the input's all-gather (under
sequence parallelism) runs beside the input-gradient GEMM, the input gradient's reduction beside the weight gradient's.
Older code reduces after both, and waits (`model/stacks.py`). The weight gradient and the gather of the input that it
alone needs are marked as `of_weight`: where the backward pass is split they are W, and all else is I.

With `overlap_tensor` the collectives that would stand alone are split (Wang et al., ASPLOS 2023), as the userbuffers of
TransformerEngine do by default: a gather is a ring of the ranks' rows, one sendrecv beside the product of the rows
before (method ring_exchange); an output is multiplied a few columns at a time, whose reduce-scatter runs beside the
next product (method pipeline). Pieces are priced as the smaller products that they are. Not modelled: products of
several pieces at once on streams of their own, which fill the chip better.
`in_width` and `out_width` are the whole layer's; the GEMM shapes are one tensor rank's.
"""

from __future__ import annotations

from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import gemm, memory_bound, tensor_collective, weight_gradient
from simulator.model.work import Step, Wait

OUTPUT_PIECES = 4
"""Of a row-parallel layer's output: `num_splits` of TransformerEngine's method pipeline, as NeMo sets it for GPT-3 175B
on H100 (nemo/collections/llm/recipes/tp_overlap_configs/userbuffers.py, proj_fprop)."""


def column_forward(in_width: int, out_width: int, cut: Cut) -> tuple[Step, ...]:
    """Y = X A with A's output features sharded; under sequence parallelism X's positions are gathered first.

    The bias is added in the GEMM's epilogue or in the next fused kernel: no pass of its own.
    """
    steps: list[Step] = []
    if cut.splits_collectives:
        return _beside_rows(cut.share(out_width), in_width, cut)
    if cut.sequence_parallel:
        steps += tensor_collective("all_gather", cut.tokens * in_width * cut.bytes, cut)
    return (*steps, gemm(cut.tokens, cut.share(out_width), in_width, cut))


def column_backward(
    in_width: int, out_width: int, cut: Cut, bias: bool = True, *, trained: bool = True
) -> tuple[Step, ...]:
    """Input gradient [tokens, in] = dY A^T, weight gradient [out, in] = dY^T X, bias gradient by a read of dY.

    trained False: the input gradient alone, whose reduction nothing runs beside (Megatron-core's
    LinearWithFrozenWeight).
    """
    tokens, out, size = cut.tokens, cut.share(out_width), cut.tokens * in_width * cut.bytes
    if not trained:
        return (gemm(tokens, in_width, out, cut), *tensor_collective(_reduction(cut), size, cut))
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
    if cut.splits_collectives:
        steps: list[Step] = []
        for number, width in enumerate(output_pieces(out_width)):
            steps.append(gemm(cut.tokens, width, cut.share(in_width), cut))
            steps += tensor_collective("reduce_scatter", cut.tokens * width * cut.bytes, cut, f"columns{number}")
        return (*steps, *(Wait(f"columns{number}") for number in range(len(output_pieces(out_width)))))
    return (
        gemm(cut.tokens, out_width, cut.share(in_width), cut),
        *tensor_collective(_reduction(cut), size, cut),
    )


def row_backward(
    in_width: int, out_width: int, cut: Cut, *, trained: bool = True, passes: bool = True
) -> tuple[Step, ...]:
    """Under sequence parallelism dY's positions are gathered first, exposed; then both GEMMs are local.

    The bias of a row-parallel layer is added after the reduction; its gradient belongs to that kernel. trained: whether
    there is a weight gradient; passes: whether there is an input gradient.
    """
    tokens, width = cut.tokens, cut.share(in_width)
    of_weight = weight_gradient(out_width, width, tokens, cut) if trained else ()
    steps: list[Step] = []
    if cut.splits_collectives:
        return (*_beside_rows(width, out_width, cut), *of_weight)
    if cut.sequence_parallel:
        steps += tensor_collective("all_gather", tokens * out_width * cut.bytes, cut)
    if passes:
        steps.append(gemm(tokens, width, out_width, cut))
    return (*steps, *of_weight)


def output_pieces(width: int) -> tuple[int, ...]:
    """Widths of the pieces of an output: as equal as can be, none empty."""
    each, rest = divmod(width, OUTPUT_PIECES)
    return tuple(each + (piece < rest) for piece in range(min(OUTPUT_PIECES, width)))


def column_weight_bytes(in_width: int, out_width: int, cut: Cut) -> int:
    """What the weight gradient reads: X (its share of positions under sequence parallelism, gathered again), dY."""
    return cut.bytes * (cut.shard_tokens * in_width + cut.tokens * cut.share(out_width))


def row_weight_bytes(in_width: int, out_width: int, cut: Cut) -> int:
    """What the weight gradient reads: X and all positions of dY, which I has gathered."""
    return cut.bytes * cut.tokens * (cut.share(in_width) + out_width)


def _beside_rows(out_width: int, row_width: int, cut: Cut) -> tuple[Step, ...]:
    """One product for each tensor rank's rows, which go round the ring one place beside each product but the last."""
    rows, steps = cut.shard_tokens, []
    for step in range(cut.tensor):
        if step:
            steps.append(Wait(f"rows{step}"))
        if step < cut.tensor - 1:
            steps += tensor_collective("sendrecv", rows * row_width * cut.bytes, cut, f"rows{step + 1}")
        steps.append(gemm(rows, out_width, row_width, cut))
    return tuple(steps)


def _reduction(cut: Cut) -> str:
    return "reduce_scatter" if cut.sequence_parallel else "all_reduce"

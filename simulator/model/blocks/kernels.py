"""Makers of kernels: FLOPs and bytes moved from the shape, each rule once.

Bytes are what must cross device memory if every operand is read once and every result written once. `passes` below
counts bytes for one element: fp16 or bf16 in, the same out is 4.
"""

from __future__ import annotations

from dataclasses import replace

from simulator import kinds
from simulator.model.blocks.cut import Cut
from simulator.model.work import Collective, Kernel, Step
from simulator.units import DTYPE_BYTES


def gemm(m: int, n: int, k: int, cut: Cut, out_bytes: int | None = None) -> Kernel:
    """C[m,n] = A[m,k] B[k,n]: 2 m n k FLOPs. out_bytes: traffic of an element of C, an activation's unless given."""
    size, out = DTYPE_BYTES[cut.dtype], cut.bytes if out_bytes is None else out_bytes
    return Kernel("gemm", (m, n, k), cut.dtype, 2 * m * n * k, size * (m * k + k * n) + out * m * n)


def weight_gradient(out_width: int, in_width: int, tokens: int, cut: Cut) -> tuple[Kernel, ...]:
    """dW[out, in] = dY^T X, summed over microbatches by the GEMM (reads and writes C) or in a pass of its own.

    Under autocast the GEMM writes an activation's dtype, which is cast; that later microbatches' are added is not
    counted.
    """
    kernels = (gemm(out_width, in_width, tokens, cut, 2 * cut.gradient_bytes),)
    if cut.autocast:
        kernels = (gemm(out_width, in_width, tokens, cut), *cast_parameters(out_width * in_width, cut))
    elif not cut.fused_accumulation or cut.fresh_gradients:
        kernels = (gemm(out_width, in_width, tokens, cut), *accumulate(out_width * in_width, cut))
    return tuple(replace(kernel, of_weight=True) for kernel in kernels)


def batched_gemm(batch: int, m: int, n: int, k: int, cut: Cut, flops: int | None = None) -> Kernel:
    """`batch` independent products. `flops` replaces 2 batch m n k where the block's convention counts fewer."""
    counted = 2 * batch * m * n * k if flops is None else flops
    return Kernel("batched_gemm", (batch, m, n, k), cut.dtype, counted, cut.bytes * batch * (m * k + k * n + m * n))


def memory_bound(op: str, elements: int, passes: float, cut: Cut) -> Kernel:
    """A kernel whose time is its traffic: `passes` bytes for each of `elements`."""
    return Kernel(op, (elements,), cut.dtype, 0, round(elements * passes))


def norm_forward(elements: int, width: int, cut: Cut, passes: int = 2) -> Kernel:
    """A norm over rows of `width`, by the stack's kernel: reads and writes each element."""
    if cut.norm == "apex":
        return Kernel("layernorm_apex", (-(-elements // width), width), cut.dtype, 0, elements * passes * cut.bytes)
    return memory_bound("layernorm", elements, passes * cut.bytes, cut)


def norm_backward(elements: int, width: int, cut: Cut, *, trained: bool = True) -> Kernel:
    """Reads dY and X, writes dX: 3 passes; where the weights' gradient is a kernel of its own, dY and X once more."""
    return norm_forward(elements, width, cut, 3 if cut.norm == "persistent" or not trained else 5)


def cast_parameters(count: int, cut: Cut) -> tuple[Kernel, ...]:
    """Autocast of one parameter, or of its gradient: reads the one dtype, writes the other."""
    return (memory_bound("cast", count, cut.bytes + cut.gradient_bytes, cut),) if cut.autocast else ()


def accumulate(count: int, cut: Cut) -> tuple[Kernel, ...]:
    """Megatron-LM's `main_grad.add_`: reads the fresh gradient, reads and writes the accumulated one, where one is."""
    if cut.fresh_gradients:
        return ()
    return (memory_bound("elementwise", count, cut.bytes + 2 * cut.gradient_bytes, cut),)


def tensor_collective(
    op: str, size_bytes: int, cut: Cut, handle: str | None = None, *, of_weight: bool = False
) -> tuple[Step, ...]:
    """A collective over the tensor group; none where the group is this rank alone."""
    return (Collective(op, "tensor", size_bytes, handle=handle, of_weight=of_weight),) if cut.tensor > 1 else ()


def context_collective(op: str, size_bytes: int, handle: str | None = None) -> Collective:
    """A collective over the context group."""
    return Collective(op, "context", size_bytes, kinds.CONTEXT, handle)

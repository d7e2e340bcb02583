"""What a rank does inside an action: kernels and collectives in the order the host launches them.

A block of the model writes its forward and backward pass as a tuple of steps, the way the training code itself reads:
launch a kernel, launch a collective (at once, or under a handle), wait for a handle or for the host. From this one list
come FLOPs, bytes, times and, later, what the executor must do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator import kinds


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel on the compute stream of one rank.

    op: the kernel's family, a key of the cost profile: gemm, batched_gemm, attention_forward, attention_backward,
        hstu_attention_forward, hstu_attention_backward, or a memory-bound family (elementwise, layernorm, softmax,
        cross_entropy, embedding_lookup, embedding_update, row_update_adam, optimizer, cast, topk, copy, ...).
    shape: what the family is keyed by; gemm (m, n, k) for C[m,n] = A[m,k] B[k,n]; batched_gemm (batch, m, n, k);
        attention (batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal 0|1); embedding_bag (ids, width, bags);
        memory-bound (elements,).
    flops: FLOPs counted by the convention of the block (2 m n k for a GEMM, 0 for memory-bound kernels).
    bytes_moved: bytes read and written in device memory (host memory where op ends in `_host`).
    kind: the breakdown's label: compute, recompute, compression or optimizer.
    of_weight: makes a weight's gradient, which nobody waits for before the step's end (see `backward_halves`).
    """

    op: str
    shape: tuple[int, ...]
    dtype: str
    flops: int = 0
    bytes_moved: int = 0
    kind: str = kinds.COMPUTE
    of_weight: bool = False

    def as_recompute(self) -> Kernel:
        """The same kernel, run again in the backward pass because its result was not kept."""
        return replace(self, kind=kinds.RECOMPUTE)


@dataclass(frozen=True, slots=True)
class Collective:
    """One collective of a group of ranks, launched after the kernels before it.

    op: all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, sendrecv (as nccl-tests call it: every member
        sends to its neighbour in a ring and receives from the other one).
    group: tensor, context, table, data: which of this rank's groups.
    size_bytes: the full message, as NCCL counts it: the whole buffer of an all_reduce, the gathered result of an
        all_gather, the input of a reduce_scatter, what one rank sends to all (itself included) in an all_to_all, what
        it sends to its neighbour in a sendrecv.
    handle: None blocks the steps that follow; a name lets them run until `Wait(name)`.
    of_weight: brings what a weight's gradient is made of.
    """

    op: str
    group: str
    size_bytes: int
    kind: str = kinds.TENSOR
    handle: str | None = None
    of_weight: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The steps after this one need the collective launched under `handle`."""

    handle: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host launches so many operations, one after another; the steps after this one wait for it, it waits for none.

    Only where the device has run empty: elsewhere the host is ahead of it.
    """

    launches: int


Step = Kernel | Collective | Wait | Host


def forward_flops(steps: tuple[Step, ...]) -> int:
    """FLOPs counted in a list of steps (kernels only; lookups and collectives count nothing)."""
    return sum(step.flops for step in steps if isinstance(step, Kernel))


def backward_halves(steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """(I, W): a backward pass without its weight gradients, and those alone; together they are the whole pass.

    Nothing is left for a tensor collective to run beside, so each is waited for where it is launched, as in the
    zero-bubble fork of Megatron-LM (sail-sg/zero-bubble-pipeline-parallelism, megatron/core/tensor_parallel/layers.py
    and zbpp_utils.py: `async_op=wgrad_compute`, `func(*pre_func(async_op=False))`). What goes round a
    ring beside kernels of I stays as it is.
    """
    waited = {step.handle for step in steps if isinstance(step, Collective) and step.op != "sendrecv"}
    inputs: list[Step] = []
    weights: list[Step] = []
    for step in steps:
        if isinstance(step, Wait):
            if step.handle not in waited:
                inputs.append(step)
            continue
        if isinstance(step, Collective) and step.op != "sendrecv":
            step = replace(step, handle=None)
        (weights if step.of_weight else inputs).append(step)
    return tuple(inputs), tuple(weights)

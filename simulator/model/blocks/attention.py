"""The attention core of one tensor rank: everything between the QKV and the output projection.

FLOPs: QK^T and AV are 2 b a s^2 d each. gpt, llama and bert count all of it, causal or not; sasrec counts the causal
half (`counts_half`). What a causal kernel really skips is the profile's matter: shapes carry the causal flag.
"""

from __future__ import annotations

from simulator.model.blocks import context
from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import batched_gemm, memory_bound
from simulator.model.spec import DENSE_BLOCKS, Trunk
from simulator.model.work import Kernel, Step

DROPOUT_MASK_BYTES = 1
LOGSUMEXP_BYTES = 4
"""Flash attention keeps one fp32 number for each query and head (arXiv 2307.08691)."""


def counts_half(trunk: Trunk) -> bool:
    """Whether this block's FLOP convention counts only the causal half of s^2."""
    return trunk.causal and trunk.block not in DENSE_BLOCKS


def product_flops(trunk: Trunk, cut: Cut) -> int:
    """Counted FLOPs of one of the core's products (QK^T or AV) on one rank."""
    full = 2 * cut.share(trunk.heads) * trunk.head_dim * cut.square_lengths // cut.context
    return full // 2 if counts_half(trunk) else full


def scores(trunk: Trunk, cut: Cut) -> int:
    """Elements of the s^2 matrices on one rank."""
    return cut.share(trunk.heads) * cut.square_lengths // cut.context


def core_forward(trunk: Trunk, cut: Cut, dropout: bool) -> tuple[Step, ...]:
    """flash: one kernel. unfused: QK^T, scale + mask + softmax, dropout, AV, and the copy back to [s, b, a d].

    Over a context group: `context.py`.
    """
    return context.forward(trunk, cut, lambda own: _whole_forward(trunk, own, dropout), weighted=True)


def core_backward(trunk: Trunk, cut: Cut, dropout: bool) -> tuple[Step, ...]:
    """Gradients of Q, K and V; twice the forward's FLOPs are counted, a flash kernel's own recomputation is not."""
    return context.backward(trunk, cut, lambda own: _whole_backward(trunk, own, dropout))


def core_again(trunk: Trunk, cut: Cut, dropout: bool) -> tuple[Step, ...]:
    """The forward core, run again from the Q, K and V that were kept: nothing is exchanged again."""
    return _whole_forward(trunk, cut.by_heads if cut.context > 1 else cut, dropout)


def core_bytes(trunk: Trunk, cut: Cut, dropout: bool) -> int:
    """What only the core keeps: probabilities (and dropout's mask and output: the 5 a s^2 b of arXiv 2205.05198)."""
    if cut.attention == "flash":
        return LOGSUMEXP_BYTES * cut.tokens * cut.share(trunk.heads)
    each = 2 * cut.bytes + DROPOUT_MASK_BYTES if dropout else cut.bytes
    return each * scores(trunk, cut)


def _whole_forward(trunk: Trunk, cut: Cut, dropout: bool) -> tuple[Step, ...]:
    size, flops = cut.bytes, product_flops(trunk, cut)
    query, key = cut.tokens * cut.share(trunk.query_width), cut.tokens * cut.share(trunk.kv_width)
    if cut.attention == "flash":  # reads Q, K, V; writes the output
        return (_flash("attention_forward", trunk, cut, 2 * flops, size * (2 * query + 2 * key)),)
    batch, seq, elements = cut.batch * cut.share(trunk.heads), cut.attention_seq, scores(trunk, cut)
    # Megatron-LM's fused causal softmax reads only the lower half, and writes all (zeros above the diagonal)
    softmax_passes = size * (1.5 if trunk.causal else 2)
    steps: list[Step] = [
        batched_gemm(batch, seq, seq, trunk.head_dim, cut, flops),
        memory_bound("softmax", elements, softmax_passes, cut),
    ]
    if dropout:  # reads, writes, and writes the mask
        steps.append(memory_bound("elementwise", elements, 2 * size + DROPOUT_MASK_BYTES, cut))
    steps.append(batched_gemm(batch, seq, trunk.head_dim, seq, cut, flops))
    steps.append(memory_bound("copy", query, 2 * size, cut))
    return tuple(steps)


def _whole_backward(trunk: Trunk, cut: Cut, dropout: bool) -> tuple[Step, ...]:
    size, flops = cut.bytes, product_flops(trunk, cut)
    query, key = cut.tokens * cut.share(trunk.query_width), cut.tokens * cut.share(trunk.kv_width)
    if cut.attention == "flash":  # reads Q, K, V, O, dO; writes dQ, dK, dV
        return (_flash("attention_backward", trunk, cut, 4 * flops, size * (4 * query + 4 * key)),)
    batch, seq, elements = cut.batch * cut.share(trunk.heads), cut.attention_seq, scores(trunk, cut)
    steps: list[Step] = [
        batched_gemm(batch, seq, seq, trunk.head_dim, cut, flops),  # dP = dO V^T
        batched_gemm(batch, seq, trunk.head_dim, seq, cut, flops),  # dV = P^T dO
    ]
    if dropout:  # reads the gradient and the mask, writes
        steps.append(memory_bound("elementwise", elements, 2 * size + DROPOUT_MASK_BYTES, cut))
    steps += [
        # Reads the gradient and the probabilities, writes. Megatron-LM's causal kernel reads their lower halves alone
        # (2 passes); counted so, a layer's backward comes out 3 % too fast and the constants fit worse: the third pass
        # stands for something that is not counted here.
        memory_bound("softmax", elements, 3 * size, cut),
        batched_gemm(batch, seq, trunk.head_dim, seq, cut, flops),  # dQ = dS K
        batched_gemm(batch, seq, trunk.head_dim, seq, cut, flops),  # dK = dS^T Q
    ]
    return tuple(steps)


def _flash(op: str, trunk: Trunk, cut: Cut, flops: int, bytes_moved: int) -> Kernel:
    seq = cut.attention_seq
    shape = (cut.batch, cut.share(trunk.heads), cut.share(trunk.kv_heads), seq, seq, trunk.head_dim, int(trunk.causal))
    return Kernel(op, shape, cut.dtype, flops, bytes_moved)

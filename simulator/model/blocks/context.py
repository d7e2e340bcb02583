"""Attention of samples whose positions are sliced over a context group of c ranks: as a ring, or by heads.

ring (Liu et al., arXiv 2310.01889), in the order of TransformerEngine's AttnFuncWithCPAndKVP2P, which Megatron-LM runs:
in c steps a rank's queries meet the keys and values of every rank, which travel round the ring beside the kernel of
the step before; in backward they travel back, their gradients one step behind. A causal sample is cut into 2c chunks,
and rank r holds chunks r and 2c - 1 - r, so that every step costs every rank the same: the causal half of its own keys,
then for a lower rank's keys all its queries against their first half, for a higher rank's its second half of queries
against all of them. Priced is the last rank, which never meets a higher one: of these equal products, its correct most.
Not modelled: steps on two streams, corrections of the log-sum-exps (a head_dim-th of the outputs').

all_to_all (DeepSpeed-Ulysses, arXiv 2309.14509): Q, K and V are exchanged, each for itself, so that a rank has all
positions of 1/c of the heads; the core is that of a whole sample; its output is exchanged back. Slices are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import context_collective, memory_bound
from simulator.model.spec import Trunk
from simulator.model.work import Kernel, Step, Wait

Core = Callable[[Cut], tuple[Step, ...]]

KEY_PASSES_FORWARD, KEY_PASSES_BACKWARD = 2, 4
"""What a kernel moves of the keys' width: reads K and V; in backward writes their gradients too."""


def forward(trunk: Trunk, cut: Cut, core: Core, *, weighted: bool) -> tuple[Step, ...]:
    """core: the forward core of a rank whose samples are whole. weighted: as for `ring_forward`."""
    if cut.context == 1:
        return core(cut)
    if cut.is_ring:
        (attend,) = core(cut)
        return ring_forward(trunk, cut, attend, weighted=weighted)
    steps = [step for width in _widths(trunk) for step in _to_heads(width, cut)]
    return (*steps, *core(cut.by_heads), *_to_positions(trunk.query_width, cut))


def backward(trunk: Trunk, cut: Cut, core: Core) -> tuple[Step, ...]:
    """core: the backward core of a rank whose samples are whole. The output's gradient goes the way of Q, K and V, and
    their gradients come back the output's."""
    if cut.context == 1:
        return core(cut)
    if cut.is_ring:
        (attend,) = core(cut)
        return ring_backward(trunk, cut, attend)
    steps = [step for width in _widths(trunk) for step in _to_positions(width, cut)]
    return (*_to_heads(trunk.query_width, cut), *core(cut.by_heads), *steps)


def ring_forward(trunk: Trunk, cut: Cut, attend: Kernel, *, weighted: bool) -> tuple[Step, ...]:
    """attend: one kernel with all of a rank's products, of which each step does 1/context.

    weighted: parts are added up with their share of the softmax's sum; else they are the sum's terms.
    """
    query, pair = cut.tokens * cut.share(trunk.query_width), 2 * cut.tokens * cut.share(trunk.kv_width)
    size = cut.bytes
    steps: list[Step] = [memory_bound("copy", pair, 2 * size, cut)]  # K and V are joined: one message
    for step in range(cut.context):
        if step:
            steps.append(Wait(f"kv{step}"))
        if step < cut.context - 1:
            steps.append(context_collective("sendrecv", pair * size, f"kv{step + 1}"))
        steps += _part(trunk, cut, attend, KEY_PASSES_FORWARD, own=step == 0)
    if weighted:
        steps.append(memory_bound("elementwise", query, size, cut))  # the sum begins as zeros: writes
    terms = cut.context if weighted else cut.context - 1
    return (*steps, *(_added(query, cut) for _ in range(terms)))


def ring_backward(trunk: Trunk, cut: Cut, attend: Kernel) -> tuple[Step, ...]:
    """attend: one backward kernel with all of a rank's products."""
    query, pair = cut.tokens * cut.share(trunk.query_width), 2 * cut.tokens * cut.share(trunk.kv_width)
    size, last = cut.bytes, cut.context - 1
    steps: list[Step] = [memory_bound("copy", pair, 2 * size, cut)]  # K and V go to where they are sent from
    for step in range(cut.context):
        parts = (step < last) + (step > 0)  # K and V for the next step; their gradients from the step before
        steps.append(context_collective("sendrecv", parts * pair * size, f"kv{step}"))
        steps += _part(trunk, cut, attend, KEY_PASSES_BACKWARD, own=step == last)
        steps.append(_added(query, cut) if step else memory_bound("copy", query, 2 * size, cut))
        steps.append(Wait(f"kv{step}"))
        met = pair // 2 if trunk.causal and step < last else pair
        steps.append(_added(met, cut) if step else memory_bound("copy", met, 2 * size, cut))
    return tuple(steps)


def copied_elements(trunk: Trunk, cut: Cut) -> int:
    """Elements that are kept for backward in tensors of the exchange: K and V, joined; or Q, K and V as they came."""
    return cut.tokens * ((0 if cut.is_ring else cut.share(trunk.query_width)) + 2 * cut.share(trunk.kv_width))


def working_elements(trunk: Trunk, cut: Cut) -> int:
    """Most elements alive at once in the core's backward, beside what the forward pass has kept.

    ring: the output's gradient, Q's so far and this step's, K's and V's of this step, and two buffers of K, V and their
    gradients. all_to_all: the gradients of Q, K and V, and Q's once more before and behind its exchange.
    """
    query, pair = cut.tokens * cut.share(trunk.query_width), 2 * cut.tokens * cut.share(trunk.kv_width)
    return 3 * query + 5 * pair if cut.is_ring else 3 * query + pair


def _widths(trunk: Trunk) -> tuple[int, int, int]:
    """Of Q, K and V."""
    return trunk.query_width, trunk.kv_width, trunk.kv_width


def _part(trunk: Trunk, cut: Cut, whole: Kernel, key_passes: int, *, own: bool) -> tuple[Step, ...]:
    """One step: 1/context of the products. A causal rank meets half of another's keys, which it copies out first."""
    batch, heads, kv_heads, seq, _, head_dim, causal = whole.shape
    part = replace(whole, flops=whole.flops // cut.context)
    queries = seq // cut.context
    if own or not trunk.causal:
        return (replace(part, shape=(batch, heads, kv_heads, queries, queries, head_dim, causal)),)
    keys = cut.tokens * cut.share(trunk.kv_width)
    half = replace(
        part,
        shape=(batch, heads, kv_heads, queries, queries // 2, head_dim, 0),
        bytes_moved=whole.bytes_moved - key_passes * cut.bytes * keys // 2,
    )
    return memory_bound("copy", keys, 2 * cut.bytes, cut), half


def _to_heads(width: int, cut: Cut) -> tuple[Step, Step]:
    """A slice of the positions of all heads becomes all positions of 1/context of them: what goes to one rank is put
    together by a copy; what comes is in order."""
    copy, message = _exchange(width, cut)
    return copy, message


def _to_positions(width: int, cut: Cut) -> tuple[Step, Step]:
    """The way back: what comes from one rank is put in its place by a copy."""
    copy, message = _exchange(width, cut)
    return message, copy


def _exchange(width: int, cut: Cut) -> tuple[Step, Step]:
    elements = cut.tokens * cut.share(width)
    copy = memory_bound("copy", elements, 2 * cut.bytes, cut)
    return copy, context_collective("all_to_all", elements * cut.bytes)


def _added(elements: int, cut: Cut) -> Kernel:
    """Reads the sum and a term, writes the sum."""
    return memory_bound("elementwise", elements, 3 * cut.bytes, cut)

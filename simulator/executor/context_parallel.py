"""Attention over a context group as autograd functions: a ring of keys and values, or an exchange of heads.

Every message of `model/blocks/context.py` is launched here, at the same place and under the same handle. Tensors are
[batch, heads, positions, head_dim]; a rank has its slice of the positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from simulator.executor.groups import Group

Spans = tuple[tuple[int, int], ...]
"""(first, count) of runs of positions."""


@dataclass(frozen=True)
class Context:
    """The context group of a rank. kind: ring or all_to_all. causal: of the model. element_bytes: on the wire, as the
    program counts it."""

    group: Group
    kind: str
    causal: bool
    element_bytes: int

    @property
    def size(self) -> int:
        return self.group.size

    def spans(self, positions: int) -> Spans:
        """The positions of a sample that this rank has, `positions` in all: a slice; in a causal ring of c ranks chunks
        r and 2c - 1 - r of 2c, so that all have as many keys in front of their queries."""
        if self.size > 1 and self.kind == "ring" and self.causal:
            chunk, index = positions // 2, self.group.index
            return (index * chunk, chunk), ((2 * self.size - 1 - index) * chunk, chunk)
        return ((self.group.index * positions, positions),)


WHOLE = Context(Group("context", (0,), 0, None), "ring", True, 0)
"""No context parallelism."""


class Block(Protocol):
    """Attention of some queries to some keys, of which the ring adds up several."""

    def forward(self, query, key, value, causal: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(output, log-sum-exp of the scores [batch, heads, queries]; None where outputs are plain sums)."""

    def backward(self, grad, query, key, value, out, sums, causal: bool) -> tuple[torch.Tensor, ...]:
        """Gradients of query, key and value. out, sums: over all keys, not only these."""


def over_context(context: Context, block: Block, whole: Callable, query, key, value) -> torch.Tensor:
    """whole: attention of whole samples. Returns the output at this rank's positions."""
    if context.size == 1:
        return whole(query, key, value)
    if context.kind == "ring":
        return Ring.apply(query, key, value, context, block)
    return ToPositions.apply(whole(*ToHeads.apply(query, key, value, context)), context)


class Ring(torch.autograd.Function):
    """TransformerEngine's AttnFuncWithCPAndKVP2P. A step's keys are those of the rank so many places before."""

    @staticmethod
    def forward(ctx, query, key, value, context: Context, block: Block):
        pair, parts, arriving = torch.stack([key, value]), [], None
        for step in range(context.size):
            if arriving is not None:
                pair = arriving.wait()
            if step < context.size - 1:
                arriving = context.group.begin_sendrecv(pair, context.element_bytes, 1)
            queries, keys, causal = _meeting(context, step, query.shape[2])
            met = pair[:, :, :, keys].contiguous() if keys != EVERYTHING else pair
            parts.append((queries, *block.forward(_rows(query, queries), met[0], met[1], causal)))
        out, sums = _added(query, parts)
        ctx.save_for_backward(query, pair, out, sums)
        ctx.context, ctx.block = context, block
        return out

    @staticmethod
    def backward(ctx, grad):
        query, pair, out, sums = ctx.saved_tensors
        context: Context = ctx.context
        grad, query_grad, last = grad.contiguous(), torch.empty_like(query), context.size - 1
        # each buffer: the keys and values of a step, and the gradients that they have met so far
        here, there = (pair.new_empty((2, *pair.shape)) for _ in range(2))
        here[0].copy_(pair)
        for step in range(context.size):
            sent = slice(0, 1) if step == 0 else slice(1, 2) if step == last else slice(0, 2)
            arriving = context.group.begin_sendrecv(here[sent], context.element_bytes, -1, there[sent])
            queries, keys, causal = _meeting(context, last - step, query.shape[2])
            met = here[0][:, :, :, keys].contiguous() if keys != EVERYTHING else here[0]
            own = [_rows(tensor, queries) for tensor in (grad, query, out)]
            own_sums = None if sums is None else sums[:, :, queries].contiguous()
            gradients = ctx.block.backward(own[0], own[1], met[0], met[1], own[2], own_sums, causal)
            _take(query_grad, queries, gradients[0], first=step == 0)
            arriving.wait()
            for place in (0, 1):
                _take(there[1][place], keys, gradients[1 + place], first=step == 0)
            here, there = there, here
        return query_grad, here[1][0], here[1][1], None, None


EVERYTHING = slice(None)


def _meeting(context: Context, step: int, positions: int) -> tuple[slice, slice, bool]:
    """(which queries, which of the keys that are here after so many steps, whether some lie behind a query)."""
    if step == 0 or not context.causal:
        return EVERYTHING, EVERYTHING, context.causal
    if step <= context.group.index:  # keys of a lower rank
        return EVERYTHING, slice(0, positions // 2), False
    return slice(positions // 2, positions), EVERYTHING, False


def _rows(tensor: torch.Tensor, queries: slice) -> torch.Tensor:
    return tensor[:, :, queries].contiguous() if queries != EVERYTHING else tensor


def _added(query: torch.Tensor, parts: list) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(the output, its log-sum-exp) of all steps: parts weighted by their share of the sums, or plain."""
    first, sums = parts[0][1], parts[0][2]
    if sums is None:
        for queries, out, _ in parts[1:]:
            first[:, :, queries] += out
        return first, None
    sums = sums.to(torch.float64, copy=True)
    for queries, _, own in parts[1:]:
        sums[:, :, queries] = torch.logaddexp(sums[:, :, queries], own.double())
    sums = sums.to(parts[0][2].dtype)
    total = torch.zeros_like(query)
    for queries, out, own in parts:
        total[:, :, queries] += out * torch.exp(own - sums[:, :, queries])[..., None].to(out.dtype)
    return total, sums


def _take(total: torch.Tensor, rows: slice, term: torch.Tensor, *, first: bool) -> None:
    """Adds a term to some rows of a sum that begins with it; rows without a term yet are zero."""
    if first:
        if rows != EVERYTHING:
            total.zero_()
        total[:, :, rows] = term
    else:
        total[:, :, rows] += term


class ToHeads(torch.autograd.Function):
    """Q, K and V of a slice of positions and all heads become those of all positions and 1/context of the heads."""

    @staticmethod
    def forward(ctx, query, key, value, context: Context):
        ctx.context = context
        return tuple(_to_heads(one, context) for one in (query, key, value))

    @staticmethod
    def backward(ctx, *grads):
        return (*(_to_positions(one, ctx.context) for one in grads), None)


class ToPositions(torch.autograd.Function):
    """The output goes back to the ranks of its positions."""

    @staticmethod
    def forward(ctx, out, context: Context):
        ctx.context = context
        return _to_positions(out, context)

    @staticmethod
    def backward(ctx, grad):
        return _to_heads(grad, ctx.context), None


def _to_heads(x: torch.Tensor, context: Context) -> torch.Tensor:
    batch, heads, positions, width = x.shape
    by_rank = x.permute(2, 0, 1, 3).reshape(positions, batch, context.size, -1, width)
    message = by_rank.permute(2, 0, 1, 3, 4).contiguous()
    arrived = context.group.exchange(message, context.element_bytes)
    return arrived.view(context.size * positions, batch, heads // context.size, width).permute(1, 2, 0, 3)


def _to_positions(x: torch.Tensor, context: Context) -> torch.Tensor:
    batch, heads, positions, width = x.shape
    message = x.permute(2, 0, 1, 3).contiguous()
    arrived = context.group.exchange(message, context.element_bytes)
    by_rank = arrived.view(context.size, positions // context.size, batch, heads, width)
    own = by_rank.permute(1, 2, 0, 3, 4).reshape(positions // context.size, batch, context.size * heads, width)
    return own.permute(1, 2, 0, 3)

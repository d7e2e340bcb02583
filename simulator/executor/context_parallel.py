"""Attention over a context group as autograd functions: a ring of keys and values, or an exchange of heads.

Every message of `model/blocks/context.py` is launched here, at the same place and under the same handle. Tensors are
[batch, heads, positions, head_dim]; a rank has its slice of the positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from simulator.executor.groups import Group
from simulator.model.slices import Run, runs_of_slice

Spans = tuple[Run, ...]


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
        """The positions of a sample that this rank has, `positions` in all."""
        zigzag = self.kind == "ring" and self.causal
        return runs_of_slice(positions, self.group.index, self.size, zigzag=zigzag)


WHOLE = Context(Group("context", (0,), 0, None), "ring", True, 0)
"""No context parallelism."""


class Block(Protocol):
    """Attention of some queries to some keys, of which the ring adds up several."""

    def forward(self, query, key, value, causal: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(output, log-sum-exp of the scores [batch, heads, queries]; None where outputs are plain sums)."""

    def backward(self, grad, query, key, value, out, sums, causal: bool) -> tuple[torch.Tensor, ...]:
        """Gradients of query, key and value. out, sums: over all keys, not only these; None where outputs are plain
        sums."""


EVERYTHING = slice(None)


@dataclass(frozen=True)
class Piece:
    """Rows of a ring that attend to each other: of this entry of the batch, these of its positions on every rank; None:
    of all, all. length: positions of the sample that are no padding, where queries would see it; None: none would.
    """

    entry: int | None = None
    first: int = 0
    count: int | None = None
    length: int | None = None


def over_context(
    context: Context, block: Block, whole: Callable, query, key, value, pieces: Sequence[Piece] = (Piece(),)
) -> torch.Tensor:
    """whole: attention of whole samples. pieces: of a ring. Returns the output at this rank's positions."""
    if context.size == 1:
        return whole(query, key, value)
    if context.kind == "ring":
        return Ring.apply(query, key, value, context, block, pieces)
    return ToPositions.apply(whole(*ToHeads.apply(query, key, value, context)), context)


class Ring(torch.autograd.Function):
    """TransformerEngine's AttnFuncWithCPAndKVP2P, one message for all pieces. A step's keys are those of the rank so
    many places before."""

    @staticmethod
    def forward(ctx, query, key, value, context: Context, block: Block, pieces: Sequence[Piece]):
        pair, parts, arriving = torch.stack([key, value]), [], None
        for step in range(context.size):
            if arriving is not None:
                pair = arriving.wait()
            if step < context.size - 1:
                arriving = context.group.begin_sendrecv(pair, context.element_bytes, 1)
            for entries, queries, keys, causal in _meetings(context, step, query.shape[2], pieces):
                met = _part(pair, entries, keys)
                out, sums = block.forward(_part(query, entries, queries), met[0], met[1], causal)
                parts.append(((entries, EVERYTHING, queries), out, sums))
        out, sums = _added(query, parts, whole=pieces[0] == Piece())
        ctx.save_for_backward(query, pair, out if sums is not None else None, sums)
        ctx.context, ctx.block, ctx.pieces = context, block, pieces
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
            terms = []
            for entries, queries, keys, causal in _meetings(context, last - step, query.shape[2], ctx.pieces):
                met = _part(here[0], entries, keys)
                own = [None if one is None else _part(one, entries, queries) for one in (grad, query, out)]
                own_sums = None if sums is None else sums[entries, :, queries].contiguous()
                gradients = ctx.block.backward(own[0], own[1], met[0], met[1], own[2], own_sums, causal)
                terms.append(((entries, EVERYTHING, queries), (entries, EVERYTHING, keys), gradients))
            _take(query_grad, [(rows, of[0]) for rows, _, of in terms], first=step == 0)
            arriving.wait()
            for place in (0, 1):
                _take(there[1][place], [(rows, of[1 + place]) for _, rows, of in terms], first=step == 0)
            here, there = there, here
        return query_grad, here[1][0], here[1][1], None, None, None


Rows = tuple[slice, slice, slice]
"""Of [batch, heads, positions]."""


def _meetings(
    context: Context, step: int, positions: int, pieces: Sequence[Piece]
) -> Iterator[tuple[slice, slice, slice, bool]]:
    """(entries, which of their queries, which of the keys that are here after so many steps, whether some lie behind a
    query) of each piece that meets any."""
    source = (context.group.index - step) % context.size
    for piece in pieces:
        entries = EVERYTHING if piece.entry is None else slice(piece.entry, piece.entry + 1)
        everything = piece.count is None
        count = positions if everything else piece.count
        whole = EVERYTHING if everything else slice(piece.first, piece.first + count)
        queries = keys = whole
        if context.causal and 0 < step <= context.group.index:  # keys of a lower rank
            keys = slice(piece.first, piece.first + count // 2)
        elif context.causal and step:
            queries = slice(piece.first + count // 2, piece.first + count)
        elif piece.length is not None:
            keys = slice(piece.first, piece.first + min(count, max(0, piece.length - source * count)))
            if keys.start == keys.stop:
                continue
        yield entries, queries, keys, context.causal and step == 0


def _part(tensor: torch.Tensor, entries: slice, rows: slice) -> torch.Tensor:
    """Some positions of some entries of [..., batch, heads, positions, width]."""
    return tensor if entries == rows == EVERYTHING else tensor[..., entries, :, rows, :].contiguous()


def _added(query: torch.Tensor, parts: list, *, whole: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(the output, its log-sum-exp) of all steps: parts weighted by their share of the sums, or plain. whole: the first
    part has all rows; rows that are in no part are zero."""
    if parts[0][2] is None:
        total = parts[0][1] if whole else torch.zeros_like(query)
        for rows, out, _ in parts[1:] if whole else parts:
            total[rows] += out
        return total, None
    narrow = parts[0][2].dtype
    sums = torch.full(query.shape[:3], -torch.inf, dtype=torch.float64, device=query.device)
    for rows, _, own in parts:
        sums[rows] = torch.logaddexp(sums[rows], own.double())
    sums = sums.to(narrow)
    total = torch.zeros_like(query)
    for rows, out, own in parts:
        total[rows] += out * torch.exp(own - sums[rows])[..., None].to(out.dtype)
    return total, sums


def _take(total: torch.Tensor, terms: Sequence[tuple[Rows, torch.Tensor]], *, first: bool) -> None:
    """Adds terms to some rows of a sum that begins with them; rows without a term yet are zero."""
    if first and any(rows == (EVERYTHING,) * 3 for rows, _ in terms):
        ((_, term),) = terms
        total.copy_(term)
        return
    if first:
        total.zero_()
    for rows, term in terms:
        total[rows] += term


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

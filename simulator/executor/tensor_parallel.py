"""Megatron-LM's tensor parallelism as autograd functions (arXiv 1909.08053; with sequences sharded, arXiv 2205.05198).

Activations are [positions, width], positions sequence-major, so that a rank's shard of the sequence is a block of rows.
Every collective of `model/blocks/linear.py` is launched here, at the same place and under the same handle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F

from simulator.executor.groups import Group
from simulator.model.blocks.linear import output_pieces


class WeightGradients:
    """When the products of weight gradients run: in the backward pass of their layer, or put off from I to W.

    waiting: while a list, linear layers append (weight, output gradient, input, the group that gathers the input).
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, Tensor | None]] | None = None

    def put(self, weight: torch.Tensor, grad: torch.Tensor, x: torch.Tensor) -> None:
        """A product whose input is whole here: now, or when W runs."""
        if self.waiting is not None:
            self.waiting.append((weight, grad, x, None))
        else:
            accumulate_product(weight, grad, x)

    @contextmanager
    def put_off(self) -> Iterator[list]:
        """Within it nothing is multiplied: what waits is in the list."""
        self.waiting = waiting = []
        try:
            yield waiting
        finally:
            self.waiting = None

    @staticmethod
    def run(waiting: list) -> None:
        """The products that were put off, in the order of their layers' backward pass."""
        with torch.no_grad():
            for weight, grad, x, gathers in waiting:
                whole = gathers.group.all_gather(x, gathers.element_bytes) if gathers is not None else x
                accumulate_product(weight, grad, whole)


@dataclass(frozen=True)
class Tensor:
    """The tensor group of a rank. sequence: norms and residuals hold 1/size of the positions. element_bytes: on the
    wire, as the program counts it. overlaps: linear layers run in pieces beside their collectives' (with sequence).
    weights: when weight gradients are made."""

    group: Group
    sequence: bool
    element_bytes: int
    overlaps: bool = False
    weights: WeightGradients = field(default_factory=WeightGradients)

    @property
    def size(self) -> int:
        return self.group.size

    @property
    def shards_sequence(self) -> bool:
        return self.sequence and self.size > 1

    @property
    def splits_collectives(self) -> bool:
        return self.overlaps and self.shards_sequence

    def own_rows(self, whole: torch.Tensor) -> torch.Tensor:
        """This rank's block of rows, all of them where the sequence is whole."""
        return whole.chunk(self.size)[self.group.index] if self.shards_sequence else whole


def accumulate_product(weight: torch.Tensor, grad: torch.Tensor, x: torch.Tensor) -> None:
    """weight.main_grad += grad^T x: inside the GEMM where the dtypes allow it."""
    if weight.main_grad.dtype == grad.dtype:
        weight.main_grad.addmm_(grad.t(), x)
    else:
        weight.main_grad.add_(grad.t() @ x)


def beside_rows(
    x: torch.Tensor, multiply: Callable[[torch.Tensor], torch.Tensor], tensor: Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(products, rows) of every rank's rows, in order: the rows go round the ring, each beside the product of those
    that came before."""
    group, rows, arriving = tensor.group, x.contiguous(), None
    products, whole = [rows] * group.size, [rows] * group.size
    for step in range(group.size):
        if arriving is not None:
            rows = arriving.wait()
        if step < group.size - 1:
            arriving = group.begin_sendrecv(rows, tensor.element_bytes, 1)
        owner = (group.index - step) % group.size
        products[owner], whole[owner] = multiply(rows), rows
    return products, whole


def _reduced_in_pieces(x: torch.Tensor, weight: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """X A^T, some columns at a time: their sums are on the way while the next ones are multiplied."""
    pieces = weight.split(output_pieces(weight.shape[0]))
    scattered = [tensor.group.begin_reduce_scatter(F.linear(x, piece), tensor.element_bytes) for piece in pieces]
    return torch.cat([one.wait() for one in scattered], dim=1)


class ColumnLinear(torch.autograd.Function):
    """Y = X A^T + b, A's output features sharded. The weight's gradient goes to `weight.main_grad`; a frozen one has
    none, and does not keep X for it."""

    @staticmethod
    def forward(ctx, x, weight, bias, tensor: Tensor):
        ctx.save_for_backward(*((x,) if weight.requires_grad else ()))
        ctx.weight, ctx.tensor = weight, tensor  # a saved weight has no main_grad
        cast, added = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        if tensor.splits_collectives:
            return torch.cat(beside_rows(x, lambda rows: F.linear(rows, cast, added), tensor)[0])
        whole = tensor.group.all_gather(x, tensor.element_bytes) if tensor.shards_sequence else x
        return F.linear(whole, cast, added)

    @staticmethod
    def backward(ctx, grad):
        weight, tensor = ctx.weight, ctx.tensor
        group, size, gathered, reduced = tensor.group, tensor.element_bytes, None, None
        bias_grad = grad.sum(0) if ctx.needs_input_grad[2] else None
        begin = group.begin_reduce_scatter if tensor.shards_sequence else group.begin_all_reduce
        multiplies = weight.requires_grad and tensor.weights.waiting is None
        if multiplies and tensor.shards_sequence:
            gathered = group.begin_all_gather(ctx.saved_tensors[0], size)
        elif weight.requires_grad and not multiplies:
            gathers = tensor if tensor.shards_sequence else None
            tensor.weights.waiting.append((weight, grad, ctx.saved_tensors[0], gathers))
        input_grad = grad @ weight.to(grad.dtype) if ctx.needs_input_grad[0] else None
        whole = gathered.wait() if gathered is not None else None
        if input_grad is not None:
            reduced = begin(input_grad, size)
        if multiplies:
            accumulate_product(weight, grad, ctx.saved_tensors[0] if whole is None else whole)
        return None if reduced is None else reduced.wait(), None, bias_grad, None


class RowLinear(torch.autograd.Function):
    """Y = X A^T, A's input features sharded: partial sums, reduced over the group. A bias is added by the caller.
    A frozen weight is as in `ColumnLinear`."""

    @staticmethod
    def forward(ctx, x, weight, tensor: Tensor):
        ctx.save_for_backward(*((x,) if weight.requires_grad else ()))
        ctx.weight, ctx.tensor = weight, tensor
        if tensor.splits_collectives:
            return _reduced_in_pieces(x, weight.to(x.dtype), tensor)
        partial = F.linear(x, weight.to(x.dtype))
        reduce = tensor.group.reduce_scatter if tensor.shards_sequence else tensor.group.all_reduce
        return reduce(partial, tensor.element_bytes)

    @staticmethod
    def backward(ctx, grad):
        weight, tensor = ctx.weight, ctx.tensor
        cast = weight.to(grad.dtype)
        if tensor.splits_collectives:
            products, rows = beside_rows(grad, lambda rows: rows @ cast, tensor)
            input_grad, grad = torch.cat(products), torch.cat(rows)
        else:
            if tensor.shards_sequence:
                grad = tensor.group.all_gather(grad, tensor.element_bytes)
            input_grad = grad @ cast if ctx.needs_input_grad[0] else None
        if weight.requires_grad and tensor.weights.waiting is not None:
            tensor.weights.waiting.append((weight, grad, ctx.saved_tensors[0], None))
        elif weight.requires_grad:
            accumulate_product(weight, grad, ctx.saved_tensors[0])
        return input_grad, None, None


class ReduceRows(torch.autograd.Function):
    """Sums the ranks' partial rows. scatter: each rank keeps its block of rows, whose gradients are gathered."""

    @staticmethod
    def forward(ctx, x, tensor: Tensor, scatter: bool):
        ctx.tensor, ctx.scatter = tensor, scatter
        reduce = tensor.group.reduce_scatter if scatter else tensor.group.all_reduce
        return reduce(x.contiguous(), tensor.element_bytes)

    @staticmethod
    def backward(ctx, grad):
        return (ctx.tensor.group.all_gather(grad, ctx.tensor.element_bytes) if ctx.scatter else grad), None, None


class OwnRows(torch.autograd.Function):
    """This rank's block of rows; their gradients are gathered."""

    @staticmethod
    def forward(ctx, x, tensor: Tensor):
        ctx.tensor = tensor
        return tensor.own_rows(x).contiguous()

    @staticmethod
    def backward(ctx, grad):
        return ctx.tensor.group.all_gather(grad, ctx.tensor.element_bytes), None


def column_linear(x, weight, bias, tensor: Tensor, *, splits: bool = True) -> torch.Tensor:
    """splits: in pieces where the plan overlaps them."""
    if not splits:
        tensor = replace(tensor, overlaps=False)
    return ColumnLinear.apply(x, weight, bias, tensor)


def row_linear(x, weight, tensor: Tensor) -> torch.Tensor:
    return RowLinear.apply(x, weight, tensor)


def whole_linear(x, weight, bias, tensor: Tensor) -> torch.Tensor:
    """A linear layer that every tensor rank holds whole."""
    whole = Tensor(alone(tensor.group), False, tensor.element_bytes, weights=tensor.weights)
    return ColumnLinear.apply(x, weight, bias, whole)


def alone(group: Group) -> Group:
    """The group of this rank alone."""
    return Group(group.kind, (0,), 0, None)

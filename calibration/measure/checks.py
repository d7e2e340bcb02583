"""What held-out checks run (`calibration/checks.py`): op and shape -> a callable, as the executor or torch has it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as functional

from calibration.checks import ROW_OPTIMIZERS, SUSTAINED, jagged_lengths
from calibration.measure.inputs import Call, Maker
from simulator.executor.sparse_optimizers import SPARSE_UPDATES, new_state

SUSTAINED_S = 0.5
"""Of products before the one that is timed."""

VISITS_APART_S = 2.0
"""More than lies between two calls of a visit, however busy the machine; less than between two visits."""


def _row_update(name: str) -> Callable[[Maker], Call]:
    def build(maker: Maker) -> Call:
        rows, width = maker.point.shape
        weights, gradients = maker.random(maker.table_rows, width), maker.random(rows, width)
        state = new_state(name, weights, weights.dtype)
        touched = torch.randperm(maker.table_rows, device=maker.device)[:rows]
        return lambda: SPARSE_UPDATES[name](weights, state, touched, gradients, 1e-9)

    return build


def _lookup(maker: Maker) -> Call:
    count, width = maker.point.shape
    table, ids = maker.random(maker.table_rows, width), maker.zipf_ids(count, maker.table_rows)
    return lambda: functional.embedding(ids, table)


def _bag(maker: Maker) -> Call:
    count, width, bags = maker.point.shape
    table, ids = maker.random(maker.table_rows, width), maker.zipf_ids(count, maker.table_rows)
    starts = torch.arange(bags, device=maker.device) * count // bags
    return lambda: functional.embedding_bag(ids, table, starts, mode="sum")


def _jagged(maker: Maker) -> tuple[list[torch.Tensor], Callable[[], torch.Tensor]]:
    """(Q, K, V of all samples, one behind the other; attention of each alone, as `blocks/samples.py` runs it)."""
    samples, heads, longest, head_dim = maker.point.shape
    lengths = jagged_lengths(samples, longest)
    packed = [maker.random(1, heads, sum(lengths), head_dim) for _ in range(3)]

    def run() -> torch.Tensor:
        split = (part.split(lengths, dim=2) for part in packed)
        each = zip(*split, strict=True)
        return torch.cat([functional.scaled_dot_product_attention(*own, is_causal=True) for own in each], dim=2)

    return packed, run


def _sampled(maker: Maker) -> tuple[list[torch.Tensor], Callable[[], torch.Tensor]]:
    """(outputs and scored rows; the loss of the first row against the others)."""
    positions, scored, width = maker.point.shape
    vectors, rows = maker.random(positions, width), maker.random(positions, scored, width)
    first = torch.zeros(positions, dtype=torch.int64, device=maker.device)

    def run() -> torch.Tensor:
        scores = torch.einsum("pd,pnd->pn", vectors, rows).float()
        return functional.cross_entropy(scores, first)

    return [vectors, rows], run


def _forward_of(function) -> Callable[[Maker], Call]:
    return lambda maker: function(maker)[1]


def _backward_of(function) -> Callable[[Maker], Call]:
    def build(maker: Maker) -> Call:
        inputs, run = function(maker)
        for one in inputs:
            one.requires_grad_()
        out = run()
        gradient = torch.rand_like(out)
        return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)

    return build


def _adam_foreach(maker: Maker) -> Call:
    """torch.optim.Adam(foreach=True), without its class: `_multi_tensor_adam` of torch/optim/adam.py."""
    count, elements = maker.point.shape
    weights, gradients, first, second = ([maker.random(elements).abs() for _ in range(count)] for _ in range(4))

    def step() -> None:
        torch._foreach_lerp_(first, gradients, 0.1)
        torch._foreach_mul_(second, 0.999)
        torch._foreach_addcmul_(second, gradients, gradients, 0.001)
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, 1.0)
        torch._foreach_add_(scale, 1e-8)
        torch._foreach_addcdiv_(weights, first, scale, -1e-9)

    return step


def _small_step(maker: Maker) -> Call:
    layers, width = maker.point.shape
    inputs = maker.random(width, width)
    weights = [maker.random(width, width).requires_grad_() for _ in range(layers)]

    def step() -> None:
        out = inputs
        for weight in weights:
            out = torch.relu(functional.linear(out, weight))
        found = torch.autograd.grad(out, weights, torch.ones_like(out))
        with torch.no_grad():
            for weight, gradient in zip(weights, found, strict=True):
                weight.add_(gradient, alpha=-1e-9)

    return step


def _sustained(maker: Maker) -> Call:
    """Products; half a second of them go before the first of a visit, which is not timed."""
    m, n, k = maker.point.shape
    left, right = maker.random(m, k), maker.random(n, k)
    wait = torch.cuda.synchronize if maker.device.type == "cuda" else lambda: None

    def call() -> object:
        if time.monotonic() - _last_product[0] > VISITS_APART_S:
            end = time.monotonic() + SUSTAINED_S
            while time.monotonic() < end:
                functional.linear(left, right)
                wait()
        _last_product[0] = time.monotonic()
        return functional.linear(left, right)

    return call


_last_product = [0.0]
"""When the last of a process's sustained products began; all sets of inputs share it."""


BUILDERS: dict[str, Callable[[Maker], Call]] = {
    **{f"update_{name}": _row_update(name) for name in ROW_OPTIMIZERS},
    "zipf_lookup": _lookup,
    "zipf_bag": _bag,
    "jagged_attention_forward": _forward_of(_jagged),
    "jagged_attention_backward": _backward_of(_jagged),
    "sampled_softmax_forward": _forward_of(_sampled),
    "sampled_softmax_backward": _backward_of(_sampled),
    "adam_foreach": _adam_foreach,
    "small_step": _small_step,
    SUSTAINED: _sustained,
}

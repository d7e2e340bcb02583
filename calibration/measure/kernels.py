"""Kernels as torch runs them in a training step: op and shape -> a callable that runs one.

Inputs rotate over enough sets to fill `ROTATE_BYTES`: in a step, weights and activations come from memory that other
kernels have passed through since. Outputs are allocated anew by every call, as autograd's are. A family that the cost
model tells only by its traffic (elementwise, copy, ...) is stood for by the plainest torch call with that traffic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as functional

from calibration.measure import checks, codecs, facts
from calibration.measure.inputs import Call, Maker
from calibration.points import (
    CHECK,
    FACT,
    FORWARD,
    FUSED_PASSES,
    INPUT_GRADIENT,
    KERNEL,
    ROW_UPDATE_WIDTH,
    SUM_PASSES,
    Point,
)
from simulator.costs.measured import BAGS, LOOKUPS, ROW_UPDATES, row_width
from simulator.executor import optimizers, sparse_optimizers
from simulator.model.memory_rules import MASTER_BYTES, UPDATE_BYTES

ROTATE_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}
"""Inputs of one point, all sets together: more than a core's L2 cache, about its share of an L3; a GPU's L2."""
MOST_SETS = 16


def make_call(point: Point, device: str) -> Call:
    """A callable that runs the point's kernel once; it rotates its inputs by itself. Raises KeyError for an op."""
    build = {KERNEL: BUILDERS, CHECK: checks.BUILDERS, FACT: facts.BUILDERS}[point.what][point.op]
    maker = Maker(point, torch.device(device))
    first = build(maker)
    sets = [first]
    if maker.bytes:
        count = min(MOST_SETS, max(1, ROTATE_BYTES[device] // maker.bytes))
        sets += [build(Maker(point, maker.device)) for _ in range(count - 1)]
    return rotating(sets)


def rotating(calls: list[Call]) -> Call:
    """Runs the calls in turn."""
    if len(calls) == 1:
        return calls[0]
    place = 0

    def run() -> object:
        nonlocal place
        place = (place + 1) % len(calls)
        return calls[place]()

    return run


# matrix products


def _gemm(maker: Maker) -> Call:
    m, n, k = maker.point.shape
    calls = []
    for layout in maker.point.layouts or (FORWARD,):
        if layout == FORWARD:  # X [m, k] times W [n, k] transposed
            inputs, weight = maker.random(m, k), maker.random(n, k)
            calls.append(lambda a=inputs, b=weight: functional.linear(a, b))
        elif layout == INPUT_GRADIENT:  # dY [m, k] times W [k, n]
            left, right = maker.random(m, k), maker.random(k, n)
            calls.append(lambda a=left, b=right: torch.mm(a, b))
        else:  # dW [m, n] += dY [k, m] transposed times X [k, n], as gradients are accumulated
            left, right, sums = maker.random(k, m), maker.random(k, n), maker.random(m, n)
            calls.append(lambda a=left, b=right, c=sums: c.addmm_(a.t(), b, beta=0.5))
    return rotating(calls)


def _batched_gemm(maker: Maker) -> Call:
    """Of one row each (a sampled softmax's scores) both ways of a linear layer in turn; of depth one turned round, as
    the gradient of what is scored comes out."""
    batch, m, n, k = maker.point.shape
    left, right = maker.random(batch, m, k), maker.random(batch, k, n)
    if k == 1:
        return lambda: torch.bmm(right.transpose(1, 2), left.transpose(1, 2))
    if m == 1:
        turned = maker.random(batch, n, k).transpose(1, 2)
        return rotating([lambda: torch.bmm(left, right), lambda: torch.bmm(left, turned)])
    return lambda: torch.bmm(left, right)


# attention


def _heads(maker: Maker) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]:
    batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal = maker.point.shape
    query = maker.random(batch, heads, seq_q, head_dim)
    key, value = (maker.random(batch, kv_heads, seq_kv, head_dim) for _ in range(2))
    if kv_heads != heads:
        key, value = (one.repeat_interleave(heads // kv_heads, dim=1) for one in (key, value))
    return query, key, value, bool(causal)


def _softmax_attention(query, key, value, causal: bool) -> torch.Tensor:
    return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)


def _hstu_attention(query, key, value, causal: bool) -> torch.Tensor:
    """silu(Q K^T) V / n with a causal mask, as plain torch: no fused kernel of it ships with torch."""
    scores = functional.silu(query @ key.transpose(-1, -2))
    return (scores.tril() if causal else scores) @ value / key.shape[-2]


def _forward_of(function) -> Callable[[Maker], Call]:
    def build(maker: Maker) -> Call:
        query, key, value, causal = _heads(maker)
        return lambda: function(query, key, value, causal)

    return build


def _backward_of(function) -> Callable[[Maker], Call]:
    def build(maker: Maker) -> Call:
        *inputs, causal = _heads(maker)
        inputs = [one.requires_grad_() for one in inputs]
        out = function(*inputs, causal)
        gradient = torch.rand_like(out)
        return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)

    return build


# families told by their traffic


def _elementwise(maker: Maker) -> Call:
    rows = maker.rows()
    inputs = [maker.random(*rows) for _ in range(max(1, maker.passes - 1))]
    if maker.passes == 1:
        return lambda: inputs[0].sum(0)
    if maker.passes == 2:
        return lambda: torch.relu(inputs[0])
    if maker.passes == 3:
        return lambda: inputs[0] + inputs[1]
    pairs = list(itertools.pairwise(inputs))[: max(1, round(maker.passes / 3))]
    return lambda: [left * right for left, right in pairs]


def _copy(maker: Maker) -> Call:
    source = maker.random(*maker.rows())
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _cast(maker: Maker) -> Call:
    source = maker.random(maker.elements)
    other = torch.bfloat16 if source.dtype == torch.float32 else torch.float32
    return lambda: source.to(other)


def _layernorm(maker: Maker) -> Call:
    rows = maker.rows()
    inputs, weight, bias = maker.random(*rows), maker.random(rows[1]), maker.random(rows[1])
    if maker.passes <= 2:
        return lambda: functional.layer_norm(inputs, rows[1:], weight, bias)
    gradient = maker.random(*rows)
    _, mean, deviation = torch.native_layer_norm(inputs, rows[1:], weight, bias, 1e-5)
    return lambda: torch.ops.aten.native_layer_norm_backward(
        gradient, inputs, rows[1:], mean, deviation, weight, bias, [True, True, True]
    )


def _softmax(maker: Maker) -> Call:
    inputs = maker.random(*maker.rows(256))
    if maker.passes <= 2:
        return lambda: torch.softmax(inputs, -1)
    probabilities, gradient = torch.softmax(inputs, -1), maker.random(*inputs.shape)
    return lambda: torch.ops.aten._softmax_backward_data(gradient, probabilities, -1, inputs.dtype)


def _cross_entropy(maker: Maker) -> Call:
    inputs = maker.random(*maker.rows(1024))
    if maker.passes <= 1:
        return lambda: inputs.amax(-1)
    if maker.passes == 2:
        return lambda: torch.log_softmax(inputs, -1)
    probabilities, gradient = torch.log_softmax(inputs, -1), maker.random(*inputs.shape)
    return lambda: torch.ops.aten._log_softmax_backward_data(gradient, probabilities, -1, inputs.dtype)


def _width(maker: Maker) -> int:
    """Width of a looked-up row."""
    return max(1, min(maker.elements, round(row_width(maker.point.dtype, maker.point.shape))))


def _ids(maker: Maker, count: int) -> torch.Tensor:
    """Of rows of the table, as the op's name says they fall."""
    return (maker.zipf_ids if maker.point.op in (LOOKUPS[1], BAGS[1]) else maker.ids)(count, maker.table_rows)


def _embedding_lookup(maker: Maker) -> Call:
    width = _width(maker)
    table, ids = maker.random(maker.table_rows, width), _ids(maker, max(1, maker.elements // width))
    return lambda: functional.embedding(ids, table)


def _embedding_bag(maker: Maker) -> Call:
    count, width, bags = maker.point.shape
    table, ids = maker.random(maker.table_rows, width), _ids(maker, count)
    starts = torch.arange(bags, device=maker.device) * count // bags
    return lambda: functional.embedding_bag(ids, table, starts, mode="sum")


def _embedding_update(maker: Maker) -> Call:
    """Gradients of looked-up rows, summed by row as the executor sums them; where more is moved than that, Adam updates
    the rows at once."""
    elements, moved = maker.point.shape
    width = min(ROW_UPDATE_WIDTH, elements)
    rows = max(1, elements // width)
    gradients, ids = maker.random(rows, width), maker.ids(rows, maker.table_rows)
    if moved < (SUM_PASSES * FUSED_PASSES) ** 0.5 * elements:
        return lambda: _summed(ids, gradients)[1]
    update = _row_step("adam", maker, width)
    return lambda: update(*_summed(ids, gradients))


def _row_update(maker: Maker) -> Call:
    """The update of touched rows, by the optimizer that the op's name ends in."""
    width = min(ROW_UPDATE_WIDTH, maker.elements)
    rows = max(1, maker.elements // width)
    gradients, touched = maker.random(rows, width), torch.randperm(maker.table_rows, device=maker.device)[:rows]
    update = _row_step(maker.point.op.removeprefix("row_update_"), maker, width)
    return lambda: update(touched, gradients)


def _row_step(name: str, maker: Maker, width: int) -> Callable[[torch.Tensor, torch.Tensor], object]:
    table = maker.random(maker.table_rows, width)
    state = sparse_optimizers.new_state(name, table, table.dtype)
    return lambda rows, gradients: sparse_optimizers.SPARSE_UPDATES[name](table, state, rows, gradients, 1e-9)


def _summed(ids: torch.Tensor, gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(distinct rows, the sum of each one's gradients)."""
    rows, place = torch.unique(ids, return_inverse=True)
    return rows, gradients.new_zeros(len(rows), gradients.shape[1]).index_add_(0, place, gradients)


def _optimizer(maker: Maker) -> Call:
    """Passes over dense parameters: norm (1), clip (2), else the update of the optimizer that moves so much."""
    parameter, gradient = maker.random(maker.elements), maker.random(maker.elements)
    if maker.passes == 1:
        return lambda: torch.linalg.vector_norm(gradient)
    if maker.passes == 2:
        return lambda: gradient.mul_(1.0)
    name = min(UPDATE_PASSES, key=lambda one: abs(UPDATE_PASSES[one] - maker.passes))
    state: dict[str, torch.Tensor] = {}
    if name == "lamb":
        return lambda: _lamb(parameter, gradient, state)
    return lambda: optimizers.update(name, parameter, gradient, state, 1e-9)


UPDATE_PASSES = {name: 1 + UPDATE_BYTES[name] // MASTER_BYTES for name in ("sgd", "adagrad", "adam", "lamb")}
"""The gradient's read, and what the update moves."""


def _lamb(parameter: torch.Tensor, gradient: torch.Tensor, state: dict[str, torch.Tensor]) -> None:
    """LAMB as plain torch writes it (arXiv 1904.00962); no fused kernel of it ships with torch."""
    first, second = (state.setdefault(key, torch.zeros_like(parameter)) for key in ("first", "second"))
    first.lerp_(gradient, 0.1)
    second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    step = first / second.sqrt().add_(1e-6)
    ratio = torch.linalg.vector_norm(parameter) / torch.linalg.vector_norm(step)
    parameter.sub_(step.mul_(ratio * 1e-9))


BUILDERS: dict[str, Callable[[Maker], Call]] = {
    "gemm": _gemm,
    "batched_gemm": _batched_gemm,
    "attention_forward": _forward_of(_softmax_attention),
    "attention_backward": _backward_of(_softmax_attention),
    "hstu_attention_forward": _forward_of(_hstu_attention),
    "hstu_attention_backward": _backward_of(_hstu_attention),
    "elementwise": _elementwise,
    "copy": _copy,
    "cast": _cast,
    "layernorm": _layernorm,
    "softmax": _softmax,
    "cross_entropy": _cross_entropy,
    **dict.fromkeys(LOOKUPS, _embedding_lookup),
    **dict.fromkeys(BAGS, _embedding_bag),
    **dict.fromkeys(ROW_UPDATES, _row_update),
    "embedding_update": _embedding_update,
    "optimizer": _optimizer,
    **codecs.BUILDERS,
}

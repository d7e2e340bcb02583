"""LoRA (Hu et al., arXiv 2106.09685): what of a unit is trained, and the thin products beside its frozen matrices.

Y = X W^T + scale (X A^T) B^T: A [rank, in] and B [out, rank] are trained, W and everything else of the model's dense
part is not. The parts of a joined product (Q, K, V; gate, up) have adapters of their own, as each is a layer in
Hugging Face's models. Tensor parallelism as in PEFT's LoraParallelLinear (peft/tuners/lora/tp_layer.py): beside a
column-parallel matrix A is whole on every rank and B column-parallel, beside a row-parallel one A is row-parallel and B
whole. So messages are those of Megatron-LM's layers, `rank` wide: a column-parallel B adds up its ranks' parts of the
gradient of X A^T, hence A's gradient is whole on every rank; under sequence parallelism it is that of the rank's
positions, and added once a step with those of all whole parameters (`graph/steps.py`).

A frozen matrix has no weight gradient, and nothing runs beside the reduction of its input's (Megatron-core's
LinearWithFrozenWeight, core/tensor_parallel/layers.py). Backward is in autograd's order: adapters, the last one first,
then the frozen product. Below the lowest adapter nobody asks for a gradient, unless tables are trained there.
Not modelled: dropout in front of A; adapters kept in fp32 beside 16-bit weights (PEFT's default).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulator.model.blocks import linear
from simulator.model.blocks.cut import Cut, Parameter, Unit
from simulator.model.blocks.kernels import gemm, memory_bound, weight_gradient
from simulator.model.spec import ModelSpec
from simulator.model.work import Step

ROW_TARGETS = {"attention": "o", "hstu": "o", "mlp": "down"}
"""What a unit's row-parallel matrix is called, by kind of unit."""

Parts = tuple[tuple[str, int], ...]
"""(target, width) of the matrices that a unit's column-parallel product joins, in order."""

SCALED, ADDED, GRADIENT_SCALED = 2, 3, 2
"""Passes over the output: scaled (reads, writes), added (reads two, writes one); in backward scaled (reads, writes)."""


@dataclass(frozen=True, slots=True)
class Training:
    """What of a unit is trained, and which gradients are asked for.

    rank: of its adapters; 0: there are none and all of it is trained. column: (target, width) of the parts of its
    column-parallel product that have one. row: whether its row-parallel product has one. passes: whether the gradient
    of its input is asked for.
    """

    rank: int = 0
    column: Parts = ()
    row: bool = False
    passes: bool = True

    @property
    def frozen(self) -> bool:
        """Whether all but adapters stays as it is."""
        return self.rank > 0

    @property
    def inner(self) -> bool:
        """Whether the gradient of what its row-parallel product reads is asked for."""
        return self.passes or bool(self.column)

    @property
    def runs(self) -> bool:
        """Whether it has a backward pass at all."""
        return self.inner or self.row

    @property
    def keeps_input(self) -> bool:
        """Whether a weight gradient reads what its column-parallel product reads."""
        return not self.frozen or bool(self.column)

    @property
    def keeps_inner(self) -> bool:
        """Whether a weight gradient reads what its row-parallel product reads."""
        return not self.frozen or self.row


WHOLE = Training()
"""All of a unit is trained."""


def training(model: ModelSpec, unit: Unit, parts: Parts, lowest: Unit | None) -> Training:
    """Of a unit whose column-parallel product joins `parts`. lowest: the first unit with an adapter; None where
    something below it is trained."""
    adapter = model.adapter
    if adapter is None:
        return WHOLE
    column = tuple(part for part in parts if part[0] in adapter.targets)
    passes = unit.kind == "head" or lowest is None or (unit.layer >= 0 and _place(unit) > _place(lowest))
    return Training(adapter.rank, column, ROW_TARGETS.get(unit.kind) in adapter.targets, passes)


def _place(unit: Unit) -> tuple[int, bool]:
    return unit.layer, unit.kind == "mlp"


def parameters(unit: Unit, hidden: int, inner: int, trained: Training) -> tuple[Parameter, ...]:
    """A and B of each adapter of a unit. inner: what its row-parallel product reads."""
    found = []
    for target, width in trained.column:
        found += [Parameter(name(unit, target, "A"), (trained.rank, hidden)),
                  Parameter(name(unit, target, "B"), (width, trained.rank), "column")]  # fmt: skip
    if trained.row:
        target = ROW_TARGETS[unit.kind]
        found += [Parameter(name(unit, target, "A"), (trained.rank, inner), "row"),
                  Parameter(name(unit, target, "B"), (hidden, trained.rank))]  # fmt: skip
    return tuple(found)


def name(unit: Unit, target: str, which: str) -> str:
    """Of a parameter, in PEFT's words. which: A or B."""
    return f"{unit.name}.{target}.lora_{which}.weight"


def column_forward(in_width: int, out_width: int, cut: Cut, trained: Training) -> tuple[Step, ...]:
    steps = list(linear.column_forward(in_width, out_width, cut))
    for _, width in trained.column:
        steps.append(gemm(cut.shard_tokens, trained.rank, in_width, cut))
        steps += linear.column_forward(trained.rank, width, _unsplit(cut))
        steps += _joined(cut.tokens * cut.share(width), cut)
    return tuple(steps)


def row_forward(in_width: int, out_width: int, cut: Cut, trained: Training) -> tuple[Step, ...]:
    steps = list(linear.row_forward(in_width, out_width, cut))
    if trained.row:
        steps += linear.row_forward(in_width, trained.rank, _unsplit(cut))
        steps.append(gemm(cut.shard_tokens, out_width, trained.rank, cut))
        steps += _joined(cut.shard_tokens * out_width, cut)
    return tuple(steps)


def column_backward(in_width: int, out_width: int, cut: Cut, bias: bool, trained: Training) -> tuple[Step, ...]:
    """bias: whether the layer has one, whose gradient is a read of dY where it is trained."""
    if not trained.frozen:
        return linear.column_backward(in_width, out_width, cut, bias)
    steps: list[Step] = []
    gradients = 0
    for _, width in reversed(trained.column):
        steps.append(memory_bound("elementwise", cut.tokens * cut.share(width), GRADIENT_SCALED * cut.bytes, cut))
        steps += linear.column_backward(trained.rank, width, _unsplit(cut), bias=False)
        if trained.passes:
            steps.append(gemm(cut.shard_tokens, in_width, trained.rank, cut))
        steps += weight_gradient(trained.rank, in_width, cut.shard_tokens, cut)
        if trained.passes:
            steps += _summed(gradients, cut.shard_tokens * in_width, cut)
            gradients += 1
    if trained.passes:
        steps += linear.column_backward(in_width, out_width, cut, bias=False, trained=False)
        steps += _summed(gradients, cut.shard_tokens * in_width, cut)
    return tuple(steps)


def row_backward(in_width: int, out_width: int, cut: Cut, trained: Training) -> tuple[Step, ...]:
    if not trained.frozen:
        return linear.row_backward(in_width, out_width, cut)
    steps: list[Step] = []
    if trained.row:
        rows = cut.shard_tokens
        steps.append(memory_bound("elementwise", rows * out_width, GRADIENT_SCALED * cut.bytes, cut))
        steps += (gemm(rows, trained.rank, out_width, cut), *weight_gradient(out_width, trained.rank, rows, cut))
        steps += linear.row_backward(in_width, trained.rank, _unsplit(cut), passes=trained.inner)
    if trained.inner:
        steps += linear.row_backward(in_width, out_width, cut, trained=False)
        steps += _summed(int(trained.row), cut.tokens * cut.share(in_width), cut)
    return tuple(steps)


def kept_bytes(cut: Cut, trained: Training) -> int:
    """X A^T of every adapter, which B's weight gradient reads; what A's reads is counted where it comes from."""
    return cut.bytes * cut.shard_tokens * trained.rank * (len(trained.column) + trained.row)


def column_weight_bytes(in_width: int, out_width: int, cut: Cut, trained: Training) -> int:
    """What weight gradients read: X once for all adapters; of each the gradient of X A^T, X A^T and the scaled dY."""
    if not trained.frozen:
        return linear.column_weight_bytes(in_width, out_width, cut)
    if not trained.column:
        return 0
    elements = cut.shard_tokens * in_width
    for _, width in trained.column:
        elements += 2 * cut.shard_tokens * trained.rank + cut.tokens * cut.share(width)
    return cut.bytes * elements


def row_weight_bytes(in_width: int, out_width: int, cut: Cut, trained: Training) -> int:
    """What weight gradients read: X, the gathered gradient of X A^T, X A^T and the scaled dY."""
    if not trained.frozen:
        return linear.row_weight_bytes(in_width, out_width, cut)
    if not trained.row:
        return 0
    inner = cut.tokens * (cut.share(in_width) + trained.rank)
    return cut.bytes * (inner + cut.shard_tokens * (trained.rank + out_width))


def targets(parts_of_kinds: Sequence[tuple[str, Parts]]) -> tuple[str, ...]:
    """What may be named, of the (kind of unit, parts) of a layer."""
    found = [target for kind, parts in parts_of_kinds for target in (*(part[0] for part in parts), ROW_TARGETS[kind])]
    return tuple(target for target in found if target != "u")


def _joined(elements: int, cut: Cut) -> tuple[Step, ...]:
    return (memory_bound("elementwise", elements, SCALED * cut.bytes, cut),
            memory_bound("elementwise", elements, ADDED * cut.bytes, cut))  # fmt: skip


def _summed(before: int, elements: int, cut: Cut) -> tuple[Step, ...]:
    """An input's gradient is added to those that came before, where there are any: reads two, writes one."""
    return (memory_bound("elementwise", elements, 3 * cut.bytes, cut),) if before else ()


def _unsplit(cut: Cut) -> Cut:
    """Thin products are not split into pieces beside their collectives."""
    return replace(cut, overlap_tensor=False)

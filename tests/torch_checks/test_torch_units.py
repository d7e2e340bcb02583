"""Every unit alone, by the executor's modules: GEMM FLOPs by FlopCounterMode, kept activations by MemTracker."""

from __future__ import annotations

import pytest
import torch
from checked_scenarios import MODELS
from eager_kernels import eager_bytes
from lone_units import Alone
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode
from tracked_ranks import clear_caches

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.blocks.attention import counts_half
from simulator.model.spec import ModelSpec
from simulator.model.work import Kernel

BATCH = 3
MODEL = {name: ModelSpec.model_validate(keys) for name, keys in MODELS.items()}
KINDS = [(name, unit) for name, model in MODEL.items() for unit in blocks.units(model) if unit.layer <= 0]
each_unit = pytest.mark.parametrize(("name", "unit"), KINDS, ids=[f"{name}-{unit.kind}" for name, unit in KINDS])


def added_product(total, left, right, out_shape=None, **scalars) -> int:
    """2 m n k, from shapes."""
    return 2 * left[0] * left[1] * right[1]


COUNTS_TOO = {torch.ops.aten.addmm_: added_product}
"""The counter knows addmm, not its in-place form, by which weight gradients are accumulated."""


@pytest.fixture(autouse=True)
def fake_tensors():
    """Shapes without values; cached masks and angles must not outlive the mode."""
    clear_caches()
    with FakeTensorMode():
        yield
    clear_caches()


def gemm_flops(model: ModelSpec, unit, steps) -> int:
    """FLOPs of a unit's steps as torch counts them: products of whole s^2 matrices, where a block's convention counts
    the causal half. Flash kernels are counted by nobody on a CPU, so the core runs unfused here."""
    kernels = [step for step in steps if isinstance(step, Kernel)]
    core = ("batched_gemm", "hstu_attention_forward", "hstu_attention_backward")
    halved = unit.layer >= 0 and counts_half(model.trunk)
    return sum(kernel.flops * (2 if halved and kernel.op in core else 1) for kernel in kernels)


@each_unit
def test_flops_of_forward_and_backward(name, unit):
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype="fp32", attention="unfused")
    alone = Alone.of(model, "fp32", BATCH, "unfused")
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as forward:
        out = alone.run(unit, alone.input_of(unit))
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as backward:
        out.backward(torch.ones_like(out))
    assert forward.get_total_flops() == gemm_flops(model, unit, blocks.forward(model, unit, cut))
    assert backward.get_total_flops() == gemm_flops(model, unit, blocks.backward(model, unit, cut))
    # the 3x rule: every product has two gradients
    assert backward.get_total_flops() == 2 * forward.get_total_flops()


@pytest.mark.parametrize("name", ["gpt", "llama", "bert"])
def test_model_flops_are_what_torch_counts_in_a_step(name):
    model = MODEL[name]
    alone = Alone.of(model, "fp32", BATCH, "unfused")
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as counter:
        x = None
        for unit in blocks.units(model):
            x = alone.run(unit, x)
        x.backward()
    assert counter.get_total_flops() == blocks.model_flops(model, BATCH)


KEEPS = [(name, unit, "flash", "none") for name, unit in KINDS]
KEEPS += [(name, unit, "unfused", "none") for name, unit in KINDS if unit.kind == "attention" and name != "llama"]
"""No modelled stack runs grouped-query attention unfused."""
KEEPS += [(name, unit, "flash", "selective_op") for name, unit in KINDS if unit.kind in ("attention", "mlp")]


def check_weights_half(alone, unit, x, cut: Cut) -> None:
    """I has left the operands of the weights' products, and W multiplies as many."""
    model, out = alone.env.model, alone.run(unit, x)
    with alone.env.tensor.weights.put_off() as waiting:
        if out.requires_grad:  # not below the lowest adapter
            out.backward(torch.ones_like(out))
    operands = {storage(x): x.untyped_storage().nbytes() for _, *pair, _ in waiting for x in pair}
    assert sum(operands.values()) == blocks.weight_bytes(model, unit, cut)
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as counter:
        alone.env.tensor.weights.run(waiting)
    assert counter.get_total_flops() == gemm_flops(model, unit, blocks.backward_weights(model, unit, cut))


KEEPS += [("gpt", unit, "unfused", "selective_op") for name, unit in KINDS if (name, unit.kind) == ("gpt", "attention")]


@pytest.mark.parametrize(
    ("name", "unit", "attention", "mode"), KEEPS, ids=[f"{n}-{u.kind}-{a}-{m}" for n, u, a, m in KEEPS]
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_a_unit_keeps(name, unit, attention, mode, dtype):
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype=dtype, attention=attention, separate_kernels=True)
    with MemTracker() as tracker:
        alone = Alone.of(model, dtype, BATCH, attention, mode)
        x = alone.input_of(unit)
        other = alone.run(unit, x)  # fills the caches of masks and angles
        del other
        before, there = held(tracker), set(map(storage, alone.inputs.vectors.values()))
        out = alone.run(unit, x)
        kept = held(tracker) - before
    boundary = blocks.boundary_bytes(model, cut)
    # what was there before: x, the vectors that an embedding projects, the rows that are scored (16-bit: cast, new)
    if unit.kind != "embedding":
        kept += boundary
    elif dtype == "fp32":
        kept += projected_bytes(alone)
    if unit.kind == "head" and dtype == "fp32" and alone.inputs.scored is not None:
        kept += alone.inputs.scored.numel() * cut.bytes
    if unit.kind != "head" and storage(out) not in there:  # the next unit's to keep
        kept -= boundary
    counted = blocks.kept_bytes(model, unit, cut, mode) + eager_bytes(model, unit, cut, mode == "none")
    # beside them lie a number or two for each position (norms' statistics, losses, ids) and tensors of one element
    slack = 40 * cut.tokens + 64
    assert abs(kept - counted) <= slack, f"kept {kept}, counted {counted}"
    assert slack < 0.1 * boundary * (4 if dtype == "fp32" else 8), "the slack hides nothing of an activation's size"


@pytest.mark.parametrize(("name", "unit"), KINDS, ids=[f"{name}-{unit.kind}" for name, unit in KINDS])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_waits_for_the_weights_half(name, unit, dtype):
    """Of a backward pass in halves, I leaves the operands of the weights' products, and W multiplies as many."""
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype=dtype)
    alone = Alone.of(model, dtype, BATCH, "flash")
    check_weights_half(alone, unit, alone.input_of(unit), cut)


def held(tracker: MemTracker) -> int:
    return sum(device["Total"] for device in tracker.get_tracker_snapshot("current").values())


def projected_bytes(alone: Alone) -> int:
    """Looked-up fp32 vectors that a projection reads."""
    model = alone.env.model
    names = [table.name for table in blocks.sparse_tables(model) if table.dim != model.trunk.hidden]
    return sum(alone.inputs.vectors[name].numel() * 4 for name in names)


def storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata

"""A DLRM's units against the executor's modules: parameters, FLOPs by FlopCounterMode, kept activations by MemTracker;
and the whole against torch's own layers."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from lone_units import Alone
from test_torch_units import COUNTS_TOO, check_weights_half, gemm_flops, held
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode

from simulator.executor.blocks import dlrm
from simulator.model import blocks
from simulator.model.blocks import Cut, dlrm_interaction, head
from simulator.model.spec import ModelSpec

ROWS = 256
WIDTH = 32


def model_of(interaction: str, **dense) -> ModelSpec:
    tables = [
        {"name": f"t{place}", "rows": 500, "dim": WIDTH, "pooling": "sum", "lookups_per_sample": 2}
        for place in range(5)
    ]
    dense = {"bottom": [48, WIDTH], "top": [40, 24, 1], "interaction": interaction, "cross_rank": 16, **dense}
    return ModelSpec.model_validate({"trunk": {"block": "none"}, "tables": tables, "dense": dense})


MODELS = {
    "dot": model_of("dot"),
    "dot_of_tables": model_of("dot", bottom=[]),
    "cat": model_of("cat"),
    "dcn_v2": model_of("dcn_v2"),
}
UNITS = [(name, unit) for name, model in MODELS.items() for unit in blocks.units(model)]
each_unit = pytest.mark.parametrize(("name", "unit"), UNITS, ids=[f"{name}-{unit.kind}" for name, unit in UNITS])


@pytest.fixture(autouse=True)
def fake_tensors():
    """Shapes without values; a cached index must not outlive the mode."""
    dlrm._below_diagonal.cache_clear()
    with FakeTensorMode():
        yield
    dlrm._below_diagonal.cache_clear()


def lone(name: str, dtype: str = "fp32") -> Alone:
    alone = Alone.of(MODELS[name], dtype, ROWS, "flash")
    alone.inputs.numbers = torch.zeros(ROWS, MODELS[name].dense.features, dtype=alone.env.numerics.activations)
    return alone


def input_of(name: str, unit, dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
    """A leaf of the width of the unit before."""
    model = MODELS[name]
    widths = {"interaction": model.dense.bottom[-1:], "head": (head.in_width(model),)}
    width = widths.get(unit.kind)
    return torch.zeros(ROWS, *width, dtype=dtype).requires_grad_() if width else None


@each_unit
def test_flops_of_forward_and_backward(name, unit):
    model, cut = MODELS[name], Cut(ROWS, 1, dtype="fp32")
    alone = lone(name)
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as forward:
        out = alone.run(unit, input_of(name, unit))
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as backward:
        out.backward(torch.ones_like(out))
    assert forward.get_total_flops() == gemm_flops(model, unit, blocks.forward(model, unit, cut))
    assert backward.get_total_flops() == gemm_flops(model, unit, blocks.backward(model, unit, cut))
    data = 2 * ROWS * model.dense.features * model.dense.bottom[0] if unit.kind == "bottom" else 0
    assert backward.get_total_flops() == 2 * forward.get_total_flops() - data, "data has no gradient"


@pytest.mark.parametrize("name", MODELS)
def test_model_flops_are_three_forward_passes(name):
    alone, x = lone(name), None
    with FlopCounterMode(display=False) as counter:
        for unit in blocks.units(MODELS[name]):
            x = alone.run(unit, x)
    assert blocks.model_flops(MODELS[name], ROWS) == 3 * counter.get_total_flops()


@each_unit
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_a_unit_keeps(name, unit, dtype):
    model, cut = MODELS[name], Cut(ROWS, 1, dtype=dtype, separate_kernels=True)
    with MemTracker() as tracker:
        alone = lone(name, dtype)
        x = input_of(name, unit, alone.env.numerics.activations)
        other = alone.run(unit, x)  # fills the cache of indices
        del other
        before = held(tracker)
        out = alone.run(unit, x)
        kept = held(tracker) - before
        if unit.kind == "interaction":  # the top MLP's to keep, unless it is read here too
            kept -= out.untyped_storage().nbytes()
    counted = blocks.kept_bytes(model, unit, cut)
    if x is not None and unit.kind == "head":
        kept += x.untyped_storage().nbytes()
    if unit.kind == "bottom":
        kept += alone.inputs.numbers.untyped_storage().nbytes()
    assert abs(kept - counted) <= 40 * ROWS + 64, f"kept {kept}, counted {counted}"


@each_unit
def test_what_backward_holds_at_most(name, unit):
    """Gradients alive at once; in between, those of the tables' vectors, which are buffers. The unit's output and its
    gradient are held here all the while, where a whole model's head has a loss of one number."""
    model, cut = MODELS[name], Cut(ROWS, 1, dtype="fp32", separate_kernels=True)
    with MemTracker() as tracker:
        alone = lone(name)
        x = input_of(name, unit)
        out = alone.run(unit, x)
        before = held(tracker)
        given = torch.ones_like(out)
        tracker._peak_mem.clear()
        tracker._peak_mem_snap.clear()
        out.backward(given)
        (peak,) = tracker.get_tracker_snapshot("peak").values()
    measured = peak["Total"] - before
    if unit.kind == "bottom":
        measured -= given.untyped_storage().nbytes()
    vectors = sum(table.dim * 4 * ROWS for table in model.tables) if unit.kind == "interaction" else 0
    counted = blocks.working_bytes(model, unit, cut)
    logits = 8 * ROWS  # losses and logits, a number or two a row
    assert counted - logits <= measured <= counted + vectors + logits


@each_unit
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_waits_for_the_weights_half(name, unit, dtype):
    alone = lone(name, dtype)
    x = input_of(name, unit, alone.env.numerics.activations)
    check_weights_half(alone, unit, x, Cut(ROWS, 1, dtype=dtype))


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_of_torchs_layers(name):
    """torch's Linear layers, and for cross layers TorchRec's LowRankCrossNet: V, W and a bias each."""
    model = MODELS[name]
    dense, width = model.dense, sum(dlrm_interaction.vector_widths(model))
    layers = [nn.Linear(*pair, device="meta") for pair in _pairs((dense.features, *dense.bottom))]
    layers += [nn.Linear(*pair, device="meta") for pair in _pairs((head.in_width(model), *dense.top))]
    if dense.interaction == "dcn_v2":
        for _ in range(dense.cross_layers):
            layers += [nn.Linear(width, dense.cross_rank, bias=False, device="meta"),
                       nn.Linear(dense.cross_rank, width, device="meta")]  # fmt: skip
    shapes = sorted(tuple(one.shape) for layer in layers for one in layer.parameters())
    own = sorted(one.shape for unit in blocks.units(model) for one in blocks.parameters(model, unit))
    assert own == shapes


def _pairs(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(widths))

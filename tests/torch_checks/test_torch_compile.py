"""torch.compile itself: what Inductor says that a layer's kernels move, and the gradients of compiled units."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from checked_scenarios import MODELS
from lone_units import Alone

from simulator.model import blocks
from simulator.model.blocks import Cut, Unit
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.work import Kernel

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")

ROWS, WIDTH, FFN = 64, 96, 256


@pytest.fixture
def traffic():
    """A function: bytes that each kernel of the last compiled graphs moves, products left out, and a reset."""
    from torch._inductor import config, metrics

    def found() -> list[int]:
        moved = [4 * count for node, count in metrics.nodes_num_elem if "Extern" not in type(node).__name__ and count]
        metrics.reset()
        return moved

    torch._dynamo.reset()
    torch._logging.set_logs(inductor_metrics=True)
    with config.patch(fx_graph_cache=False):
        metrics.reset()
        yield found
    torch._logging.set_logs()


def block(x, branch, product, norm, gate_up, down):
    """The second half of a LLaMA layer in plain operators, from the attention's output projection on."""
    total = x + F.linear(branch, product)
    wide = total.float()
    normed = (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).type_as(total) * norm
    gate, up = F.linear(normed, gate_up).chunk(2, dim=1)
    return total + F.linear(F.silu(gate) * up, down)


def test_inductor_moves_what_a_compiled_mlp_is_counted_to(traffic):
    shapes = ((ROWS, WIDTH), (ROWS, WIDTH), (WIDTH, WIDTH), (WIDTH,), (2 * FFN, WIDTH), (WIDTH, FFN))
    inputs = [torch.randn(shape).requires_grad_() for shape in shapes]
    out = torch.compile(block)(*inputs)
    forward = traffic()
    out.backward(torch.ones_like(out))
    backward = traffic()

    model = ModelSpec(trunk=Trunk(block="llama", layers=1, hidden=WIDTH, heads=1, ffn=FFN, seq=ROWS, vocab=64))
    cut = Cut(1, ROWS, dtype="fp32", compiled=True)
    steps = [run(model, Unit("mlp", 0), cut) for run in (blocks.forward, blocks.backward)]
    norm, gate, residual = (step.bytes_moved for step in steps[0] if not step.flops)
    counted = [step.bytes_moved for step in steps[1] if isinstance(step, Kernel) and not step.flops]

    # the attention's residual and the norm are one kernel; the last residual is an epilogue of a CPU's product
    assert len(forward) == 2 and max(forward) == gate == 3 * 4 * ROWS * FFN
    assert (norm, residual) == (4 * ROWS * WIDTH, 12 * ROWS * WIDTH)
    slack = 4 * 2 * (ROWS + WIDTH)  # a number for each row, the weights
    assert len(backward) == len(counted) == 3
    for inductors, ours in zip(sorted(backward), sorted(counted), strict=True):
        assert ours <= inductors <= ours + slack


@pytest.mark.parametrize("name, kind", [("llama", "mlp"), *(pytest.param(*one, marks=pytest.mark.full) for one in (
    ("llama", "attention"), ("bert", "mlp"), ("hstu", "hstu")))])  # fmt: skip
def test_a_compiled_unit_has_the_gradients_of_a_plain_one(name, kind):
    model = ModelSpec.model_validate(MODELS[name])
    unit = next(unit for unit in blocks.units(model) if unit.kind == kind)
    found = []
    for compiles in (False, True):
        torch.manual_seed(0)
        alone = Alone.of(model, "fp32", 2, "flash")
        alone = replace(alone, env=replace(alone.env, compiles=compiles))
        x = torch.randn(2 * model.trunk.seq, model.trunk.hidden).requires_grad_()
        out = alone.run(unit, x)
        out.backward(torch.randn_like(out))
        names = [parameter.name for parameter in blocks.parameters(model, unit)]
        weights = [alone.weights[one] for one in names]
        found.append([out, x.grad, *(w.main_grad if w.grad is None else w.grad for w in weights)])
    for plain, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
        assert plain.abs().sum() > 0

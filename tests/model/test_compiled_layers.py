"""What torch.compile leaves of a layer's passes over memory; its products are the same."""

from dataclasses import replace

import pytest

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.work import Kernel

TOKENS, WIDTH, FFN = 2 * 512, 1024, 3072
PLAIN = Cut(2, 512)
FUSED = replace(PLAIN, compiled=True)
EAGER = replace(PLAIN, eager=True, separate_kernels=True)
BLOCKS = ("gpt", "llama", "bert", "sasrec", "hstu")


def model(block: str) -> ModelSpec:
    ffn = 0 if block == "hstu" else FFN
    return ModelSpec(trunk=Trunk(block=block, layers=1, hidden=WIDTH, heads=16, ffn=ffn, seq=512, vocab=32000))


def units(block: str) -> list:
    return [unit for unit in blocks.units(model(block)) if unit.layer >= 0]


def moved(block: str, kind: str, cut: Cut, run=blocks.forward) -> int:
    unit = next(unit for unit in units(block) if unit.kind == kind)
    return sum(step.bytes_moved for step in run(model(block), unit, cut) if isinstance(step, Kernel) and not step.flops)


def test_a_norm_behind_a_residual_only_writes():
    """The mlp's, of a layer that norms in front; both, of one that norms behind."""
    once = 2 * TOKENS * WIDTH
    assert moved("llama", "mlp", PLAIN) - moved("llama", "mlp", FUSED) == once
    assert moved("llama", "attention", PLAIN) == moved("llama", "attention", FUSED)
    assert moved("bert", "mlp", PLAIN) - moved("bert", "mlp", FUSED) == once
    assert moved("bert", "attention", PLAIN) - moved("bert", "attention", FUSED) == once


@pytest.mark.parametrize("block, kind, kernels", [("llama", "mlp", 3 + 3), ("sasrec", "attention", 5 + 3),
                                                  ("hstu", "hstu", 5 + 3)])  # fmt: skip
def test_a_norms_backward_adds_the_residual_path_and_sums_weights_apart(block, kind, kernels):
    """4 passes and 2 for the weights instead of a norm's and an addition's."""
    saved = moved(block, kind, PLAIN, blocks.backward) - moved(block, kind, FUSED, blocks.backward)
    assert saved == (kernels - 6) * 2 * TOKENS * WIDTH


def test_small_kernels_of_norm_and_gate_become_one_each_and_complex_rotary_stays():
    compiled = replace(EAGER, compiled=True)
    assert moved("llama", "mlp", compiled) == moved("llama", "mlp", FUSED)
    assert moved("llama", "mlp", compiled, blocks.backward) == moved("llama", "mlp", FUSED, blocks.backward)
    turned = TOKENS * 2 * WIDTH
    assert moved("llama", "attention", compiled) - moved("llama", "attention", FUSED) == (20 - 4) * turned


@pytest.mark.parametrize("block", BLOCKS)
def test_products_are_the_same_and_no_pass_is_added(block):
    for run in (blocks.forward, blocks.backward):
        plain, fused = ([step for unit in units(block) for step in run(model(block), unit, cut)]
                        for cut in (PLAIN, FUSED))  # fmt: skip
        assert [one for one in plain if one.flops] == [one for one in fused if one.flops]
        assert sum(one.bytes_moved for one in fused) <= sum(one.bytes_moved for one in plain)


def test_a_gates_silu_is_kept_by_nobody():
    trunk = model("llama")
    unit = next(unit for unit in units("llama") if unit.kind == "mlp")
    kept = [blocks.kept_bytes(trunk, unit, cut) for cut in (EAGER, replace(EAGER, compiled=True))]
    assert kept[0] - kept[1] == 2 * TOKENS * FFN

"""LLaMA in PyTorch's own small kernels, and selective checkpoints that keep every second product."""

from dataclasses import replace

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.work import Kernel

MODEL = ModelSpec(
    trunk=Trunk(block="llama", layers=1, hidden=1024, heads=16, kv_heads=4, ffn=3072, seq=512, vocab=32000)
)
GPT = ModelSpec(trunk=Trunk(block="gpt", layers=1, hidden=1024, heads=16, seq=512, vocab=32000))
FUSED = Cut(2, 512)
EAGER = replace(FUSED, eager=True)
TOKENS = 2 * 512


def moved(kind, cut, run=blocks.forward, model=MODEL) -> int:
    unit = next(unit for unit in blocks.units(model) if unit.kind == kind)
    return sum(step.bytes_moved for step in run(model, unit, cut) if isinstance(step, Kernel) and step.op != "gemm")


def test_an_eager_norm_gate_and_rotary_move_what_their_operators_do():
    """Norm 36 instead of 4 bytes an element, gate 10 instead of 6, rotary 20 instead of 4 over Q and K."""
    norm, turned = TOKENS * 1024, TOKENS * (1024 + 256)
    assert moved("attention", EAGER) - moved("attention", FUSED) == 32 * norm + 16 * turned
    assert moved("mlp", EAGER) - moved("mlp", FUSED) == 32 * norm + 4 * TOKENS * 3072
    backward = moved("mlp", EAGER, blocks.backward) - moved("mlp", FUSED, blocks.backward)
    assert backward == (72 - 6) * norm + (18 - 10) * TOKENS * 3072


def test_other_families_have_no_such_kernels():
    assert moved("mlp", EAGER, model=GPT) == moved("mlp", FUSED, model=GPT)


def test_the_products_that_run_again_are_not_kept():
    """Of each position: K, and up, in 16 bits. (The attention's product that runs again stands for the last one, which
    is kept for nobody.)"""
    rerun = replace(FUSED, reruns_products=True)
    for kind, width in (("attention", 4 * 64), ("mlp", 3072)):
        unit = next(unit for unit in blocks.units(MODEL) if unit.kind == kind)
        less = [blocks.kept_bytes(MODEL, unit, cut, "selective_op") for cut in (FUSED, rerun)]
        assert less[0] - less[1] == 2 * TOKENS * width


def test_every_second_product_runs_again():
    """K and the output, then up: of Q, K, V, output, gate, up and down the second, fourth and sixth."""
    rerun = replace(FUSED, reruns_products=True)
    again = {
        unit.kind: [step.shape for step in blocks.recompute(MODEL, unit, rerun, "selective_op") if step.op == "gemm"]
        for unit in blocks.units(MODEL)
        if unit.layer >= 0
    }
    assert again == {"attention": [(TOKENS, 256, 1024), (TOKENS, 1024, 1024)], "mlp": [(TOKENS, 3072, 1024)]}
    for unit in blocks.units(MODEL):
        assert all(step.op != "gemm" for step in blocks.recompute(MODEL, unit, FUSED, "selective_op"))

"""Full recomputation that ends before a layer's last product, as PyTorch's checkpoints do since 2.1."""

from dataclasses import replace

import pytest

from simulator.model import blocks
from simulator.model.blocks import Cut, Unit
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.stacks import LLM_FOUNDRY, LLM_FOUNDRY_TORCH1, MEGATRON_2022, TORCHTITAN
from simulator.model.work import Collective, Kernel

SIZES = {"layers": 1, "hidden": 1024, "heads": 16, "seq": 512, "vocab": 32000}
WHOLE = Cut(2, 512, tensor=2, sequence_parallel=True, dropout=False)
STOPPED = replace(WHOLE, stops_early=True)
TOKENS = 2 * 512


def model(block, **more) -> ModelSpec:
    return ModelSpec(trunk=Trunk(block=block, **SIZES, **more))


def again(block, kind, cut, **more):
    return blocks.recompute(model(block, **more), Unit(kind, 0), cut, "full")


def products(steps) -> list[tuple[int, ...]]:
    return [step.shape for step in steps if isinstance(step, Kernel) and step.op == "gemm"]


@pytest.mark.parametrize(("block", "ffn"), [("gpt", 4096), ("llama", 3072)])
def test_the_last_product_its_reduction_and_the_residual_are_not_run_again(block, ffn):
    whole, stopped = (again(block, "mlp", cut, ffn=ffn) for cut in (WHOLE, STOPPED))
    assert stopped == whole[: len(stopped)]
    assert products(whole[len(stopped) :]) == [(TOKENS, 1024, ffn // 2)], "[tokens, hidden] from half of the MLP"
    assert [step.op for step in whole[len(stopped) :]] == ["gemm", "reduce_scatter", "elementwise"]


def test_attention_is_run_to_its_end_since_the_mlp_reads_it():
    assert again("gpt", "attention", STOPPED) == again("gpt", "attention", WHOLE)


def test_hstu_stops_before_its_output_projection():
    cut = replace(STOPPED, tensor=1, sequence_parallel=False)
    whole, stopped = (again("hstu", "hstu", one) for one in (replace(cut, stops_early=False), cut))
    assert products(whole)[len(products(stopped)) :] == [(TOKENS, 1024, 1024)]


def test_what_lies_behind_the_product_and_is_read_in_backward_is_made_again():
    """Dropout's mask; the input of a norm behind the residual."""
    dropping = replace(STOPPED, dropout=True)
    assert again("gpt", "mlp", dropping) == again("gpt", "mlp", replace(WHOLE, dropout=True))
    assert again("bert", "mlp", STOPPED) == again("bert", "mlp", WHOLE)


def test_which_software_stops():
    assert LLM_FOUNDRY.stops_early and TORCHTITAN.stops_early
    assert not LLM_FOUNDRY_TORCH1.stops_early and not MEGATRON_2022.stops_early
    assert LLM_FOUNDRY_TORCH1.variant == LLM_FOUNDRY.variant == "llm_foundry", "constants of the same kernels"
    assert not any(isinstance(step, Collective) and step.op == "all_reduce" for step in again("gpt", "mlp", STOPPED))


def test_torch_stops_there_too():
    """A checkpoint of two products: the first is run again for the activation, the second never."""
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.checkpoint import checkpoint

    class Products(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.shapes = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
                self.shapes.append(tuple(args[-1].shape))
            return func(*args, **(kwargs or {}))

    up, down = torch.nn.Linear(4, 12, bias=False), torch.nn.Linear(12, 4, bias=False)
    x = torch.randn(3, 4, requires_grad=True)
    with Products() as seen:
        y = checkpoint(lambda x: x + down(torch.nn.functional.gelu(up(x))), x, use_reentrant=False)
        forward = len(seen.shapes)
        y.sum().backward()
    assert forward == 2
    assert len(seen.shapes) - forward == 1 + 4, "up again, then two gradients of each of the two"

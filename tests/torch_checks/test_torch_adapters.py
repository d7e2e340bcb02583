"""Units with LoRA adapters, by the executor's modules: FLOPs by FlopCounterMode, what is kept and a step's memory by
MemTracker. What is frozen has no weight gradient, and below the lowest adapter nothing is asked for.
"""

from __future__ import annotations

import pytest
import torch
from checked_scenarios import ADAPTED, scenario
from eager_kernels import eager_bytes
from lone_units import Alone
from test_torch_units import BATCH, COUNTS_TOO, check_weights_half, gemm_flops, held, storage
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode
from tracked_ranks import clear_caches, track

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.spec import ModelSpec

MODEL = {name: ModelSpec.model_validate(keys) for name, keys in ADAPTED.items()}
KINDS = [(name, unit) for name, model in MODEL.items() for unit in blocks.units(model) if unit.layer <= 1]
"""The first layer, which asks for no gradient of its input, and the second one, which does."""

each_unit = pytest.mark.parametrize(("name", "unit"), KINDS, ids=[f"{name}-{unit.name}" for name, unit in KINDS])


@pytest.fixture
def fake_tensors():
    clear_caches()
    with FakeTensorMode():
        yield
    clear_caches()


@each_unit
def test_flops_of_forward_and_of_what_backward_is_asked_for(name, unit, fake_tensors):
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype="fp32", attention="unfused")
    alone = Alone.of(model, "fp32", BATCH, "unfused")
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as forward:
        out = alone.run(unit, alone.input_of(unit))
    assert forward.get_total_flops() == gemm_flops(model, unit, blocks.forward(model, unit, cut))
    assert out.requires_grad == blocks.training(model, unit).runs
    with FlopCounterMode(display=False, custom_mapping=COUNTS_TOO) as backward:
        if out.requires_grad:
            out.backward(torch.ones_like(out))
    assert backward.get_total_flops() == gemm_flops(model, unit, blocks.backward(model, unit, cut))
    assert backward.get_total_flops() < 2 * forward.get_total_flops() or unit.kind == "embedding"


KEEPS = [(name, unit, "flash", "none") for name, unit in KINDS]
KEEPS += [(name, unit, "unfused", "none") for name, unit in KINDS if unit.kind == "attention" and "llama" not in name]
KEEPS += [(name, unit, "flash", "selective_op") for name, unit in KINDS if unit.kind in ("attention", "mlp")]


@pytest.mark.parametrize(
    ("name", "unit", "attention", "mode"), KEEPS, ids=[f"{n}-{u.name}-{a}-{m}" for n, u, a, m in KEEPS]
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_a_unit_keeps(name, unit, attention, mode, dtype, fake_tensors):
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype=dtype, attention=attention, separate_kernels=True)
    with MemTracker() as tracker:
        alone = Alone.of(model, dtype, BATCH, attention, mode)
        leaf = alone.input_of(unit)
        other = alone.run(unit, leaf)  # fills the caches of masks and angles
        del other
        there = set(map(storage, alone.inputs.vectors.values()))
        before = held(tracker)
        x = None if leaf is None else leaf.clone()  # whoever needs it keeps it
        out = alone.run(unit, x)
        del x
        kept = held(tracker) - before
    boundary = blocks.boundary_bytes(model, cut)
    if unit.kind == "head" and dtype == "fp32" and alone.inputs.scored is not None:
        kept += alone.inputs.scored.numel() * cut.bytes
    if unit.kind != "head" and storage(out) not in there:  # the next unit's to keep
        kept -= boundary
    counted = blocks.kept_bytes(model, unit, cut, mode) + eager_bytes(model, unit, cut, mode == "none")
    slack = 40 * cut.tokens + 64
    assert abs(kept - counted) <= slack, f"kept {kept}, counted {counted}, boundary {boundary}"


@each_unit
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_waits_for_the_weights_half(name, unit, dtype, fake_tensors):
    model = MODEL[name]
    cut = Cut(BATCH, model.trunk.seq, dtype=dtype)
    alone = Alone.of(model, dtype, BATCH, "flash")
    check_weights_half(alone, unit, alone.input_of(unit), cut)


PLANS = [
    ("llama_lora", {}),
    ("llama_lora", {"dtype": "bf16"}),
    ("llama_lora_all", {"recompute": "full", "dtype": "bf16"}),
    ("llama_lora_all", {"tensor": 2}),
    ("llama_lora_all", {"tensor": 2, "sequence_parallel": True}),
    ("llama_lora_all", {"recompute": "selective_op"}),
    ("gpt_lora", {"sets": ("software.attention=unfused",)}),
    ("gpt_lora_up", {"dtype": "bf16"}),
    ("bert_lora", {"dtype": "bf16"}),
    ("sasrec_lora", {}),
    ("llama_lora", {"data": 2, "zero": 1, "dtype": "bf16"}),
    ("gpt_lora", {"data": 2, "zero": 2, "dtype": "bf16"}),
    ("llama_lora", {"data": 2, "zero": 3, "dtype": "bf16"}),
    ("llama_lora_all", {"data": 4, "zero": 3, "microbatch": 2}),
    ("gpt_lora", {"data": 4, "zero": 3, "microbatch": 2, "reshard_after_forward": False}),
    ("bert_lora", {"pipeline": 2, "microbatch": 4, "rank": 0}),
    ("llama_lora", {"pipeline": 2, "microbatch": 4, "rank": 1}),
    ("gpt_lora", {"pipeline": 4, "microbatch": 2, "schedule": "zb_h1", "rank": 1}),
    ("llama_lora", {"context": 2}),
]  # fmt: skip


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_memory_of_a_step(plan):
    model, keys = plan[0], dict(plan[1])
    rank = keys.pop("rank", 0)
    found = track(scenario(model, **keys), rank)
    story = f"measured / counted: {found.row(found.alike)}; as predicted: {found.row(found.predicted)}"
    print(story)
    assert abs(found.off(found.alike)) < 0.10, story
    if "sets" not in keys:  # an unfused core's dropout keeps s^2 matrices, and the executor has none
        assert abs(found.off(found.predicted)) < 0.10, story
    kinds = found.counted(found.alike)
    for kind in ("parameters", "gradients", "optimizer"):
        assert found.measured[kind] == pytest.approx(kinds[kind], abs=64 + 8 * 4), f"{kind}: {story}"
    assert found.measured["alive"] == pytest.approx(kinds["alive"], rel=0.2), story

"""Software generations: what each exposes, fuses and keeps, seen in the steps that its blocks launch."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from simulator.errors import ScenarioError
from simulator.model import blocks
from simulator.model.blocks import Cut, Unit
from simulator.model.blocks.linear import column_backward
from simulator.model.software import facts_of
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.stacks import CURRENT, MEGATRON_2021, MEGATRON_2022, MEGATRON_2023, STACKS, TORCH, software_stack
from simulator.model.work import Collective, Kernel, Wait
from simulator.plans import Plan
from simulator.scenario.legality import check_software
from simulator.scenario.schema import Software

MODEL = ModelSpec(trunk=Trunk(block="gpt", layers=2, hidden=1024, heads=16, seq=512, vocab=32000))


@dataclass(frozen=True)
class Stated:
    stack: str | None = None
    attention: str | None = None


def cut(stack, tensor=4, sequence_parallel=False) -> Cut:
    return Cut(2, 512, tensor=tensor, sequence_parallel=sequence_parallel, dtype="fp16", **facts_of(stack))


def words(steps) -> list[str]:
    return [step.op if not isinstance(step, Wait) else f"wait {step.handle}" for step in steps]


def test_in_2021_the_backward_all_reduce_follows_both_products_and_blocks():
    steps = column_backward(1024, 4096, cut(MEGATRON_2021), bias=False)
    assert words(steps) == ["gemm", "gemm", "elementwise", "all_reduce"]
    assert steps[-1].handle is None


def test_from_2022_on_it_runs_beside_the_weight_gradient():
    assert words(column_backward(1024, 4096, cut(MEGATRON_2022), bias=False)) == [
        "gemm", "all_reduce", "gemm", "elementwise", "wait grad",
    ]  # fmt: skip
    assert words(column_backward(1024, 4096, cut(CURRENT), bias=False)) == ["gemm", "all_reduce", "gemm", "wait grad"]


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("kind", ["attention", "mlp", "head"])
def test_every_stack_does_the_same_products_and_sends_the_same_bytes(stack, kind):
    def totals(stack):
        steps = blocks.backward(MODEL, Unit(kind, -1 if kind == "head" else 0), cut(stack))
        sent = sum(step.size_bytes for step in steps if isinstance(step, Collective))
        return sum(step.flops for step in steps if isinstance(step, Kernel)), sent

    assert totals(stack) == totals(CURRENT)


def test_without_tensor_parallelism_generations_differ_in_accumulation_alone():
    old = column_backward(1024, 4096, cut(MEGATRON_2021, tensor=1))
    new = column_backward(1024, 4096, cut(CURRENT, tensor=1))
    assert words(old) == [*words(new), "elementwise"]


@pytest.mark.parametrize(("stack", "op", "forward", "backward"), [
    (MEGATRON_2021, "layernorm_apex", 2, 5), (MEGATRON_2022, "layernorm", 2, 3), (CURRENT, "layernorm", 2, 3),
    (TORCH, "layernorm", 2, 5),
])  # fmt: skip
def test_gpts_norm_reads_and_writes_as_its_generations_kernel(stack, op, forward, backward):
    for function, passes in ((blocks.forward, forward), (blocks.backward, backward)):
        for unit in (Unit("attention", 0), Unit("mlp", 0), Unit("head")):
            [norm] = [step for step in function(MODEL, unit, cut(stack)) if getattr(step, "op", "") == op]
            assert norm.bytes_moved == passes * 2 * 1024 * 1024
    if op == "layernorm_apex":
        assert norm.shape == (1024, 1024)


def test_other_families_norms_are_their_own():
    llama = ModelSpec(trunk=Trunk(block="llama", layers=1, hidden=1024, heads=16, seq=512, vocab=32000))
    for unit in blocks.units(llama)[1:]:
        norms = [step.op for step in blocks.forward(llama, unit, cut(MEGATRON_2021)) if "layernorm" in step.op]
        assert norms == ["layernorm"]


def test_megatrons_loss_is_elementwise_and_torchs_a_softmax():
    def ops(stack):
        return {step.op for step in blocks.forward(MODEL, Unit("head"), cut(stack)) if isinstance(step, Kernel)}

    assert "cross_entropy" in ops(TORCH)
    assert "cross_entropy" not in ops(MEGATRON_2021)


def test_what_is_stated_wins_over_the_profile_and_the_profile_over_the_newest():
    assert software_stack(Stated(), {}) == TORCH
    assert software_stack(Stated(), {"stack": "megatron_2022"}) == MEGATRON_2022
    assert software_stack(Stated("megatron_2021"), {"stack": "megatron_2022"}) == MEGATRON_2021
    assert software_stack(Stated(attention="flash"), {"stack": "megatron_2022"}).attention == "flash"
    assert software_stack(Stated("megatron_2021"), {"attention": "flash"}).attention == "unfused"
    assert software_stack(Stated(), {"attention": "unfused"}).attention == "unfused"


def test_a_stack_without_sequence_parallelism_says_so():
    plan = Plan(tensor=2, sequence_parallel=True, microbatch=1, global_batch=8)
    check_software(Software(), plan)
    check_software(Software(stack="megatron_2022"), plan)
    with pytest.raises(ScenarioError, match="megatron_2021 has no sequence parallelism"):
        check_software(Software(stack="megatron_2021"), plan)


def test_in_2023_the_bias_of_queries_keys_and_values_is_a_pass_of_its_own():
    unit = next(unit for unit in blocks.units(MODEL) if unit.kind == "attention")
    apart = cut(MEGATRON_2023, tensor=2)
    plain = replace(apart, separate_bias=False)

    def elementwise(how):
        return [step.bytes_moved for step in blocks.forward(MODEL, unit, how) if step.op == "elementwise"]

    added = Counter(elementwise(apart)) - Counter(elementwise(plain))
    assert added == {4 * 2 * 512 * 3 * 1024 // 2: 1}  # fp16 read and written, half of the columns
    assert MEGATRON_2023.separate_bias and not CURRENT.separate_bias

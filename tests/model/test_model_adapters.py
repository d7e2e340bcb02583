"""LoRA: parameters by hand, the messages of PEFT's sharding, what is kept, and how far down a backward pass goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import BERT_LARGE, GPT_22B, HSTU, HSTU_TABLES, LLAMA3_8B, SASREC

from simulator.model.blocks import (
    Cut,
    Unit,
    adapter_targets,
    backward,
    backward_inputs,
    backward_weights,
    forward,
    kept_bytes,
    num_parameters,
    parameters,
    recompute,
    training,
    units,
    weight_bytes,
    working_bytes,
)
from simulator.model.spec import ModelSpec
from simulator.model.work import Collective, Kernel, forward_flops
from simulator.scenario.presets import preset_model

BASES = (GPT_22B, LLAMA3_8B, BERT_LARGE, HSTU, HSTU_TABLES, SASREC)
TOKENS = 2 * 512


def adapted(model, *targets, rank=8):
    keys = {**model.model_dump(exclude_unset=True), "adapter": {"kind": "lora", "rank": rank, "targets": targets}}
    return ModelSpec.model_validate(keys)


def messages(steps):
    return [(step.op, step.size_bytes) for step in steps if isinstance(step, Collective)]


def products(steps):
    return [step.shape for step in steps if isinstance(step, Kernel) and step.op == "gemm"]


@st.composite
def models(draw):
    base = draw(st.sampled_from(BASES))
    chosen = draw(st.lists(st.sampled_from(adapter_targets(base.trunk)), min_size=1, unique=True))
    return adapted(base, *chosen, rank=draw(st.integers(1, 64)))


def test_tallrec_trains_4_million_parameters_whose_gradient_is_16_8_mb():
    """rank 8 beside Q and V of 32 layers of 4096: 2 (8 x 4096 + 4096 x 8) each; of LLaMA-7B's 6,738,415,616."""
    model = ModelSpec.model_validate(preset_model("tallrec_llama7b_lora"))
    trained = num_parameters(model, trained=True)
    assert trained == 32 * 2 * (8 * 4096 + 4096 * 8) == 4_194_304
    assert round(4 * trained / 1e6, 1) == 16.8
    assert num_parameters(model) - trained == 6_738_415_616


@pytest.mark.parametrize(
    ("model", "targets", "each"),
    [  # of a layer and a rank: in + out of each matrix
        (LLAMA3_8B, ("q", "k", "v", "o"), (4096 + 4096) * 2 + (4096 + 1024) * 2),
        (LLAMA3_8B, ("gate", "up", "down"), 3 * (4096 + 14336)),
        (GPT_22B, ("up", "down"), 2 * (6144 + 4 * 6144)),
        (BERT_LARGE, ("k",), 1024 + 1024),
        (HSTU, ("q", "v", "o"), 3 * (1024 + 1024)),
        (SASREC, ("v", "up"), 4 * 50),
    ],
)
@pytest.mark.parametrize("rank", [1, 16])
def test_adapters_by_hand(model, targets, each, rank):
    assert num_parameters(adapted(model, *targets, rank=rank), trained=True) == rank * each * model.trunk.layers


@given(models(), st.sampled_from([1, 2]))
def test_a_rank_holds_a_half_of_what_is_sharded(model, tensor):
    """Beside column-parallel matrices B is sharded, beside row-parallel ones A is; the other one is whole."""
    for unit in units(model):
        for one in parameters(model, unit):
            if one.frozen:
                continue
            target, which = one.name.split(".")[-3], one.name.split(".")[-2][-1]
            whole = (which == "B") == (target in ("o", "down"))
            assert one.axis == ("none" if whole else "column" if which == "B" else "row")
            assert one.local_count(tensor) == (one.count if whole else one.count // tensor)


@given(models(), st.sampled_from([1, 2]), st.booleans())
def test_forward_adds_two_thin_products_a_target(model, tensor, sharded):
    cut = Cut(2, 512, tensor=tensor, sequence_parallel=sharded and tensor > 1)
    plain = model.model_copy(update={"adapter": None})
    for unit in units(model):
        ahead, without = (forward_flops(forward(one, unit, cut)) for one in (model, plain))
        # on a rank a sharded matrix multiplies all positions, a whole one its own
        thin = [one for one in parameters(model, unit) if not one.frozen]
        expected = sum(
            2 * one.local_count(tensor) * (cut.shard_tokens if one.axis == "none" else cut.tokens) for one in thin
        )
        assert ahead - without == expected


@given(models(), st.sampled_from([1, 2]), st.booleans())
def test_backward_multiplies_for_what_is_asked_for(model, tensor, sharded):
    """Above the first layer: each product's input gradient, and the adapters' weight gradients; nothing frozen has one.
    A softmax core is not counted: it has no weights."""
    cut = Cut(2, 512, tensor=tensor, sequence_parallel=sharded and tensor > 1)
    for unit in units(model):
        if unit.layer != 1:
            continue
        dense, found = ("gemm",), backward(model, unit, cut)
        ahead = sum(step.flops for step in forward(model, unit, cut) if isinstance(step, Kernel) and step.op in dense)
        behind = sum(step.flops for step in found if isinstance(step, Kernel) and step.op in dense)
        of_weights = sum(step.flops for step in found if isinstance(step, Kernel) and step.of_weight)
        thin = [one for one in parameters(model, unit) if not one.frozen]
        assert of_weights == sum(
            2 * one.local_count(tensor) * (cut.shard_tokens if one.axis == "none" else cut.tokens) for one in thin
        )
        assert behind == ahead + of_weights


@given(models(), st.sampled_from([1, 2]))
def test_halves_are_the_whole(model, tensor):
    cut = Cut(2, 512, tensor=tensor)
    for unit in units(model):
        whole, inputs, weights = (part(model, unit, cut) for part in (backward, backward_inputs, backward_weights))
        kernels = [[step for step in part if isinstance(step, Kernel)] for part in (whole, inputs, weights)]
        assert sorted(map(repr, kernels[0])) == sorted(map(repr, kernels[1] + kernels[2]))
        assert all(model.adapter.rank in step.shape for step in kernels[2])


@pytest.mark.parametrize("tensor", [2, 4])
def test_plain_tensor_parallelism_adds_up_the_thin_gradient_of_a_column_parallel_b(tensor):
    """In the order of backward: V's adapter, Q's, then the frozen product; forward sends nothing for them."""
    model, cut = adapted(LLAMA3_8B, "q", "v"), Cut(2, 512, tensor=tensor)
    second = units(model)[3]
    assert second == Unit("attention", 1)
    whole, thin = (("all_reduce", TOKENS * width * 2) for width in (4096, 8))
    assert messages(forward(model, second, cut)) == [whole]
    assert messages(backward(model, second, cut)) == [thin, thin, whole]
    # a row-parallel A's sum is thin as well, and its backward is local
    model = adapted(LLAMA3_8B, "o")
    assert messages(forward(model, second, cut)) == [whole, thin]
    assert messages(backward(model, second, cut)) == [whole]


def test_sequence_parallelism_gathers_and_scatters_thin_rows():
    model, cut = adapted(LLAMA3_8B, "v", "o"), Cut(2, 512, tensor=2, sequence_parallel=True)
    second = units(model)[3]
    whole, thin = ({op: (op, TOKENS * width * 2) for op in ("all_gather", "reduce_scatter")} for width in (4096, 8))
    assert messages(forward(model, second, cut)) == [
        whole["all_gather"], thin["all_gather"], whole["reduce_scatter"], thin["reduce_scatter"],
    ]  # fmt: skip
    assert messages(backward(model, second, cut)) == [
        thin["all_gather"], whole["all_gather"],  # O's A, then O
        thin["all_gather"], thin["reduce_scatter"], whole["reduce_scatter"],  # V's B, its input gathered again; QKV
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "attention", "mlp"),
    [(("q",), True, True), (("o",), True, True), (("up",), False, True), (("down",), False, True)],
)
def test_nothing_is_run_backward_below_the_lowest_adapter(targets, attention, mlp):
    model, cut = adapted(GPT_22B, *targets), Cut(2, 512)
    embedding, first, second = units(model)[:3]
    for unit, runs in ((embedding, False), (first, attention), (second, mlp)):
        assert training(model, unit).runs == runs == bool(backward(model, unit, cut))
        assert bool(kept_bytes(model, unit, cut)) == bool(working_bytes(model, unit, cut)) == runs
    # beside O alone even its own layer's attention is not run backward
    cores = [step for step in backward(model, first, cut) if isinstance(step, Kernel) and "attention" in step.op]
    assert bool(cores) == (targets == ("q",))


def test_tables_below_the_trunk_ask_for_every_gradient():
    model, cut = adapted(HSTU_TABLES, "q"), Cut(2, 512)
    assert all(training(model, unit).passes for unit in units(model))
    found = backward(model, units(model)[0], cut)
    assert products(found) == [(TOKENS, 128, 1024)]  # the gradient of the vectors; of their projection's weight none


def test_frozen_layers_keep_less():
    """Neither norm's output without an adapter behind it, nor the activation's; X A^T of each adapter besides."""
    cut, second, mlp = Cut(1, 1000), Unit("attention", 1), Unit("mlp", 1)
    plain, model = LLAMA3_8B, adapted(LLAMA3_8B, "q", "v")
    thin = 2 * 1000 * 8
    assert kept_bytes(model, second, cut) == kept_bytes(plain, second, cut) + 2 * thin
    assert kept_bytes(model, mlp, cut) == kept_bytes(plain, mlp, cut) - 2 * 1000 * (4096 + 14336)
    model = adapted(LLAMA3_8B, "down")
    assert kept_bytes(model, second, cut) == kept_bytes(plain, second, cut) - 2 * 1000 * 4096
    assert kept_bytes(model, mlp, cut) == kept_bytes(plain, mlp, cut) - 2 * 1000 * 4096 + thin
    assert weight_bytes(model, second, cut) == 0


def test_cheap_ops_are_run_again_for_adapters_only():
    cut, second, mlp = Cut(1, 1000), Unit("attention", 1), Unit("mlp", 1)
    model = adapted(LLAMA3_8B, "q", "down")
    ops = [[step.op for step in recompute(model, unit, cut, "selective_op")] for unit in (second, mlp)]
    assert ops == [["layernorm", "elementwise"], ["elementwise"]]
    model = adapted(LLAMA3_8B, "o")
    ops = [[step.op for step in recompute(model, unit, cut, "selective_op")] for unit in (second, mlp)]
    assert ops == [["elementwise"], []]  # Q and K are turned again for the core's backward


def test_what_can_be_adapted():
    assert adapter_targets(LLAMA3_8B.trunk) == ("q", "k", "v", "o", "gate", "up", "down")
    assert adapter_targets(GPT_22B.trunk) == ("q", "k", "v", "o", "up", "down")
    assert sorted(adapter_targets(HSTU.trunk)) == ["k", "o", "q", "v"]

"""The backward pass in halves: I and W are the whole of it, no more and no less, and W is the weights' products."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from model_zoo import ALL, GPT_22B, HSTU, LLAMA3_8B

from simulator.model.blocks import (
    Cut,
    backward,
    backward_inputs,
    backward_weights,
    forward,
    kept_bytes,
    parameters,
    units,
    weight_bytes,
    working_bytes,
)
from simulator.model.work import Collective, Kernel, Wait, forward_flops

CUTS = st.builds(
    Cut, batch=st.integers(1, 3), seq=st.sampled_from([64, 256]), tensor=st.sampled_from([1, 2]),
    sequence_parallel=st.booleans(), attention=st.sampled_from(["flash", "unfused"]), fused_accumulation=st.booleans(),
    async_reduction=st.booleans(), norm=st.sampled_from(["torch", "apex", "persistent"]),
)  # fmt: skip
RINGS = st.builds(Cut, st.integers(1, 3), st.just(256), context=st.sampled_from([2, 4]), tensor=st.sampled_from([1, 2]))


def counted(steps):
    """Kernels and collectives, however they are waited for."""
    return Counter(
        step if isinstance(step, Kernel) else replace(step, handle=None) for step in steps if not isinstance(step, Wait)
    )


def kernels(steps):
    return [step for step in steps if isinstance(step, Kernel)]


@given(st.sampled_from(ALL), st.one_of(CUTS, RINGS))
def test_both_halves_are_the_whole_pass(model, cut):
    for unit in units(model):
        whole, inputs, weights = (half(model, unit, cut) for half in (backward, backward_inputs, backward_weights))
        assert counted(inputs) + counted(weights) == counted(whole)
        assert forward_flops(inputs) + forward_flops(weights) == forward_flops(whole)
        moved = [sum(kernel.bytes_moved for kernel in kernels(steps)) for steps in (inputs, weights, whole)]
        assert moved[0] + moved[1] == moved[2]


@given(st.sampled_from(ALL), CUTS)
def test_a_layers_weights_cost_what_its_products_cost_forward(model, cut):
    """Each linear layer has one product forward, one for the input's gradient and one for the weight's."""
    for unit in units(model):
        if unit.kind == "embedding":
            continue
        linear = sum(kernel.flops for kernel in kernels(forward(model, unit, cut)) if kernel.op == "gemm")
        assert forward_flops(backward_weights(model, unit, cut)) == linear
        gemms = [kernel for kernel in kernels(backward_inputs(model, unit, cut)) if kernel.op == "gemm"]
        assert sum(kernel.flops for kernel in gemms) == linear


@given(st.sampled_from(ALL), CUTS)
def test_nothing_runs_beside_a_half(model, cut):
    """What a collective could hide behind is in the other half. W communicates only to gather sharded inputs again."""
    for unit in units(model):
        weights = backward_weights(model, unit, cut)
        for step in (*backward_inputs(model, unit, cut), *weights):
            assert isinstance(step, Kernel) or step.handle is None
        gathers = [step for step in weights if isinstance(step, Collective)]
        assert all(step.op == "all_gather" for step in gathers)
        if unit.layer >= 0:
            columns = [one for one in parameters(model, unit) if one.axis == "column" and len(one.shape) == 2]
            assert len(gathers) == (len(columns) if cut.sequence_parallel and cut.tensor > 1 else 0)


@given(st.sampled_from(ALL), RINGS)
def test_a_ring_runs_beside_the_kernels_of_i(model, cut):
    """Keys travel beside attention in I as they do in the whole pass; W sends nothing of them."""
    for unit in units(model):

        def ring(steps):
            handles = {step.handle for step in steps if isinstance(step, Collective) and step.group == "context"}
            return [step for step in steps if getattr(step, "handle", None) in handles or (
                isinstance(step, Kernel) and "attention" in step.op)]  # fmt: skip

        assert ring(backward_inputs(model, unit, cut)) == ring(backward(model, unit, cut))
        assert not ring(backward_weights(model, unit, cut))


@given(st.sampled_from([GPT_22B, LLAMA3_8B, HSTU]), CUTS)
def test_w_holds_inputs_and_output_gradients_of_linear_layers(model, cut):
    """Less than forward and backward hold together; for two linear layers of widths a -> b: tokens (a + b) each."""
    for unit in units(model)[1:3]:
        held = weight_bytes(model, unit, cut)
        assert (
            0
            < held
            < kept_bytes(model, unit, cut)
            + working_bytes(model, unit, cut)
            + cut.bytes * (cut.tokens * model.trunk.hidden)
        )
        if cut.tensor == 1:
            widths = [sum(one.shape) for one in parameters(model, unit) if len(one.shape) == 2]
            assert held == cut.bytes * cut.tokens * sum(widths)

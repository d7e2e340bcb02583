"""Tensor overlap: linear layers in pieces beside the pieces of their collectives (Wang et al., ASPLOS 2023)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import ALL, GPT_22B, HSTU, LLAMA3_8B

from simulator.model.blocks import Cut, backward, backward_inputs, backward_weights, forward, kept_bytes, units
from simulator.model.blocks.linear import OUTPUT_PIECES, output_pieces
from simulator.model.work import Collective, Kernel, Wait, forward_flops

WHOLE = Cut(2, 2048, tensor=4, sequence_parallel=True)
SPLIT = replace(WHOLE, overlap_tensor=True)


def tensor_bytes(steps, tensor):
    """What one rank sends: n - 1 of n parts of a gather or a scatter, all of a sendrecv."""
    found = [step for step in steps if isinstance(step, Collective) and step.group == "tensor"]
    return sum(step.size_bytes if step.op == "sendrecv" else step.size_bytes * (tensor - 1) // tensor for step in found)


@given(st.sampled_from(ALL), st.sampled_from([2, 4]))
def test_pieces_do_and_send_what_the_whole_does(model, tensor):
    whole = Cut(2, 256, tensor=tensor, sequence_parallel=True)
    split = replace(whole, overlap_tensor=True)
    for unit in units(model):
        for function in (forward, backward, backward_inputs, backward_weights):
            one, many = function(model, unit, whole), function(model, unit, split)
            assert forward_flops(one) == forward_flops(many)
            if model.trunk.hidden % (4 * tensor) == 0:
                assert tensor_bytes(one, tensor) == tensor_bytes(many, tensor)
        assert kept_bytes(model, unit, split) == kept_bytes(model, unit, whole)


@pytest.mark.parametrize("model", [GPT_22B, LLAMA3_8B, HSTU])
@pytest.mark.parametrize("function", [forward, backward, backward_inputs])
def test_nothing_of_a_layer_is_gathered_or_scattered_alone(model, function):
    """Each message runs beside a product of the same layer, but for the last piece of an output."""
    for unit in units(model)[1:3]:
        steps = function(model, unit, SPLIT)
        exposed = [step for step in steps if isinstance(step, Collective) and step.handle is None]
        alone = {"all_reduce"} | ({"reduce_scatter"} if function is backward_inputs else set())
        assert {step.op for step in exposed} <= alone
        for place, step in enumerate(steps):
            if isinstance(step, Collective) and step.op == "sendrecv":
                between = steps[place : steps.index(Wait(step.handle), place)]
                assert [one.op for one in between if isinstance(one, Kernel)] == ["gemm"]


def test_a_gather_is_a_ring_of_rows_and_an_output_a_row_of_columns():
    mlp, t, tokens = units(GPT_22B)[2], 4, 2 * 2048
    steps = forward(GPT_22B, mlp, SPLIT)
    ring = [step.size_bytes for step in steps if isinstance(step, Collective) and step.op == "sendrecv"]
    assert ring == [tokens // t * 6144 * 2] * (t - 1)
    products = [step.shape for step in steps if isinstance(step, Kernel) and step.op == "gemm"]
    assert products == [(tokens // t, 24576 // t, 6144)] * t + [(tokens, 6144 // OUTPUT_PIECES, 24576 // t)] * 4
    scattered = [step.size_bytes for step in steps if isinstance(step, Collective) and step.op == "reduce_scatter"]
    assert scattered == [tokens * 6144 * 2 // OUTPUT_PIECES] * OUTPUT_PIECES


@given(st.integers(1, 10**6))
def test_pieces_of_an_output_are_all_of_it(width):
    pieces = output_pieces(width)
    assert sum(pieces) == width and max(pieces) - min(pieces) <= 1 and min(pieces) > 0


@pytest.mark.parametrize("keys", [{"sequence_parallel": False}, {"tensor": 1}])
def test_without_gathers_there_is_nothing_to_split(keys):
    for unit in units(GPT_22B):
        for function in (forward, backward):
            assert function(GPT_22B, unit, replace(SPLIT, **keys)) == function(GPT_22B, unit, replace(WHOLE, **keys))

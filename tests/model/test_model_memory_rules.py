"""Bytes of dense parameters and of their update."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import GPT_22B, GPT_175B

from simulator import kinds
from simulator.model.blocks import parameters, units
from simulator.model.memory_rules import dense_bytes, optimizer_bytes, update_kernels
from simulator.units import GIB

BF16 = SimpleNamespace(parameters="bf16", gradients="fp32", reduce="fp32")
FP16_2021 = SimpleNamespace(parameters="fp16", gradients="fp16", reduce="fp16")
FP32 = SimpleNamespace(parameters="fp32", gradients="fp32", reduce="fp32")


@pytest.mark.parametrize(
    ("precision", "optimizer", "each"),
    [
        (BF16, "adam", (2, 4, 12)),
        (FP16_2021, "adam", (2, 2, 12)),
        (FP32, "adam", (4, 4, 8)),
        (BF16, "adamw", (2, 4, 12)),
        (BF16, "lamb", (2, 4, 12)),
        (BF16, "adagrad", (2, 4, 8)),
        (BF16, "sgd", (2, 4, 4)),
        (FP32, "sgd", (4, 4, 0)),
    ],
)
def test_bytes_of_one_parameter(precision, optimizer, each):
    assert tuple(dense_bytes(1, precision, optimizer, 0, 1).values()) == each
    assert optimizer_bytes(optimizer, precision.parameters) == each[2]


@pytest.mark.parametrize(("model", "ranks"), [(GPT_22B, 8), (GPT_175B, 64)])
def test_korthikanti_figure_1_counts_18_bytes_for_12_l_h2(model, ranks):
    # 45.5625 GiB a GPU: the matrices of the layers, without embeddings, biases and norms
    matrices = sum(
        parameter.count
        for unit in units(model)
        if unit.layer >= 0
        for parameter in parameters(model, unit)
        if len(parameter.shape) == 2
    )
    assert sum(dense_bytes(matrices // ranks, BF16, "adam", 0, 1).values()) / GIB == 45.5625


@given(st.integers(1, 10**9), st.sampled_from([1, 2, 8, 64]))
def test_zero_1_shards_the_optimizer_only(count, replicas):
    whole, shard = (dense_bytes(count, BF16, "adam", zero, replicas) for zero in (0, 1))
    assert shard["parameters"] == whole["parameters"] and shard["gradients"] == whole["gradients"]
    assert whole["optimizer"] <= shard["optimizer"] * replicas < whole["optimizer"] + 12 * replicas


def test_adams_traffic_pass_by_pass():
    kernels = update_kernels(1000, BF16, "adam", 0, 1)
    # norm 4; clip 8; adam: gradient 4, master, m and v read and written 24; copy: master 4, parameter 2; zero 4
    assert [kernel.bytes_moved for kernel in kernels] == [4000, 8000, 28000, 6000, 4000]
    assert {kernel.kind for kernel in kernels} == {kinds.OPTIMIZER}


def test_the_2021_stack_casts_and_unscales_16_bit_gradients():
    kernels = update_kernels(1000, FP16_2021, "adam", 0, 1)
    # cast 2 + 4; unscale 8; then as above on fp32; zeroing a 2-byte gradient
    assert [kernel.bytes_moved for kernel in kernels] == [6000, 8000, 4000, 8000, 28000, 6000, 2000]


def test_full_precision_needs_no_copy_and_sharding_no_more_than_its_share():
    assert [kernel.bytes_moved for kernel in update_kernels(1000, FP32, "sgd", 0, 1)] == [4000, 8000, 12000, 4000]
    assert [kernel.shape for kernel in update_kernels(1000, BF16, "adam", 1, 8)] == [(125,)] * 4 + [(1000,)]
    assert update_kernels(0, BF16, "adam", 0, 1) == ()

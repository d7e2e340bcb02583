"""Bytes of dense parameters and of their update."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import GPT_22B, GPT_175B

from simulator import kinds
from simulator.model.blocks import parameters, units
from simulator.model.memory_rules import Shares, dense_bytes, optimizer_bytes, update_kernels
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
    assert tuple(dense_bytes(1, precision, optimizer).values()) == each
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
    assert sum(dense_bytes(matrices // ranks, BF16, "adam").values()) / GIB == 45.5625


@given(st.integers(1, 10**9), st.sampled_from([1, 2, 8, 64]), st.sampled_from([1, 2, 3]))
def test_each_stage_of_zero_shards_one_kind_more(count, ranks, zero):
    """Optimizer states, then gradients, then parameters (arXiv 1910.02054, figure 1)."""
    whole = dense_bytes(count, BF16, "adam")
    sharded = ("optimizer", "gradients", "parameters")[:zero]
    shard = dense_bytes(count, BF16, "adam", Shares(**dict.fromkeys(sharded, ranks)))
    for kind, each in (("parameters", 2), ("gradients", 4), ("optimizer", 12)):
        if kind in sharded:
            assert whole[kind] <= shard[kind] * ranks < whole[kind] + each * ranks
        else:
            assert shard[kind] == whole[kind]


def test_adams_traffic_pass_by_pass():
    kernels = update_kernels(1000, BF16, "adam")
    # norm 4; clip 8; adam: gradient 4, master, m and v read and written 24; copy: master 4, parameter 2; zero 4
    assert [kernel.bytes_moved for kernel in kernels] == [4000, 8000, 28000, 6000, 4000]
    assert {kernel.kind for kernel in kernels} == {kinds.OPTIMIZER}


def test_the_2021_stack_casts_and_unscales_16_bit_gradients():
    kernels = update_kernels(1000, FP16_2021, "adam", scaled=True)
    # cast 2 + 4; unscale 8; then as above on fp32; zeroing a 2-byte gradient
    assert [kernel.bytes_moved for kernel in kernels] == [6000, 8000, 4000, 8000, 28000, 6000, 2000]


def test_an_update_that_clips_nothing_drops_its_gradients():
    kernels = update_kernels(1000, FP32, "sgd", scaled=True, clips=False)
    assert [kernel.bytes_moved for kernel in kernels] == [8000, 12000]  # unscale; gradient, parameter read and written


def test_full_precision_needs_no_copy_and_sharding_no_more_than_its_share():
    assert [kernel.bytes_moved for kernel in update_kernels(1000, FP32, "sgd")] == [4000, 8000, 12000, 4000]
    assert [one.shape for one in update_kernels(1000, BF16, "adam", Shares(optimizer=8))] == [(125,)] * 4 + [(1000,)]
    # gradients that are sharded too are made anew, not zeroed
    assert [one.shape for one in update_kernels(1000, BF16, "adam", Shares(8, 8, 8))] == [(125,)] * 4
    assert update_kernels(0, BF16, "adam") == ()

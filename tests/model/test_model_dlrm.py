"""A DLRM by hand: parameters, FLOPs, bytes, what is kept, and how its kernels differ between stacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.model import blocks
from simulator.model.blocks import Cut, dlrm_interaction, head, mlp
from simulator.model.spec import ModelSpec
from simulator.model.work import Kernel
from simulator.scenario.presets import preset_model

BATCH = 8192
DOT = ModelSpec.model_validate(preset_model("dlrm_dot_criteo"))
CROSS = ModelSpec.model_validate(preset_model("dlrm_v2_mlperf"))
BOTTOM = 13 * 512 + 512 + 512 * 256 + 256 + 256 * 128 + 128
EAGER = Cut(BATCH, 1, dtype="fp16", separate_kernels=True)
FUSED = Cut(BATCH, 1, dtype="fp16", fused_mlp=True)


def unit(model: ModelSpec, kind: str):
    return next(unit for unit in blocks.units(model) if unit.kind == kind)


def test_a_dlrm_is_bottom_interaction_and_head():
    assert [unit.name for unit in blocks.units(DOT)] == ["bottom", "interaction", "head"]
    assert blocks.vectors_enter(DOT) == 1
    without = DOT.model_copy(update={"dense": DOT.dense.model_copy(update={"bottom": ()})})
    assert [unit.name for unit in blocks.units(without)] == ["interaction", "head"]
    assert blocks.vectors_enter(without) == 0


def test_dot_reads_the_bottoms_vector_and_all_pairs():
    """27 vectors: 27 * 26 / 2 = 351 pairs, and the bottom's 128 (arXiv 1906.00091; 479 in NVIDIA's and Meta's code)."""
    assert dlrm_interaction.out_width(DOT) == head.in_width(DOT) == 479
    assert dlrm_interaction.out_width(CROSS) == 27 * 128


def test_parameters_of_the_two_references():
    top = 479 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 256 + 256 + 256 + 1
    assert blocks.num_parameters(DOT) == BOTTOM + top == 2_368_897
    width = 27 * 128
    cross = 3 * (2 * 512 * width + width)
    wide_top = top + (width - 479) * 1024
    assert blocks.num_parameters(CROSS) == BOTTOM + cross + wide_top


def test_flops_of_a_sample():
    """2 per weight of the products, and the whole 27 x 27 x 128 product of dot."""
    bottom = 2 * (13 * 512 + 512 * 256 + 256 * 128)
    top = 2 * (479 * 1024 + 1024 * 1024 + 1024 * 512 + 512 * 256 + 256)
    assert blocks.model_flops(DOT, 1) == 3 * (bottom + top + 2 * 27 * 27 * 128)
    cross = 3 * 2 * 2 * 512 * 27 * 128
    assert blocks.model_flops(CROSS, 1) == 3 * (bottom + cross + top + 2 * (27 * 128 - 479) * 1024)


def test_bottom_makes_no_gradient_of_its_data():
    kernels = blocks.backward(DOT, unit(DOT, "bottom"), EAGER)
    products = [kernel.shape for kernel in kernels if kernel.op == "gemm"]
    assert (BATCH, 13, 512) not in products and (512, 13, BATCH) in products
    assert len(products) == 5


@pytest.mark.parametrize("kind", ["bottom", "interaction", "head"])
@pytest.mark.parametrize("way", [blocks.forward, blocks.backward])
def test_fused_kernels_move_less_and_compute_no_more(kind, way):
    eager, fused = (way(DOT, unit(DOT, kind), cut) for cut in (EAGER, FUSED))

    def moved(steps):
        return sum(step.bytes_moved for step in steps if isinstance(step, Kernel))

    def flops(steps):
        return sum(step.flops for step in steps if isinstance(step, Kernel))

    assert moved(fused) < moved(eager) and len(fused) < len(eager)
    assert flops(fused) <= flops(eager)


def test_a_loss_in_small_kernels_reads_and_writes_each_score_in_each():
    """Under autocast scores are cast to fp32 and their gradients back, and a scalar is scaled each way."""

    def small(way, cut):
        kernels = way(DOT, unit(DOT, "head"), replace(cut, loss_kernels=(14, 4)))
        return [kernel.bytes_moved for kernel in kernels if kernel.op == "cross_entropy"]

    forward, backward = blocks.forward, blocks.backward
    assert small(forward, FUSED) == [8 * BATCH] * 14 and small(backward, FUSED) == [8 * BATCH] * 4
    amp = replace(FUSED, autocast=True)
    assert small(forward, amp) == [8 * BATCH] * 14 + [8] and small(backward, amp) == [8 * BATCH] * 4 + [8]
    scores = [kernel.shape for kernel in forward(DOT, unit(DOT, "head"), amp) if kernel.op == "cast"]
    assert (BATCH,) in scores


def test_the_bottoms_vector_gets_two_gradients_where_every_rank_has_it():
    def added(cut):
        return [k.bytes_moved for k in blocks.backward(DOT, unit(DOT, "interaction"), cut) if k.op == "elementwise"]

    assert added(FUSED) == [3 * 2 * BATCH * 128]  # reads both, writes the sum
    assert added(replace(FUSED, lone_bottom=True)) == [4 * 2 * BATCH * 27 * 128]  # over zeros; reads both, writes


def test_eager_dot_keeps_the_vectors_side_by_side_and_cross_layers_two_widths_each():
    assert blocks.kept_bytes(DOT, unit(DOT, "interaction"), EAGER) == 2 * BATCH * 27 * 128
    assert blocks.kept_bytes(CROSS, unit(CROSS, "interaction"), EAGER) == 2 * BATCH * 3 * (2 * 27 * 128 + 512)


def test_vectors_are_cast_once_each_way():
    casts = [k for k in blocks.forward(DOT, unit(DOT, "interaction"), EAGER) if k.op == "cast"]
    assert [kernel.bytes_moved for kernel in casts] == [BATCH * 128 * (4 + 2)] * 26
    in_fp32 = blocks.forward(DOT, unit(DOT, "interaction"), Cut(BATCH, 1, dtype="tf32"))
    assert not [kernel for kernel in in_fp32 if kernel.op == "cast"]


def test_working_gradients_of_an_mlp_follow_its_widest_layer():
    assert mlp.working_bytes((4, 100, 1), 10, Cut(10, 1, dtype="fp32")) == 4 * 10 * 200
    assert mlp.working_bytes((400, 100, 1), 10, Cut(10, 1, dtype="fp32")) == 4 * 10 * (100 + 400 - 100)


def test_halves_of_backward_are_all_of_it():
    for one in blocks.units(CROSS):
        whole = blocks.backward(CROSS, one, EAGER)
        halves = (*blocks.backward_inputs(CROSS, one, EAGER), *blocks.backward_weights(CROSS, one, EAGER))
        assert sorted(map(str, halves)) == sorted(map(str, whole))

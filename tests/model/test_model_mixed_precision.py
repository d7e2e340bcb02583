"""What torch.cuda.amp adds to fp32 parameters: casts each way, and a loss scale to take out again."""

from collections import Counter
from dataclasses import replace

import pytest
from test_model_tables import item, scenario

from simulator.model import memory_rules
from simulator.model.blocks import mlp
from simulator.model.blocks.cut import Cut
from simulator.model.stacks import STACKS
from simulator.model.tables import lookup_backward, lookup_forward
from simulator.program.cuts import cut_of
from simulator.scenario.loader import scenario_from
from simulator.scenario.schema import Precision
from simulator.validation.sources.recsys_dlrm import cases

WIDTHS = (13, 512, 256)
AMP = Cut(batch=1024, seq=1, dtype="fp16", autocast=True, fused_mlp=True)
IDS, WIDTH = 8 * 100, 64
"""What a rank looks up of its own, and the columns of a row."""


def casts(steps):
    return [step.bytes_moved for step in steps if step.op == "cast"]


def looked_up(vectors, ranks, backward=False):
    """[(op, bytes)] of one table on its owner, on `ranks` ranks, its vectors leaving in a dtype."""
    kernels = lookup_backward if backward else lookup_forward
    stated = scenario([item()], "table_wise", data=ranks)
    stated = replace(stated, precision=Precision(vectors=vectors))
    return [(step.op, step.bytes_moved) for step in kernels(stated, sparse=True)]


def test_weights_and_biases_are_cast_in_and_their_gradients_out():
    forward, backward = (run(WIDTHS, 1024, AMP, fused=True) for run in (mlp.forward, mlp.backward))
    # fp32 (4) one way, fp16 (2) the other: 6 bytes for each of 13 * 512, 512, 512 * 256, 256
    once = [6 * 13 * 512, 6 * 512, 6 * 512 * 256, 6 * 256]
    assert casts(forward) == once
    assert Counter(casts(backward)) == Counter(once)


def test_a_cast_gradient_is_written_in_16_bits_first():
    def written(cut):
        steps = mlp.backward((512, 256), 1024, cut, fused=True, to_input=False)
        (product,) = (step for step in steps if step.op == "gemm")
        return product.bytes_moved

    # added to in fp32: reads and writes 4; cast later: writes 2
    assert written(replace(AMP, autocast=False)) - written(AMP) == (8 - 2) * 512 * 256


@pytest.mark.parametrize("run", [mlp.forward, mlp.backward])
def test_nothing_is_cast_without_autocast(run):
    assert casts(run(WIDTHS, 1024, replace(AMP, autocast=False), fused=True)) == []


def test_only_parameters_wider_than_activations_are_cast():
    rows = {case.name: scenario_from(case.scenario) for case in cases()}
    amp, tf32 = (rows[f"PyTorch DLRM, large, 8 A100 {kind}"] for kind in ("yes", "TF32"))
    examples, torch = STACKS["deeplearning_examples"], STACKS["torch"]
    assert cut_of(amp, stack=examples).autocast
    assert not cut_of(tf32, stack=examples).autocast
    assert not cut_of(amp, stack=torch).autocast


def test_rows_of_tables_on_several_gpus_are_gathered_as_they_are_stored_and_cast_after():
    read = 4 * IDS
    assert looked_up("fp16", 4) == [
        ("embedding_lookup", read * (3 * 8 + 4 * WIDTH + 4 * WIDTH)),  # id, offset before; row; vector
        ("cast", read * WIDTH * (4 + 2)),
    ]
    assert looked_up("fp32", 4) == [("embedding_lookup", read * (3 * 8 + 4 * WIDTH + 4 * WIDTH))]


def test_their_gradients_are_the_sparse_tensors_values_once_they_are_cast():
    assert looked_up("fp16", 4, backward=True) == [("cast", 4 * IDS * WIDTH * (2 + 4))]
    assert looked_up("fp32", 4, backward=True) == []


def test_on_one_gpu_the_fused_kernels_cast():
    assert looked_up("fp16", 1) == [("embedding_lookup", IDS * (8 + 4 * WIDTH + 2 * WIDTH))]
    assert looked_up("fp16", 1, backward=True) == [("embedding_update", IDS * (2 * 8 + 2 * WIDTH + 4 * WIDTH))]


@pytest.mark.parametrize(("dtype", "parameters", "scaled"), [
    ("fp16", "fp32", True), ("fp16", "fp16", True), ("bf16", "fp32", False), ("tf32", "fp32", False),
])  # fmt: skip
def test_fp16_scales_its_loss_whatever_parameters_are_kept_in(dtype, parameters, scaled):
    stated = replace(scenario([item()]), dtype=dtype, precision=Precision(parameters=parameters))
    assert memory_rules.scales_loss(stated) == scaled


def test_a_scaled_loss_costs_a_read_and_a_write_of_every_gradient():
    fp32 = Precision(parameters="fp32", gradients="fp32")
    plain, scaled = (memory_rules.update_kernels(1000, fp32, "sgd", scaled=given) for given in (False, True))
    assert Counter(one.bytes_moved for one in scaled) - Counter(one.bytes_moved for one in plain) == {8000: 1}

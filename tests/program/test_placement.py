"""Which layers a stage holds, by `plan.partition`."""

import pytest
from road_scenarios import scenario

from simulator.model import blocks
from simulator.program.lowering import lower
from simulator.program.placement import stage_layers

PIPE = ("plan.pipeline=4", "plan.tensor=1", "model.trunk.layers=16")
SMALL_HEAD, LARGE_HEAD = "model.trunk.vocab=500", "model.trunk.vocab=100000"


def units_of(stated):
    units = blocks.units(stated.model)
    return [
        [units[index].name for chunk in own.chunks for index in range(chunk.first, chunk.last + 1)]
        for own in lower(stated).ranks
    ]


def test_uniform_stages_hold_as_many_layers_each():
    assert stage_layers(scenario("gpt", *PIPE)) == (4, 4, 4, 4)


def test_stated_stages_hold_what_they_are_given():
    stated = scenario("gpt", *PIPE, "model.trunk.layers=4", "plan.partition=[0, 1, 3, 0]")
    first, second, third, last = units_of(stated)
    assert first == ["embedding"] and last == ["head"]
    assert second == ["layer0.attention", "layer0.mlp"]
    assert third == [f"layer{layer}.{kind}" for layer in (1, 2, 3) for kind in ("attention", "mlp")]


def test_balanced_stages_make_room_for_the_head():
    """A layer is 12 h^2 and attention's 2 s h parameters' worth of FLOPs a token, the head v h: 100,000 rows of 1024
    are about 7.3 layers, so the last stage keeps none of sixteen; 500 rows are nothing."""
    assert stage_layers(scenario("gpt", *PIPE, SMALL_HEAD, "plan.partition=balanced")) == (4, 4, 4, 4)
    layers = stage_layers(scenario("gpt", *PIPE, LARGE_HEAD, "plan.partition=balanced"))
    assert layers[-1] == 0 and sorted(layers[:-1]) == [5, 5, 6]


def test_recomputed_layers_weigh_more_against_the_head():
    sets = ("plan.pipeline=2", "plan.tensor=1", "model.trunk.layers=16", LARGE_HEAD, "plan.partition=balanced")
    kept, rerun = (stage_layers(scenario("gpt", *sets, f"plan.recompute={mode}")) for mode in ("none", "full"))
    assert rerun[1] > kept[1]


@pytest.mark.parametrize("schedule", ["interleaved_1f1b", "zb_v"])
def test_a_partition_counts_global_stages(schedule):
    """Of a V, stages 0 and 3 are on rank 0; of interleaved chunks, 0 and 2."""
    sets = (f"plan.schedule={schedule}", "plan.virtual_stages=2", "plan.pipeline=2", "model.trunk.layers=10")
    stated = scenario("gpt", *sets, "plan.partition=[1, 2, 3, 4]")
    layers = [sum(name.endswith("mlp") for name in names) for names in units_of(stated)]
    assert layers == ([5, 5] if schedule == "zb_v" else [4, 6])


@pytest.mark.parametrize("schedule", ["1f1b", "zb_h1", "zb_v"])
def test_layers_that_do_not_divide_run_balanced(schedule):
    stated = scenario("gpt", "plan.pipeline=2", f"plan.schedule={schedule}", "model.trunk.layers=7",
                      "plan.partition=balanced")  # fmt: skip
    held = [name for names in units_of(stated) for name in names]
    assert sorted(held) == sorted(unit.name for unit in blocks.units(stated.model))

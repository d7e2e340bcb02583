"""Programs of models with LoRA adapters: what is reduced, gathered and held of what is trained and what is frozen."""

from __future__ import annotations

import pytest
from road_scenarios import scenario

from simulator.graph.steps import StepSource
from simulator.memory import measure_memory
from simulator.model import blocks
from simulator.program.cuts import cut_of
from simulator.program.data_parallel import make_buckets
from simulator.program.held import touches
from simulator.program.lowering import lower
from simulator.program.parameters import local_numel
from simulator.program.program import Chunk, Program

LORA = "model.adapter={kind: lora, rank: 8, targets: [q, v]}"
WHOLE = (LORA, "plan.tensor=1", "plan.data=8", "plan.global_batch=16")
SHARDED = (*WHOLE, "plan.zero=3")
UNTIED = "model.trunk.tied_embeddings=false"
LAYERS, WIDTH, RANK = 4, 1024, 8


def actions(own, verb):
    return [launch.action for launch in own.launches if launch.action.verb == verb]


@pytest.mark.parametrize("tensor", [1, 2, 4])
def test_a_step_reduces_the_adapters_alone(tensor):
    """A whole, B a tensor rank's share; one bucket of 25 MiB, which the frozen embedding joins."""
    (own,) = lower(scenario("gpt", LORA, f"plan.tensor={tensor}", f"plan.data={8 // tensor}")).ranks
    trained = LAYERS * 2 * (RANK * WIDTH + WIDTH // tensor * RANK)
    (bucket,) = own.buckets
    assert (bucket.first, bucket.last, bucket.numel) == (0, 2 * LAYERS + 1, trained)
    assert sum(action.size_bytes for action in actions(own, "reduce")) == 4 * trained


def test_a_stage_without_anything_trained_reduces_nothing():
    sets = (LORA, "plan.pipeline=2", "plan.tensor=1", "plan.data=4", "plan.partition=[4, 0]")
    first, last = lower(scenario("gpt", *sets)).ranks
    assert first.buckets and not last.buckets
    assert not actions(last, "reduce"), "neither gradients nor those of the frozen embedding that both stages hold"
    assert len(actions(last, "send")) == len(actions(first, "send")), "but it hands the gradient on"


def test_units_of_which_nothing_is_trained_join_a_bucket():
    counts = [0, 10, 0, 10, 0]
    chunk = (Chunk(0, ((0, 4),)),)
    small = make_buckets(chunk, counts.__getitem__, 1, 4)
    assert [(one.first, one.last, one.numel) for one in small] == [(3, 4, 10), (0, 2, 10)]
    seams = make_buckets(chunk, [5, 0, 0, 10, 0].__getitem__, 1, 4, (2,))
    assert [(one.first, one.last, one.numel) for one in seams] == [(2, 4, 10), (0, 1, 5)]
    assert make_buckets(chunk, lambda unit: 0, 1, 4) == ()


def test_zero_3_gathers_what_is_frozen_and_scatters_what_is_trained():
    built = scenario("gpt", *SHARDED, UNTIED)
    (own,) = lower(built).ranks
    frozen = sum(local_numel(built, unit, frozen=True) for unit in range(2 * LAYERS + 2))
    trained = LAYERS * 4 * RANK * WIDTH
    assert [bucket.numel for bucket in own.buckets] == [0, *[trained // LAYERS] * LAYERS, 0]
    assert sum(bucket.parameters for bucket in own.buckets) == frozen + trained
    gathered = [sum(action.size_bytes for action in actions(own, "all_gather") if action.of == of) for of in "FB"]
    ends = [2 * own.buckets[place].parameters for place in (0, -1)]
    # two microbatches; in backward neither the head, which is still there, nor the embedding, which has no backward
    assert gathered == [4 * (frozen + trained), 4 * (frozen + trained) - 2 * sum(ends)]
    assert sum(action.size_bytes for action in actions(own, "reduce_scatter")) == 2 * 4 * trained


def test_blocks_without_gradients_are_dropped_all_the_same():
    """The embedding behind its forward, the head behind its backward; a shared embedding stays for the head."""
    for sets, behind_forward, behind_backward in (((UNTIED,), {"b5"}, set()), ((), set(), {"b5"})):
        built = scenario("gpt", *SHARDED, *sets)
        (own,) = lower(built).ranks
        touched = touches(own, built)
        for microbatch in range(2):
            dropped = {verb: {name for action, touch in touched.items() if action.startswith(f"0{verb}{microbatch}")
                              for name in touch.drops} for verb in "FB"}  # fmt: skip
            assert dropped == {"F": {"b1", "b2", "b3", "b4"} | behind_forward,
                               "B": {"b0", "b1", "b2", "b3", "b4"} | behind_backward}  # fmt: skip
            opened = {name for action, touch in touched.items() if action.startswith(f"0B{microbatch}")
                      for name in touch.opens}  # fmt: skip
            assert opened == {"b1", "b2", "b3", "b4"}, "what is frozen has no gradients"


@pytest.mark.parametrize("zero", [0, 1, 3])
def test_frozen_parameters_are_stored_and_nothing_else(zero):
    built = scenario("gpt", *WHOLE, f"plan.zero={zero}")
    program, shares = lower(built), 8 if zero == 3 else 1
    held = dict(measure_memory(program, built, cut_of(built)).tightest.by_kind)
    trained = LAYERS * 4 * RANK * WIDTH
    assert held["optimizer"] == 12 * trained // (8 if zero else 1)
    if zero < 3:
        assert held["gradients"] == 4 * trained
        assert held["parameters"] == 2 * blocks.num_parameters(built.model)
    else:  # and the blocks that are gathered at the peak
        assert held["parameters"] > 2 * blocks.num_parameters(built.model) // shares


def test_sequence_parallelism_adds_up_whole_adapters_once_a_step():
    """A of column-parallel adapters has seen a rank's own positions; norms are frozen."""
    built = scenario("gpt", LORA, "plan.sequence_parallel=true")
    (own,) = lower(built).ranks
    (update,) = actions(own, "optimizer")
    (piece,) = StepSource(built, cut_of(built)).steps(own, update)
    assert (piece.steps[0].op, piece.steps[0].size_bytes) == ("all_reduce", 4 * LAYERS * 2 * RANK * WIDTH)


def test_frozen_parameters_of_a_bucket_are_in_the_text():
    program = lower(scenario("gpt", *SHARDED))
    assert " frozen " in program.to_text()
    assert Program.from_text(program.to_text()) == program
    assert " frozen " not in lower(scenario("gpt", *SHARDED[1:])).to_text()

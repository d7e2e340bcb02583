"""What lengths do to a step, whatever they are."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import scenario_from, simulate
from simulator.metrics import breakdown_ns
from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.scenario import scenario as stated

RANKS, EACH, LONGEST = 4, 2, 512
FILE = {
    "schema_version": 1,
    "name": "lengths",
    "model": {
        "trunk": {"block": "hstu", "layers": 2, "hidden": 512, "heads": 4, "seq": LONGEST},
        "tables": [{"name": "item", "rows": 10**6, "dim": 128, "ids": {"kind": "zipf"}}],
        "head": {"kind": "binary"},
    },
    "cluster": {"preset": "dgx_h100", "gpus_per_node": RANKS},
    "plan": {"microbatch": EACH, "global_batch": RANKS * EACH},
    "data": {"lengths": {"kind": "zipf", "alpha": 1.2, "max": LONGEST}},
}
some_lengths = st.lists(st.integers(1, LONGEST), min_size=RANKS * EACH, max_size=RANKS * EACH)


def result(lengths, *sets):
    """With these samples, the first two on the first rank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stated, "draw", lambda *words, **named: tuple(lengths))
        return simulate(scenario_from(deepcopy(FILE), set=sets))


@settings(max_examples=settings.default.max_examples // 3)
@given(some_lengths, st.data())
def test_the_same_tokens_spread_more_are_never_faster(lengths, data):
    """A transfer from a shorter sample to a longer one of the same rank (Dalton's): attention is convex in length, all
    else linear."""
    rank = data.draw(st.integers(0, RANKS - 1))
    short, long = sorted(range(rank * EACH, rank * EACH + EACH), key=lambda place: lengths[place])
    moved = data.draw(st.integers(0, min(lengths[short] - 1, LONGEST - lengths[long])))
    spread = list(lengths)
    spread[short] -= moved
    spread[long] += moved
    even, uneven = result(lengths), result(spread)
    assert uneven.timeline.step_ns >= even.timeline.step_ns
    assert uneven.to_dict()["tokens_per_s"] <= even.to_dict()["tokens_per_s"]
    assert uneven.flops.model >= even.flops.model


@settings(max_examples=settings.default.max_examples // 3)
@given(some_lengths, st.integers(0, RANKS * EACH - 1))
def test_a_longer_sample_never_speeds_the_step(lengths, place):
    longer = [length + (5 if index == place else 0) for index, length in enumerate(lengths)]
    assert result(longer).timeline.step_ns >= result(lengths).timeline.step_ns


@settings(max_examples=settings.default.max_examples // 3)
@given(some_lengths)
def test_padding_costs_what_the_longest_sample_of_each_rank_costs(lengths):
    longest = [max(lengths[first : first + EACH]) for first in range(0, RANKS * EACH, EACH)]
    filled = [length for length in longest for _ in range(EACH)]
    padded, packed = result(lengths, "data.lengths.layout=padded"), result(filled)
    assert padded.breakdown["compute"] <= packed.breakdown["compute"]  # tables look up real ids only
    assert result(filled, "data.lengths.layout=padded").timeline.step_ns == packed.timeline.step_ns
    assert padded.flops.model == result(lengths).flops.model  # padding is no model FLOP


def test_equal_samples_are_the_fixed_step():
    equal = [LONGEST] * RANKS * EACH
    jagged, fixed = result(equal), result(equal, "data.lengths={kind: fixed}")
    assert jagged.timeline.step_ns == fixed.timeline.step_ns
    assert jagged.timeline.digest() == fixed.timeline.digest()
    assert jagged.memory == fixed.memory and jagged.flops == fixed.flops
    assert jagged.to_dict()["tokens_per_s"] == fixed.to_dict()["tokens_per_s"]


def test_model_flops_are_the_closed_form_at_real_lengths():
    """Of a layer and a token: 2 (4 + 1) d^2 in its products; of a sample: 4 n^2 d / 2, the causal half."""
    lengths, hidden = [1, 7, 100, 512, 3, 44, 250, 5], 512
    tokens, squares = sum(lengths), sum(n * n for n in lengths)
    layers = 2 * (10 * hidden**2 * tokens + 2 * hidden * squares)
    ends = 2 * tokens * (128 * hidden + hidden)  # the item's projection, one logit
    found = result(lengths)
    assert found.flops.model == 3 * (layers + ends)
    step = found.step_time_s
    assert found.to_dict()["model_flops_per_gpu_per_s"] == pytest.approx(3 * (layers + ends) / RANKS / step, rel=1e-12)
    assert found.to_dict()["tokens_per_s"] == pytest.approx(tokens / step, rel=1e-12)


def test_memory_is_that_of_the_rank_with_most_tokens():
    lengths = [1, 7, 100, 512, 3, 44, 250, 5]
    found, model = result(lengths), scenario_from(deepcopy(FILE)).model
    kept = {
        rank: sum(blocks.kept_bytes(model, unit, Cut(EACH, LONGEST, lengths=tuple(lengths[2 * rank : 2 * rank + 2])))
                  for unit in blocks.units(model))
        for rank in range(RANKS)
    }  # fmt: skip
    assert found.memory.tightest.rank == max(kept, key=kept.get) == 1
    activations = {one.rank: dict(one.by_kind)["activations"] for one in found.memory.per_rank}
    assert all(activations[rank] >= kept[rank] for rank in kept)
    assert sorted(activations, key=activations.get) == sorted(kept, key=kept.get)


def test_the_answer_is_the_mean_of_its_steps_and_its_breakdown_sums_to_it():
    several = simulate(scenario_from(deepcopy(FILE), set=("steps=7",)))
    alone = [simulate(scenario_from(deepcopy(FILE), set=(f"steps={step + 1}",))).steps_ns[step] for step in (0, 3, 6)]
    assert alone == [several.steps_ns[step] for step in (0, 3, 6)]  # a step is what it is, however long the run
    assert len(set(several.steps_ns)) == 7
    assert several.step_time_s == sum(several.steps_ns) // 7 / 1e9
    assert sum(several.breakdown.values()) == sum(several.steps_ns) // 7
    assert several.timeline.step_ns == sorted(several.steps_ns)[3]
    tokens = [sum(several.scenario.lengths(step)) for step in range(7)]
    assert several.to_dict()["tokens_per_s"] == pytest.approx(sum(tokens) / 7 / several.step_time_s, rel=1e-12)


def test_replicas_wait_for_the_one_with_most_work():
    """Where every rank has as much to do as the last one, nobody waits; else the others do, by what they lack."""
    lengths = [1, 1, 100, 100, 300, 300, LONGEST, LONGEST]
    waits = [_breakdown(result(lengths, "model.trunk.layers=8"), rank) for rank in range(RANKS)]
    assert all(own["straggler_wait"] > other["straggler_wait"] for own, other in pairwise(waits))
    assert waits[3]["straggler_wait"] == 0
    assert result([LONGEST] * RANKS * EACH).breakdown["straggler_wait"] == 0


def _breakdown(found, rank):
    return breakdown_ns(found.timeline, found.timeline.ranks.index(rank))

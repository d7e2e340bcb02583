"""Memory over time: the walk comes back to where it began, and is fullest where and when the answer says."""

import numpy as np
import pytest
from road_scenarios import answer

from simulator.memory import KINDS, moments
from simulator.memory.curve import NUM_SHARES, action_spans, memory_curve
from simulator.units import ns_to_seconds

PIPE = ("plan.tensor=1", "plan.pipeline=4", "plan.data=2", "plan.global_batch=32")
ONE = ("plan.tensor=1",)
PLANS = {
    "tensor": ("gpt", ()),
    "zero 1": ("gpt", ("plan.zero=1",)),
    "zero 2": ("gpt", ("plan.zero=2", *ONE)),
    "zero 3": ("gpt", ("plan.zero=3", *ONE)),
    "zero 3, kept": ("gpt", ("plan.zero=3", "plan.reshard_after_forward=false", *ONE)),
    "zero 3, recomputed": ("gpt", ("plan.zero=3", "plan.recompute=full", *ONE)),
    "zero 3, pipeline": ("gpt", ("plan.zero=3", "plan.reshard_after_forward=false", *PIPE)),
    "1f1b": ("gpt", PIPE),
    "zb_h2": ("gpt", (*PIPE, "plan.schedule=zb_h2")),
    "zb_v": ("gpt", (*PIPE, "plan.schedule=zb_v", "model.trunk.layers=8")),
    "interleaved": ("gpt", (*PIPE, "plan.schedule=interleaved_1f1b", "plan.virtual_stages=2", "model.trunk.layers=8")),
    "context": ("llama", ("plan.context=2", "plan.data=1")),
    "tables": ("hstu", ()),
    "lengths": ("hstu", ("data.lengths={kind: zipf, alpha: 1.2, max: 1024}",)),
    "adapters": ("llama", ("model.adapter={kind: lora, rank: 8}",)),
    "top-k": ("gpt", ("plan.compression.method=topk",)),
    "int8 to owners": ("gpt", ("plan.zero=3", "plan.tensor=2", "plan.compression.method=int8", "plan.bucket_mib=null")),
    "powersgd to owners": ("gpt", ("plan.zero=2", "plan.compression.method=powersgd")),
}
each_plan = pytest.mark.parametrize("plan", PLANS)


@each_plan
def test_a_step_leaves_what_it_found(plan):
    result = answer(PLANS[plan][0], *PLANS[plan][1])
    for own in result.program.ranks:
        walked = list(moments(own, result.scenario, result.cut))
        assert walked[0].held == walked[-1].held, dict(zip(KINDS, walked[-1].held, strict=True))
        assert all(size >= 0 for moment in walked for size in moment.held)


@each_plan
def test_the_curve_is_fullest_at_the_peak_and_while_its_action_runs(plan):
    result = answer(PLANS[plan][0], *PLANS[plan][1])
    for own in result.memory.per_rank:
        curve = result.memory_curve(own.rank)
        assert (np.diff(curve.time_ns) >= 0).all() and curve.time_ns[0] == 0 <= curve.time_ns[-1] <= curve.step_ns
        place = int(curve.total.argmax())
        assert dict(zip(KINDS, curve.held[place].tolist(), strict=True)) == dict(own.by_kind)
        assert curve.total[place] == curve.peak.size_bytes == own.peak and curve.peak.action == own.action
        start_ns, end_ns = action_spans(result.timeline, own.rank)[own.action]
        assert curve.peak.start_ns == start_ns and curve.peak.end_ns <= end_ns


@each_plan
def test_the_answer_shows_the_fullest_rank_over_time(plan):
    result = answer(PLANS[plan][0], *PLANS[plan][1])
    found = result.to_dict()["memory_over_time"]
    assert len(found["from_s"]) == NUM_SHARES and found["from_s"][0] == 0
    assert found["rank"] == result.memory.tightest.rank and found["peak"]["action"] == result.memory.tightest.action
    sums = [sum(found["bytes_by_kind"][kind][place] for kind in KINDS) for place in range(NUM_SHARES)]
    assert max(sums) == result.memory.tightest.peak
    width_s = result.step_time_s / NUM_SHARES
    full = found["from_s"][sums.index(max(sums))]
    assert full - 1e-9 <= found["peak"]["end_s"] and found["peak"]["start_s"] <= full + width_s + 1e-9
    assert 0 <= found["peak"]["start_s"] < found["peak"]["end_s"] <= ns_to_seconds(result.timeline.step_ns)


def test_1f1b_fills_up_and_drains():
    """Rank 0 of four stages holds one, two, three, four microbatches, then three and four in turn, then fewer."""
    result = answer("gpt", *PIPE)
    curve = result.memory_curve(0)
    kept = curve.held[:, KINDS.index("activations")]
    behind = [int(kept[place]) for place in range(1, len(kept)) if curve.actions[place] == curve.actions[place - 1]]
    one = behind[0]
    m = result.scenario.microbatches
    alive = [size // one for size in behind if size % one == 0]
    assert alive[:6] == [1, 2, 3, 4, 3, 4]
    assert max(alive) == 4 and alive[-2:] == [0, 0] and len(behind) >= 2 * m


def test_a_gather_counts_from_its_own_start_between_its_neighbours():
    """ZeRO 3: the message of a block is there while the action before it still runs, never before it is launched."""
    result = answer("gpt", *PLANS["zero 3"][1])
    spans, curve = action_spans(result.timeline, 0), result.memory_curve(0)
    gathers = [place for place, name in enumerate(curve.actions) if name.startswith("all_gather")]
    assert gathers
    for place in gathers:
        start_ns = spans[curve.actions[place]][0]
        following = next(
            spans[name][0] for name in curve.actions[place:] if not name.startswith("all_gather") and name in spans
        )
        assert curve.time_ns[place] == min(max(start_ns, curve.time_ns[place - 1]), following)


def test_of_many_steps_the_one_that_is_shown_is_drawn_and_the_fullest_one_counts():
    result = answer("hstu", *PLANS["lengths"][1], "steps=5")
    fullest = [answer("hstu", *PLANS["lengths"][1], f"steps={count}").memory.tightest.peak for count in (1, 2, 3, 4, 5)]
    assert fullest == sorted(fullest) and fullest[-1] == result.memory.tightest.peak
    drawn = result.to_dict()["memory_over_time"]
    assert drawn["peak"]["bytes"] <= result.memory.tightest.peak
    assert drawn["peak"]["end_s"] <= ns_to_seconds(result.timeline.step_ns)


def test_a_rank_that_is_folded_has_the_curve_of_the_one_that_stands_for_it():
    result = answer("gpt", *PIPE)
    first, twin = result.memory_curve(0), result.memory_curve(1)
    assert (first.time_ns == twin.time_ns).all() and (first.held == twin.held).all() and twin.rank == 1


def test_a_rank_that_is_not_there_is_said():
    result = answer("gpt")
    with pytest.raises(ValueError, match="the timeline has no rank 99"):
        memory_curve(99, [], result.timeline)


def test_of_several_steps_the_fullest_is_drawn():
    """Each step draws its own lengths; the timeline is the median step's, memory that of the step that holds most."""
    result = answer("hstu", "data.lengths={kind: zipf, alpha: 1.2, max: 128}", "steps=5")
    found = result.to_dict()
    assert found["memory_over_time"]["peak"]["bytes"] == found["memory_bytes"]["peak_max"]
    drawn = [sum(kinds) for kinds in zip(*found["memory_over_time"]["bytes_by_kind"].values(), strict=True)]
    assert max(drawn) == found["memory_bytes"]["peak_max"]
    assert result.fullest[0] is not result.program  # or this shows nothing

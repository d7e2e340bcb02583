"""Charts tell the numbers they are given."""

import numpy as np
import pytest

from simulator import kinds
from simulator.model.spec import Trunk
from simulator.report import palette
from simulator.report.breakdown import breakdown_figure, parts, results_figure
from simulator.report.drawing import draw, drawn_ranks
from simulator.report.heat_map import heat_figure
from simulator.report.memory import memory_figure
from simulator.report.rank_use import rank_uses, utilization_figure
from simulator.report.timeline_chart import BAND_PX, timeline_figure


def test_breakdown_sums_to_the_step(made_result):
    numbers = made_result.to_dict()
    found = parts(numbers["breakdown_s"])
    assert sum(part.seconds for part in found) == pytest.approx(numbers["step_time_s"], abs=1e-9)
    assert sum(part.share for part in found) == pytest.approx(1)
    bars = breakdown_figure(made_result).data
    assert sum(bar.x[0] for bar in bars) == pytest.approx(numbers["step_time_s"] * 1e3)  # the axis is in ms
    assert [bar.name for bar in bars] == [
        "compute", "tensor communication", "data communication", "optimizer", "bubble"]  # fmt: skip


def test_every_label_has_a_look_and_no_two_look_alike():
    assert set(palette.TIME) == set(kinds.BREAKDOWN)
    for looks in (palette.TIME, palette.MEMORY, palette.SOURCE):
        assert len({(look.colour, look.pattern) for look in looks.values()}) == len(looks)
        assert len({look.words for look in looks.values()}) == len(looks)


def test_results_of_one_batch_compare_by_step_others_by_sample(make):
    same = results_figure([make("a", stages=2, data=2), make("b", stages=4, data=2)])
    assert same.layout.xaxis.title.text.startswith("time of a step")
    differ = results_figure([make("a", stages=2, data=2), make("b", stages=4, data=4)])
    assert differ.layout.xaxis.title.text.startswith("time for each sample")


def test_results_of_different_models_compare_by_share_only(make):
    one, other = make("a"), make("b", stages=2)
    smaller = other.scenario.model.model_copy(update={"trunk": Trunk(block="gpt", layers=2, hidden=64, heads=2, seq=8)})
    other.scenario.model = smaller
    figure = results_figure([one, other])
    assert figure.layout.xaxis.title.text == "share of the step (%)"
    assert [sum(bar.x[place] for bar in figure.data) for place in (0, 1)] == pytest.approx([100, 100])


def test_results_of_one_name_keep_a_row_each(make):
    figure = results_figure([make("a"), make("a")])
    assert list(figure.data[0].y) == ["a (1)", "a (2)"]


def test_memory_sums_to_the_peak_and_shows_the_limit(made_result):
    figure = memory_figure(made_result)
    assert sum(bar.x[0] for bar in figure.data) == pytest.approx(68)
    assert list(figure.data[0].y) == ["stage 0 · rank 0 · ×2", "stage 1 · rank 2 · ×2", "stage 2 · rank 4 · ×2",
                                      "stage 3 · rank 6 · ×2"]  # fmt: skip
    assert figure.layout.shapes[0].x0 == pytest.approx(79)
    assert any("79.0 GiB" in note.text for note in figure.layout.annotations)


def test_memory_without_a_limit_has_no_line(make):
    numbers = make().to_dict()["memory_bytes"]
    figure = memory_figure(make(memory_bytes=numbers | {"limit": None}))
    assert not figure.layout.shapes


def test_timeline_draws_every_op_where_it_is(made_result):
    figure = timeline_figure(made_result)
    timeline = made_result.timeline
    drawn = sorted(
        (float(base), float(length)) for bar in figure.data for base, length in zip(bar.base, bar.x, strict=True)
    )
    expected = sorted(zip(timeline.start_ns / 1e6, (timeline.end_ns - timeline.start_ns) / 1e6, strict=True))
    assert np.allclose(drawn, expected)
    names = {bar.name for bar in figure.data}
    assert names == {"forward", "backward", "optimizer", "pipeline communication", "data communication"}


def test_timeline_keeps_its_budget_and_all_the_work(make):
    result = make(stages=4, microbatches=32)
    timeline = result.timeline
    drawing = draw(timeline, budget=120)
    assert drawing.num_slices <= 120 < len(timeline.graph)
    assert drawing.pixel_ns > 0
    assert sum(int(slices.busy_ns.sum()) for slices in drawing.slices) == int(
        (timeline.end_ns - timeline.start_ns).sum()
    )


def test_bands_of_different_ranks_do_not_touch(made_result):
    figure = timeline_figure(made_result)
    middles = np.concatenate([bar.y for bar in figure.data])
    heights = np.concatenate([bar.width for bar in figure.data])
    band = np.round(middles)
    assert (np.abs(middles - band) + heights / 2 <= 0.46).all()
    assert figure.layout.height >= BAND_PX * 4


def test_many_ranks_become_a_choice_of_bands_and_a_heat_map(make):
    result = make(stages=20, microbatches=2, data=1)
    drawing = draw(result.timeline, 8000)
    assert len(drawing.ranks) == 16
    assert (drawing.ranks[0], drawing.ranks[-1]) == (0, 19)
    heat = heat_figure(result)
    assert np.array(heat.data[0].z).shape[0] == 20
    assert drawn_ranks((1, 2, 3)) == (1, 2, 3)


def test_use_of_a_rank_is_the_union_of_its_streams(make):
    result = make(stages=1, microbatches=4, data=1)
    (use,) = rank_uses(result)
    forward_ns = 4_000_003
    step_ns = 4 * 3 * forward_ns + 2_500_000 + 900_000
    tensor_ns = 4 * (forward_ns // 7 + 2 * forward_ns // 7)  # inside the contracted passes, nothing computes beside it
    assert use.compute == pytest.approx(1 - (2_500_000 + tensor_ns) / step_ns, abs=1e-12)
    assert use.busy == pytest.approx(1)
    bars = utilization_figure(result).data
    assert sum(bar.x[0] for bar in bars) == pytest.approx(100)

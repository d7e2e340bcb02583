"""Memory over time in pages and traces: what the curve holds is what is drawn and counted."""

import html
from dataclasses import replace

import numpy as np
import pytest
from trace_checker import read

from simulator.memory.walk import KINDS
from simulator.report import format
from simulator.report.html import report_html
from simulator.report.memory_time import SHARES, memory_heat_figure, memory_time_figure
from simulator.report.sections import _reserve_words
from simulator.report.trace import write_trace
from simulator.scenario.loader import scenario_from
from simulator.simulation import simulate
from simulator.units import GIB

PIPELINE = {
    "schema_version": 1, "name": "pipeline",
    "model": {"trunk": {"block": "gpt", "layers": 8, "hidden": 2048, "heads": 16, "vocab": 32000, "seq": 2048}},
    "cluster": {"preset": "dgx_a100", "nodes": 1},
    "plan": {"pipeline": 4, "data": 2, "microbatch": 2, "global_batch": 32},
}  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return simulate(scenario_from(PIPELINE))


def test_areas_are_as_high_as_the_rank_is_full(result):
    figure = memory_time_figure(result)
    fullest = result.memory.tightest
    heights = np.sum([area.y for area in figure.data], axis=0)
    assert heights.max() == pytest.approx(fullest.peak / GIB) and len(heights) == SHARES + 1
    (limit,) = {shape.y0 for shape in figure.layout.shapes}
    assert limit == pytest.approx(fullest.limit / GIB)
    assert [area.name for area in figure.data] == [
        "parameters",
        "gradients",
        "optimizer state",
        "activations",
        "buffers",
    ]
    assert any(f"in {fullest.action}" in note.text for note in figure.layout.annotations)


def test_the_heat_map_has_a_row_for_each_rank_and_its_peak_in_it(result):
    (heat,) = memory_heat_figure(result).data
    peaks = [round(100 * own.peak / own.limit, 1) for own in result.memory.per_rank]
    assert np.array(heat.z).max(axis=1).tolist() == pytest.approx(peaks)
    assert len(peaks) == 4


def test_the_page_shows_both_and_says_when(result):
    page = report_html(result)
    assert "r0-memory-time" in page and "r0-memory-heat" in page
    assert f"Rank {result.memory.tightest.rank}, fullest during {result.memory.tightest.action}, from " in page


def test_what_the_allocator_keeps_is_said_and_that_it_may_be_too_much(result):
    more = result.memory_reserve(result.memory.tightest.rank)["allocator"]
    assert f"would keep {format.bytes_text(more)} more in gaps and rounding" in html.unescape(report_html(result))
    fullest = result.memory.tightest
    tight = replace(fullest, limit=fullest.peak + more // 2)
    assert "is more than is left" in _reserve_words({"allocator": more}, tight)
    assert "is more than is left" not in _reserve_words({"allocator": more}, fullest)
    assert _reserve_words({"allocator": 0}, tight) == ""


def test_a_result_that_knows_only_its_peak_has_no_curve(made_result):
    assert "memory-time" not in report_html(made_result)


def test_the_trace_counts_every_kind_of_every_rank(result, tmp_path):
    write_trace(result, tmp_path / "t.json")
    counters = [event for event in read(tmp_path / "t.json")["traceEvents"] if event["ph"] == "C"]
    for own in result.memory.per_rank:
        mine = [event for event in counters if event["pid"] == own.rank + 1]
        assert {tuple(event["args"]) for event in mine} == {KINDS}
        assert max(sum(event["args"].values()) for event in mine) == own.peak
        assert [round(event["ts"] * 1000) for event in mine] == result.memory_curve(own.rank).time_ns.tolist()

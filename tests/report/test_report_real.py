"""Reports of real predictions: what the simulator says is what the page, the table and the trace say."""

from __future__ import annotations

import pytest
from trace_checker import check_trace, read

from simulator.report import format
from simulator.report.html import report_html, write_report
from simulator.report.tables import as_text, simulation_table
from simulator.report.trace import write_trace
from simulator.scenario.loader import scenario_from
from simulator.simulation import simulate

GPT3 = {
    "schema_version": 1, "name": "gpt3", "model": {"preset": "gpt3_175b"},
    "cluster": {"preset": "dgx_a100", "nodes": 8},
    "plan": {"tensor": 8, "pipeline": 8, "sequence_parallel": True, "microbatch": 1, "global_batch": 32,
             "recompute": "selective"},
}  # fmt: skip
HSTU = {
    "schema_version": 1, "name": "hstu", "model": {"preset": "hstu_nv_ranking"},
    "cluster": {"preset": "dgx_h100", "nodes": 1}, "plan": {"microbatch": 8, "global_batch": 128},
}  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return [simulate(scenario_from(GPT3), samples=3), simulate(scenario_from(HSTU))]


def test_page_and_table_say_what_the_result_says(results):
    for result in results:
        numbers = result.to_dict()
        page, table = report_html(result), as_text(simulation_table(result))
        for text in (format.duration(numbers["step_time_s"]), format.percent(numbers["mfu"])):
            assert text in page and text in table
        assert numbers["run_id"] in page and numbers["timeline_digest"] in page
        assert max(map(len, table.splitlines())) <= 80
        assert len(page.encode()) < 8 * 2**20


def test_the_interval_comes_from_the_samples(results):
    gpt3, hstu = results
    low, high = (format.duration(gpt3.to_dict()[key]) for key in ("step_time_s_p5", "step_time_s_p95"))
    assert f"(90 % interval {low} to {high}, 3 samples)" in report_html(gpt3)
    assert "90 % interval" not in report_html(hstu)


def test_the_trace_is_whole(results, tmp_path):
    for result in results:
        path = tmp_path / f"{result.name}.json.gz"
        write_trace(result, path)
        trace = read(path)
        check_trace(trace)
        slices = [event for event in trace["traceEvents"] if event["ph"] == "X" and "part_ns" not in event["args"]]
        assert len(slices) == len(result.timeline)
        ends = max(round((event["ts"] + event["dur"]) * 1000) for event in slices)
        assert ends == result.timeline.step_ns
        sends = [event["args"]["bytes"] for event in slices if event["name"].startswith("send ")]
        assert bool(sends) == (result.scenario.plan.pipeline > 1)
        flows = sum(event["ph"] == "s" and event["name"] == "transfer" for event in trace["traceEvents"])
        assert flows == len(sends)


def test_two_simulations_of_one_scenario_give_the_same_files(results, tmp_path):
    again = simulate(scenario_from(HSTU))
    for name, result in (("a", results[1]), ("b", again)):
        write_report(result, tmp_path / f"{name}.html")
        write_trace(result, tmp_path / f"{name}.json.gz")
    for ending in ("html", "json.gz"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_what_does_not_fit_is_told_with_its_reason():
    plan = GPT3["plan"] | {"pipeline": 2, "data": 4, "recompute": "none"}
    result = simulate(scenario_from(GPT3 | {"plan": plan}))
    assert not result.feasible
    start = " ".join(result.reason.split()[:6])
    assert start in " ".join(as_text(simulation_table(result)).split())
    assert f"It does not fit: {start}" in report_html(result)

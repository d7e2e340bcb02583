"""Prediction beside run: errors are zero where both took the same, and no error hides behind another."""

import json

import pytest
from replays import replay, scenario

from simulator import simulate
from simulator.comparison import Comparison, DifferentPrograms, decided_tau, predict
from simulator.report.comparison_blocks import comparison_blocks
from simulator.report.comparison_tables import comparison_table, found_sentence, plan_rows
from simulator.report.comparison_trace import overlaid_events, write_comparison_trace
from simulator.report.html import report_html
from simulator.report.tables import as_text


@pytest.fixture(scope="module")
def result():
    return simulate(scenario("data two", data=2, bucket_mib=1))


def test_a_run_that_took_what_was_predicted_has_no_error(result):
    same = Comparison(result, replay(result))
    assert same.error_percent == 0
    assert same.mad_s == 0
    for row in same.actions:
        assert row.error_percent == pytest.approx(0, abs=1e-3), row
    numbers = same.to_dict()
    assert numbers["within_interval"]
    assert numbers["predicted_s"] == numbers["measured_s"] == result.step_time_s
    json.dumps(numbers, allow_nan=False)


def test_a_run_twice_as_slow_is_half_predicted(result):
    slow = Comparison(result, replay(result, (2.0,)))
    assert slow.error_percent == pytest.approx(-50, abs=1e-3)
    assert not slow.to_dict()["within_interval"]
    for row in slow.actions:
        assert row.error_percent == pytest.approx(-50, abs=0.1), row


def test_the_report_begins_with_both_medians_and_the_error(result):
    slow = Comparison(result, replay(result, (2.0,)))
    sentence = found_sentence(slow)
    assert "an error of -50.0 %, outside the predicted 90 % interval" in sentence
    page = report_html(slow.result, notes=[sentence], blocks=comparison_blocks([slow]))
    assert page.index(sentence) < page.index("Predicted and measured") < page.index('<h2 class="result">')


def test_shares_of_the_rows_in_the_step_sum_to_its_error(result):
    one = Comparison(result, replay(result, (1.3,)))
    assert sum(row.share_percent for row in one.actions if row.in_step) == pytest.approx(one.error_percent, abs=1e-3)


def test_the_median_step_and_its_spread(result):
    one = Comparison(result, replay(result, (1.0, 3.0, 1.2, 1.1, 0.9)))
    step = result.step_time_s
    assert one.measured_s == pytest.approx(1.1 * step, rel=1e-6)
    assert one.mad_s == pytest.approx(0.1 * step, rel=1e-4)
    numbers = one.to_dict()
    assert (numbers["measured_s_p5"], numbers["measured_s_p95"]) == pytest.approx((0.9 * step, 3 * step), rel=1e-6)
    assert numbers["steps"] == 5
    assert numbers["lost_core_s"] == pytest.approx(1.1e-6)


def test_another_program_is_refused(result):
    other = simulate(scenario("data two", data=2))
    with pytest.raises(DifferentPrograms, match="is not the one that ran"):
        Comparison(result, replay(other))


def test_samples_give_each_row_its_own_median():
    found, times = predict(scenario("sampled", data=2), 5)
    assert len(times) == len(found.samples_ns) == 5
    one = Comparison(found, replay(found), times)
    forward = next(row for row in one.actions if row.action == "forward")
    assert forward.predicted_s == pytest.approx(sorted(table["forward"] for table in times)[2] * 1e-9)


class Made:
    def __init__(self, predicted, measured, mad):
        self.predicted_s, self.measured_s, self.mad_s = predicted, measured, mad


def test_plans_within_their_spreads_rank_nothing():
    close = [Made(1.0, 2.0, 0.3), Made(2.0, 2.5, 0.2)]
    assert decided_tau(close) == (None, 0)
    assert decided_tau([Made(1.0, 2.0, 0.3), Made(2.0, 2.51, 0.2)]) == (1.0, 1)
    assert decided_tau([Made(2.0, 2.0, 0.3), Made(1.0, 2.51, 0.2)]) == (-1.0, 1)


def test_tau_counts_only_decided_pairs():
    plans = [Made(1, 1, 0.1), Made(2, 2, 0.1), Made(4, 3, 0.1), Made(3, 4, 0.1), Made(9, 4.05, 0.1)]
    tau, pairs = decided_tau(plans)
    assert pairs == 9  # of ten: 4 and 4.05 are one
    assert tau == pytest.approx((8 - 1) / 9)


def test_the_table_says_what_is_compared(result):
    text = as_text(comparison_table(Comparison(result, replay(result, (1.25,)))))
    assert "error     -20.0 %, outside the predicted interval" in text
    assert "(gradient reduce)" in text and "forward" in text


def test_the_report_holds_both_medians_and_every_plan(result):
    pair = [Comparison(result, replay(result, (factor,))) for factor in (1.0, 2.0)]
    rows = plan_rows(pair)
    assert [row["error"] for row in rows] == ["+0.0 %", "-50.0 %"]
    blocks = comparison_blocks(pair)
    assert [block.title for block in blocks] == [
        "Predicted and measured", "Error by kind of action: data two (1)", "Error by kind of action: data two (2)",
    ]  # fmt: skip
    predicted, measured = blocks[0].figure.data
    assert measured.x[1] == pytest.approx(2 * predicted.x[1], rel=1e-4)
    page = report_html([one.result for one in pair], blocks=blocks)
    assert "Predicted and measured" in page and "(gradient reduce)" in page


def test_the_trace_shows_both_steps_side_by_side(result, tmp_path):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
    from trace_checker import check_trace, read

    one = Comparison(result, replay(result, (1.5,)))
    path = tmp_path / "t.json.gz"
    write_comparison_trace(one, path)
    trace = read(path)
    slices = check_trace(trace)
    names = {event["pid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"}
    assert {name.rsplit(" | ", 1)[1] for pid, name in names.items() if pid % 2} == {"simulated"}
    assert {name.rsplit(" | ", 1)[1] for pid, name in names.items() if not pid % 2} == {"measured"}
    flows = [event["id"] for event in trace["traceEvents"] if event["ph"] == "s"]
    assert len(set(flows)) == len(flows), "arrows of the two steps would join"
    threads = {(event["pid"], event["tid"]) for event in trace["traceEvents"] if event["ph"] == "X"}
    assert len({thread for _, thread in threads}) == len(threads), "thread ids are unique over the file"
    ends = [max(end for key, spans in slices.items() for _, end in spans if key[0] % 2 == odd) for odd in (1, 0)]
    assert ends[1] == pytest.approx(1.5 * ends[0], rel=1e-5)
    assert list(overlaid_events(one)) == list(overlaid_events(one))

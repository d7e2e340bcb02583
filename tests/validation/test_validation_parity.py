"""The page of `rehearse validate --report`: every predicted row once, open marks for rows that were fitted to."""

import re

import pytest

from simulator.errors import NotSupportedYet, ScenarioError
from simulator.report import parity
from simulator.report.html import report_html
from simulator.report.parity import answer, error_figure, parity_figure, terms_figure, validation_blocks
from simulator.validation import load_cases
from simulator.validation.compare_rows import predict_case
from simulator.validation.report import ValidationReport, summarise
from simulator.validation.statistics import best_scale

SOURCES = ("sc21_table1", "korthikanti_table5", "dgxc_h100")


class Answer:
    """A simulator that is 10 % too slow, all of it in the bubble, and has no tensor overlap."""

    feasible = True

    def __init__(self, scenario, measured):
        if scenario["plan"]["overlap"].get("tensor"):
            raise NotSupportedYet("tensor overlap is not supported yet", key="plan.overlap.tensor")
        self.step_time_s = 1.1 * measured
        self.breakdown = {"compute": round(0.8e9 * measured), "bubble": round(0.3e9 * measured)}


@pytest.fixture(scope="module")
def report():
    rows = {
        source: [predict_case(case, lambda found, case=case: Answer(found, case.measured_s)) for case in
                 load_cases(source)]
        for source in SOURCES
    }  # fmt: skip
    return ValidationReport(
        tuple(row for found in rows.values() for row in found), tuple(summarise(*pair) for pair in rows.items())
    )


def test_a_term_that_makes_the_error_is_the_one_whose_scaling_removes_it(report):
    """0.3 of bubble where 0.2 was true: two thirds of it leave nothing; compute would have to take 7/8."""
    terms = report.sources[0].residuals_by_term
    assert terms["bubble"]["scale"] == pytest.approx(2 / 3)
    assert terms["bubble"]["mean_absolute_error_percent"] == pytest.approx(0, abs=1e-6)
    assert terms["compute"]["scale"] == pytest.approx(7 / 8)
    assert best_scale([10.0, -10.0], [5.0, 5.0]) == 1.0, "errors that cancel tell nothing of a constant term"
    assert best_scale([10.0], [0.0]) is None


def test_every_predicted_row_is_drawn_once_in_both_figures(report):
    predicted = [row for row in report.rows if row.predicted_s is not None]
    for figure in (parity_figure(report), error_figure(report)):
        marks = [trace for trace in figure.data if trace.mode == "markers"]
        assert sum(len(trace.x) for trace in marks) == len(predicted) == 8 + 6 + 5
    assert parity_figure(report).layout.xaxis.type == parity_figure(report).layout.yaxis.type == "log"


def test_rows_that_constants_were_fitted_to_are_open_and_stand_ins_are_crosses(report):
    marks = {trace.name: trace.marker.symbol for trace in parity_figure(report).data if trace.mode == "markers"}
    open_marks = [symbol.endswith("-open") for symbol in marks["sc21_table1"]]
    assert open_marks == sorted(row.fitted for row in report.rows if row.source == "sc21_table1")
    assert sum(open_marks) == 1, "drawn last: the legend shows the first mark, which is of a row that checks"
    assert set(marks["dgxc_h100"]) == {"x-thin-open"}


def test_no_two_of_the_sources_look_alike():
    looks = [parity.mark_look(place) for place in range(len(parity.COLOURS) * len(parity.SYMBOLS))]
    assert len(set(looks)) == len(looks) == 81


def test_every_source_of_fit_rows_is_named_once():
    rows = ("mosaic_a100: 7b on 8", "sc21_table1: 530B", "mosaic_a100: 350m on 8")
    assert parity.rows_by_source(rows) == "mosaic_a100: 7b on 8, 350m on 8; sc21_table1: 530B"


def test_a_bar_of_terms_ends_at_100_plus_bias(report):
    source = report.sources[0]
    figure = terms_figure([source], ["compute", "bubble"])
    assert sum(bar.x[0] for bar in figure.data) == pytest.approx(100 + source.bias_percent) == pytest.approx(110)


def test_the_page_answers_first_and_lists_every_row(report):
    assert answer(report).startswith("12 published times that the costs were not fitted to are off by 10.0 %")
    page = report_html((), title="Validation", notes=(answer(report),), blocks=validation_blocks(report))
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert text.index("off by 10.0 %") < text.index("Predicted against measured")
    for row in report.rows:
        if row.predicted_s is not None:
            assert row.name in text
    for words in ("+10.0", "x 0.67: 0.0 %", "April 2021", "(fitted to)"):
        assert words in text


def test_a_page_without_results_needs_blocks_and_a_title():
    with pytest.raises(ValueError, match="at least one result, or blocks and a title"):
        report_html(())


def test_the_command_writes_the_page(tmp_path, capsys):
    from simulator.cli.validate import validate as command

    page = tmp_path / "validation.html"
    command(source="korthikanti_table4", report=str(page))
    assert "korthikanti_table4" in capsys.readouterr().out
    assert "No row that the costs do not know is predicted." in page.read_text(encoding="utf-8")
    with pytest.raises(ScenarioError, match="there is no folder"):
        command(source="korthikanti_table4", report=str(tmp_path / "none" / "validation.html"))

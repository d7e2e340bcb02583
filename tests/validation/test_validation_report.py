"""The report over a simulator that answers what the test tells it to."""

import io
import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from simulator.errors import NotSupportedYet
from simulator.validation import SOURCES, load_cases, validate
from simulator.validation.compare_rows import action_seconds, predict_case
from simulator.validation.tables import print_report


@dataclass
class FakeResult:
    step_time_s: float
    breakdown: dict = field(default_factory=dict)
    feasible: bool = True


def answer(factors):
    """A simulator that is off by a known factor on each row, and refuses tensor overlap."""
    measured = {}
    for source in ("korthikanti_table5", "dgxc_h100", "sc21_table1"):
        for case in load_cases(source):
            measured[case.name] = case.measured_s

    def simulate(scenario):
        if scenario["plan"]["overlap"].get("tensor"):
            raise NotSupportedYet("tensor overlap is not supported yet; use false", key="plan.overlap.tensor")
        step = measured[scenario["name"]] * factors.get(scenario["name"], 1.0)
        return FakeResult(step, {"compute": round(0.75e9 * step), "bubble": round(0.25e9 * step)})

    return simulate


def test_a_sources_figures_by_hand():
    """Errors +10, -20, 0, 0, 0 on the rows that check: mean absolute 6, bias -2, worst 20; pairs keep their order.
    The sixth row, 10 % slow, set a constant and is shown apart."""
    factors = {"22B full recompute": 1.1, "22B present work": 0.8, "530B present work": 1.1}
    report = validate("korthikanti_table5", simulate=answer(factors))
    (source,) = report.sources
    assert (source.rows, source.fit_rows) == (5, 1)
    assert source.fit_mean_absolute_error_percent == pytest.approx(10.0)
    assert source.mean_absolute_error_percent == pytest.approx(6.0)
    assert source.bias_percent == pytest.approx(-2)
    assert source.max_absolute_error_percent == pytest.approx(20.0)
    assert source.kendall_tau == 1.0
    assert sum(source.terms_percent.values()) == pytest.approx(100 + source.bias_percent)
    assert source.terms_percent["bubble"] == pytest.approx(0.25 * 98)


def test_a_swapped_pair_shows_in_tau():
    report = validate("korthikanti_table5", simulate=answer({"22B full recompute": 0.5}))
    assert report.sources[0].kendall_tau == 0.0, "of two pairs one is swapped"


def test_rows_that_are_not_built_are_listed_and_stand_ins_do_not_count():
    """GPT-3 rows are refused as measured and answered without tensor overlap; neither enters the means."""
    report = validate("dgxc_h100", simulate=answer({}))
    (source,) = report.sources
    assert (source.rows, source.not_built, source.stand_ins) == (0, 31, 5)
    assert source.mean_absolute_error_percent is None and source.kendall_tau is None
    assert source.stand_in_mean_absolute_error_percent == 0.0
    missing = [row for row in report.rows if row.predicted_s is None]
    assert all("not supported yet" in row.reason for row in missing)
    assert all(not row.counts for row in report.rows)


def test_the_report_is_json_and_a_table():
    report = validate("dgxc_h100", simulate=answer({"GPT3-175B on 128 H100": 1.25}))
    printed = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert printed["sources"][0]["not_built"] == 31
    assert printed["rows"][1]["error_percent"] == pytest.approx(25.0)
    assert printed["rows"][0]["error_percent"] is None
    text = io.StringIO()
    print_report(report, Console(file=text, width=160))
    for words in (
        "GPT3-175B on 128 H100",
        "no cost was fitted to",
        "straggler_per_doubling",
        "h100_sxm5_80gb, llm_foundry",
        "+25.0",
        "not supported yet",
        "without tensor overlap",
        "not in the means",
    ):
        assert words in text.getvalue()


def test_progress_counts_every_row():
    seen = []
    validate("sc21_table1", simulate=answer({}), on_row=lambda row, done, of: seen.append((row.name, done, of)))
    assert [(done, of) for _, done, of in seen] == [(done, 8) for done in range(1, 9)]


def timeline(forward_ns, backward_ns):
    """A forward, a backward in two segments and an optimizer, one after another."""
    end_ns = np.cumsum([forward_ns, backward_ns, backward_ns, 999])
    return SimpleNamespace(
        actions=("0F0", "0B0.0", "0B0.1 after tied", "optimizer"),
        action=np.arange(4),
        start_ns=end_ns - [forward_ns, backward_ns, backward_ns, 999],
        end_ns=end_ns,
    )


def test_a_layer_is_two_layers_less_one():
    """Forward 3 ms with one layer and 10 ms with two: the layer takes 7 ms."""
    case = next(case for case in load_cases("korthikanti_table4") if case.quantity == "layer_forward")

    def simulate(scenario):
        layers = scenario["model"]["trunk"]["layers"]
        return SimpleNamespace(timeline=timeline({1: 3_000_000, 2: 10_000_000}[layers], 5_000_000))

    assert predict_case(case, simulate).predicted_s == pytest.approx(7e-3)
    assert action_seconds(timeline(3, 5), "B") == pytest.approx(10e-9), "segments count from first to last"


def test_every_source_has_a_module():
    assert len(SOURCES) == len(set(SOURCES)) == 20

"""Pipelines against their closed forms and against published bubble rates."""

import csv
from itertools import dropwhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import pipeline_step
from simulator.errors import ScenarioError

ZERO_BUBBLE = Path(__file__).parent / "data" / "pipeline_zero_bubble.csv"


def published(schedule):
    lines = dropwhile(lambda line: line.startswith("#"), ZERO_BUBBLE.read_text().splitlines())
    return [row for row in csv.DictReader(lines) if row["schedule"] == schedule]


def predicted(name, row, virtual_stages=1):
    times = (float(row[key]) for key in ("T_F_ms", "T_B_ms", "T_W_ms", "T_comm_ms"))
    return pipeline_step(name, int(row["p"]), int(row["m"]), *times, virtual_stages).bubble_rate


@given(
    st.sampled_from(["gpipe", "1f1b"]), st.integers(1, 8), st.integers(1, 24),
    st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6),
)  # fmt: skip
def test_gpipe_and_1f1b_take_m_plus_p_minus_1_rounds_exactly(name, stages, microbatches, forward, inputs, weights):
    """(m + p - 1)(f + b), Huang et al. 2019; 1F1B trades memory, not time (Narayanan et al. 2021)."""
    step = pipeline_step(name, stages, microbatches, forward, inputs, weights, 0)
    assert step.total == (microbatches + stages - 1) * (forward + inputs + weights)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 1000), st.integers(1, 1000))
def test_interleaving_divides_the_bubble_by_the_chunks(stages, groups, chunks, forward, backward):
    """Bubble (p-1)(f+b)/v, Narayanan et al. 2021 section 2.2."""
    f, b = forward * chunks, backward * chunks
    step = pipeline_step("interleaved_1f1b", stages, stages * groups, f, b, 0, 0, chunks)
    assert step.total == stages * groups * (f + b) + (stages - 1) * (f + b) // chunks


@pytest.mark.parametrize("row", published("1F1B"), ids=lambda row: f"{row['model']}-m{row['m']}")
def test_1f1b_has_the_published_bubble_rate(row):
    assert predicted("1f1b", row) == pytest.approx(float(row["bubble_rate_calc"]), abs=1e-4)


@pytest.mark.parametrize("row", published("1F1B-I"), ids=lambda row: f"{row['model']}-m{row['m']}")
def test_interleaved_1f1b_is_near_the_published_bubble_rate(row):
    """Three chunks; the paper interleaves as far as its layers allow, which it does not state for each row."""
    assert predicted("interleaved_1f1b", row, 3) <= float(row["bubble_rate_calc"]) + 0.005


def test_a_latency_delays_each_edge_it_is_on():
    """One microbatch, p stages: p forwards and p backwards, and 2(p-1) edges."""
    assert pipeline_step("1f1b", 4, 1, 10, 20, 0, 3).total == 4 * 30 + 6 * 3


def test_the_slowest_stage_sets_the_pace():
    step = pipeline_step("gpipe", 3, 100, [10, 30, 10], [10, 30, 10], [0, 0, 0], 0)
    assert step.total == 100 * 60 + 2 * 20


def test_fractions_and_integers_agree():
    whole = pipeline_step("1f1b", 5, 9, 18522, 18086, 9337, 601)
    parts = pipeline_step("1f1b", 5, 9, 18.522, 18.086, 9.337, 0.601)
    assert parts.bubble_rate == pytest.approx(whole.bubble_rate, rel=1e-9)
    assert parts.total == pytest.approx(whole.total / 1000, rel=1e-9)


def test_bad_times_are_refused():
    with pytest.raises(ScenarioError, match="forward needs one time of at least 0, or 4 of them"):
        pipeline_step("1f1b", 4, 8, [1, 2], 1, 1, 0)

"""Pipelines against their closed forms and against published bubble rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import pipeline_step
from simulator.errors import ScenarioError
from simulator.program.pipeline import SCHEDULES
from simulator.validation.cases import read_rows


def published(schedule):
    return [row for row in read_rows("zero_bubble.csv") if row["schedule"] == schedule]


def step_of(name, row, virtual_stages=1):
    times = (float(row[key]) for key in ("T_F_ms", "T_B_ms", "T_W_ms", "T_comm_ms"))
    return pipeline_step(name, int(row["p"]), int(row["m"]), *times, virtual_stages)


def predicted(name, row, virtual_stages=1):
    return step_of(name, row, virtual_stages).bubble_rate


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


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 6), st.integers(1, 20), st.integers(2, 4),
       st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))  # fmt: skip
def test_any_schedule_runs_any_number_of_microbatches(
    name, stages, microbatches, chunks, forward, inputs, weights, comm
):
    """It ends, not before the longest chain of one microbatch nor before a rank has done its work."""
    chunks = SCHEDULES[name].chunks or chunks
    times = [chunks * time for time in (forward, inputs, weights)]
    step = pipeline_step(name, stages, microbatches, *times, comm, chunks)
    edges = sum(SCHEDULES[name].holder(s, stages) != SCHEDULES[name].holder(s + 1, stages)
                for s in range(stages * chunks - 1))  # fmt: skip
    last = inputs if SCHEDULES[name].splits else inputs + weights
    assert step.total >= stages * chunks * (forward + last) + 2 * edges * comm
    assert step.total >= step.span >= microbatches * sum(times)


@pytest.mark.parametrize("row", published("1F1B"), ids=lambda row: f"{row['model']}-m{row['m']}")
def test_1f1b_has_the_published_bubble_rate(row):
    assert predicted("1f1b", row) == pytest.approx(float(row["bubble_rate_calc"]), abs=1e-4)


@pytest.mark.parametrize("row", published("1F1B-I"), ids=lambda row: f"{row['model']}-m{row['m']}")
def test_interleaved_1f1b_is_near_the_published_bubble_rate(row):
    """Three chunks; the paper interleaves as far as its layers allow, which it does not state for each row."""
    assert predicted("interleaved_1f1b", row, 3) <= float(row["bubble_rate_calc"]) + 0.005


@pytest.mark.parametrize("name, row", [
    (name, row) for name, label in (("zb_h1", "ZB-H1"), ("zb_h2", "ZB-H2")) for row in published(label)
], ids=lambda value: value if isinstance(value, str) else f"{value['model']}-m{value['m']}")  # fmt: skip
def test_zero_bubble_schedules_have_the_published_bubble_rate(name, row):
    """The paper's own hand-made schedules, to the digits it prints."""
    assert predicted(name, row) == pytest.approx(float(row["bubble_rate_calc"]), abs=1e-4)


@given(st.integers(1, 8), st.integers(0, 20), st.integers(1, 1000))
def test_zero_bubble_where_all_three_passes_take_the_same_time(stages, more, time):
    """The published comparison at F = I = W: (p-1)/3m of the work for H1, as a share of it; none for H2 and ZB-V."""
    microbatches = 2 * stages - 1 + more
    work = 3 * microbatches * time
    h1, h2 = (pipeline_step(name, stages, microbatches, time, time, time, 0) for name in ("zb_h1", "zb_h2"))
    assert h1.span == work + (stages - 1) * time
    assert h2.span == work and h2.bubble_rate == 0
    v = pipeline_step("zb_v", stages, microbatches, 2 * time, 2 * time, 2 * time, 0, 2)
    assert v.span == 2 * work and v.bubble_rate == 0


@given(st.integers(1, 8), st.integers(0, 20), st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 1000))
def test_bubbles_of_h1_and_h2(stages, more, forward, inputs, weights):
    """(p-1)(F + I - W) and (p-1)(F + I - 2W), section 2.3, as long as W fits into the gaps that it is to fill."""
    forward, inputs = forward + weights, inputs + weights
    microbatches = 2 * stages - 1 + more
    work = microbatches * (forward + inputs + weights)
    for name, filled in (("zb_h1", 1), ("zb_h2", 2)):
        step = pipeline_step(name, stages, microbatches, forward, inputs, weights, 0)
        assert step.span == work + (stages - 1) * (forward + inputs - filled * weights)


@pytest.mark.parametrize("row", published("ZB-1p"), ids=lambda row: f"{row['model']}-m{row['m']}")
def test_zb_v_lies_between_1f1bs_memory_and_twice_of_it(row):
    """At the memory of ZB-1p (1F1B's) less than half of its bubbles, more than ZB-2p has, which was searched for these
    very times with twice the memory. No rate is published for ZB-V at these times, in which W is shorter than F and I.
    """
    rate = predicted("zb_v", row, 2)
    twice = next(other for other in published("ZB-2p") if other["m"] == row["m"] and other["p"] == row["p"])
    print(f"zb_v {rate:.4f}, ZB-1p {row['bubble_rate_calc']}, ZB-2p {twice['bubble_rate_calc']}")
    assert float(twice["bubble_rate_calc"]) < rate < 0.5 * float(row["bubble_rate_calc"])


MEASURED = [(name, label, chunks) for name, label, chunks in (
    ("1f1b", "1F1B", 1), ("interleaved_1f1b", "1F1B-I", 3), ("zb_h1", "ZB-1p", 1), ("zb_h2", "ZB-2p", 1)
)]  # fmt: skip


@pytest.mark.parametrize("name, row, chunks", [
    (name, row, chunks) for name, label, chunks in MEASURED for row in published(label)
], ids=lambda value: f"{value['model']}-m{value['m']}" if isinstance(value, dict) else str(value))  # fmt: skip
def test_measured_throughput_of_1f1b(name, row, chunks):
    """Samples per GPU and second from the profiled times alone: no optimizer, no loss of pace. 1F1B within 10 %; the
    others (the paper's searched schedules by our hand-made ones) are printed."""
    samples = int(row["m"]) * int(row["micro_batch_b"])
    rate = samples / (step_of(name, row, chunks).total * 1e-3) / int(row["p"])
    off = rate / float(row["samples_per_gpu_per_s"]) - 1
    print(f"{row['model']} m{row['m']} {row['schedule']} by {name}: {rate:.2f} samples/GPU/s, {off:+.1%}")
    if name == "1f1b":
        assert abs(off) < 0.1


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

"""Runs that take turns: never two at a time, what is measured between them meets nobody, and a failure is told."""

import time

import pytest

pytest.importorskip("torch")

from simulator import scenario_from
from simulator.executor.batches import synthetic
from simulator.executor.launcher import ExecutionFailed
from studies.predict_then_run import turns

STEPS, WARMUP = 5, 1


def small(name: str, **plan):
    trunk = {"block": "sasrec", "layers": 2, "hidden": 16, "heads": 2, "seq": 8}
    model = {"trunk": trunk, "tables": [{"name": "item", "rows": 53, "dim": 16}],
             "head": {"kind": "full_softmax", "table": "item"}}  # fmt: skip
    return scenario_from(
        {"schema_version": 1, "name": name, "model": model, "dtype": "fp32",
         "cluster": {"preset": "cpu_host", "gpus_per_node": 2}, "plan": {"microbatch": 1, "global_batch": 4, **plan}}
    )  # fmt: skip


def fails_in_its_second_turn(scenario, step, data_rank):
    if step == 2:
        raise ValueError("no items")
    return synthetic(scenario, step, data_rank)


@pytest.fixture
def turns_of_two_steps(monkeypatch):
    monkeypatch.setattr(turns, "TURN_STEPS", 2)


def test_plans_run_in_turns_and_nothing_else_between(tmp_path, turns_of_two_steps):
    scenarios, pauses = [small("replicas", data=2), small("stages", pipeline=2)], []

    def between():
        began = time.monotonic_ns()
        time.sleep(0.02)
        pauses.append((began, time.monotonic_ns()))

    executions = turns.run_in_turns(scenarios, tmp_path, synthetic, between, steps=STEPS, warmup=WARMUP)
    assert [one.name for one in executions] == ["replicas", "stages"]
    assert [len(one.samples_ns) for one in executions] == [STEPS, STEPS]
    steps = [
        (begin, max(span.end_ns for span in spans), name)
        for one, name in zip(executions, "RS", strict=True)
        for record in one.records
        for begin, spans in zip(record.begin_ns, record.spans, strict=True)
    ]
    for begin, end, _ in steps:
        assert all(end <= first or last <= begin for first, last in pauses)
    order = "".join(name for _, _, name in sorted(steps))
    # two ranks each; the first turn's first step is warm-up
    assert order == "RR" + "SS" + "RRRR" + "SSSS" + "RRRR" + "SSSS"
    assert len(pauses) == 3 * 2 + 1


def test_a_run_that_fails_between_turns_is_told(tmp_path, turns_of_two_steps):
    with pytest.raises(ExecutionFailed, match=r"rank [01] failed \(ValueError: no items\)"):
        turns.run_in_turns(
            [small("replicas", data=2)], tmp_path, fails_in_its_second_turn, lambda: None, steps=STEPS, warmup=WARMUP
        )

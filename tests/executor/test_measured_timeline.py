"""A measured run is a timeline like a simulated one: the same actions, and the laws of time hold."""

from __future__ import annotations

import numpy as np
import pytest
from measured_runs import runs
from plans import PLANS

from simulator import kinds
from simulator.engine.checks import check_timeline
from simulator.errors import BrokenLaw
from simulator.executor.execution import Execution
from simulator.metrics import breakdown_ns

TOLERANCE_NS = 2_000_000_000
"""More processes than cores: a member may see the end of a meeting a few scheduler slices late."""


def execution(ranks: int, number: int) -> Execution:
    job, records = runs(ranks)[number]
    return Execution(job.scenario, job.program, job.backend, job.warmup, tuple(records))


@pytest.mark.parametrize("ranks", PLANS)
def test_laws_of_time_hold(ranks):
    for number in range(len(PLANS[ranks])):
        run = execution(ranks, number)
        for step in range(len(run.samples_ns)):
            timeline = run.timeline_of(step)
            check_timeline(run.graph, timeline, tolerance_ns=TOLERANCE_NS)
            ready, start = timeline.ready_ns, timeline.start_ns
            assert (start >= np.minimum(ready, timeline.end_ns)).all()
            lanes = timeline.stream[1:] == timeline.stream[:-1]
            assert (start[1:] >= timeline.end_ns[:-1])[lanes].all(), "a stream runs one action at a time"


def test_a_crossed_measurement_is_found():
    run = execution(2, 0)
    timeline = run.timeline_of(0)
    timeline.ready_ns[0] = timeline.end_ns[0] + 2 * TOLERANCE_NS
    with pytest.raises(BrokenLaw):
        check_timeline(run.graph, timeline, tolerance_ns=TOLERANCE_NS)


def test_measured_actions_are_those_of_the_program():
    run = execution(8, 0)
    timeline = run.timeline
    assert timeline.source == "measured"
    assert timeline.program_digest == run.program.digest()
    launched = [
        (own.rank, launch.stream, launch.action._replace(after=()).text)
        for own in run.program.unfolded().ranks
        for launch in own.launches
    ]
    found = [
        (timeline.streams[stream].rank, timeline.streams[stream].name, timeline.actions[action])
        for stream, action in zip(timeline.stream, timeline.action, strict=True)
    ]
    assert found == launched


def test_parts_of_an_action_sum_to_it_and_name_its_collectives():
    run = execution(8, 0)
    timeline = run.timeline
    lengths = np.diff(timeline.part_first)
    assert lengths.max() > 1
    for op in np.flatnonzero(lengths).tolist():
        parts = timeline.part_ns[timeline.part_first[op] : timeline.part_first[op + 1]]
        assert parts.sum() == timeline.end_ns[op] - timeline.start_ns[op]
    assert kinds.CODE[kinds.TENSOR] in timeline.part_kind
    labels = breakdown_ns(timeline)
    assert sum(labels.values()) == timeline.step_ns
    assert labels[kinds.TENSOR] > 0


@pytest.mark.parametrize("kind", ["ring", "all_to_all"])
def test_what_a_context_group_sends_is_named(kind):
    run = execution(2, PLANS[2].index(("llama", {"context": 2, "context_kind": kind})))
    labels = breakdown_ns(run.timeline)
    assert labels[kinds.CONTEXT] > 0 and labels[kinds.TENSOR] == 0


def test_full_recomputation_is_named():
    number = next(n for n, (_, keys) in enumerate(PLANS[2]) if keys.get("recompute") == "full")
    assert breakdown_ns(execution(2, number).timeline)[kinds.RECOMPUTE] > 0


def test_measured_makespans_are_the_timelines():
    run = execution(2, 0)
    assert tuple(run.timeline_of(step).step_ns for step in range(2)) == run.samples_ns
    assert run.timeline.step_ns == min(run.samples_ns), "the lower median of two steps is the shorter one"


def test_message_totals():
    run = execution(2, PLANS[2].index(("llama", {"pipeline": 2})))
    action = next(a for own in run.program.ranks for a in own.stream("send_forward"))
    # 4 microbatches go forward and 4 gradients come back
    assert run.messages()["pipeline"] == {"count": 8, "bytes": 8 * action.size_bytes}

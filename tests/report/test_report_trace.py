"""The trace that Perfetto reads: complete, nested, matched, the same bytes each time."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from trace_checker import check_trace, read

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.engine.times import Times
from simulator.graph.event_graph import GraphBuilder
from simulator.program.actions import Action
from simulator.program.program import Launch, Program, RankProgram
from simulator.report.trace import microseconds, write_trace
from simulator.timeline import Timeline

ONE_EACH = ("duration_ns", "stream", "kind", "source", "action")


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_every_op_is_a_slice_with_its_own_nanoseconds(tmp_path, made_result, ending):
    path = tmp_path / f"trace.{ending}"
    write_trace(made_result, path)
    slices = check_trace(read(path))
    timeline = made_result.timeline
    expected = sorted(zip(timeline.start_ns.tolist(), timeline.end_ns.tolist(), strict=True))
    whole = [span for spans in slices.values() for span in spans]
    assert not Counter(expected) - Counter(whole), "an op is missing, or a nanosecond of it"


def test_parts_fill_their_op_and_nothing_else_is_added(tmp_path, made_result):
    write_trace(made_result, tmp_path / "t.json")
    events = [event for event in read(tmp_path / "t.json")["traceEvents"] if event["ph"] == "X"]
    parts = [event for event in events if "part_ns" in event["args"]]
    graph = made_result.timeline.graph
    assert len(events) - len(parts) == len(graph)
    assert sum(event["args"]["part_ns"] for event in parts) == int(graph.part_ns.sum())
    assert {event["name"] for event in parts} == {kinds.COMPUTE, kinds.TENSOR}


def test_args_say_what_people_ask(tmp_path, made_result):
    launch = Launch("send_F", Action.from_text("send 0F3 >p1 4MiB"))
    program = Program(made_result.scenario.layout, (RankProgram(0, (0, 1), (), (), (launch,)),))
    write_trace(replace(made_result, program=program), tmp_path / "t.json")
    trace = read(tmp_path / "t.json")
    send = next(event for event in trace["traceEvents"] if event["name"] == "send 0F3")
    assert send["args"] | {"ready_ns": 0, "wait_ns": 0} == {
        "kind": "pipeline_comm", "ready_ns": 0, "wait_ns": 0, "cost": "measured",
        "action": "send 0F3", "bytes": 4 * 2**20, "microbatch": 3, "stage": 0,
    }  # fmt: skip
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"]
    assert names[1] == "rank 2 | node 0 gpu 2 | dp0 pp1 tp0"
    labels = [event["args"]["labels"] for event in trace["traceEvents"] if event["name"] == "process_labels"]
    assert labels[0].startswith("multiplicity 2")


def test_a_measured_timeline_has_no_costs_and_no_arrows(tmp_path, made_result):
    result = replace(made_result, timeline=replace(made_result.timeline, graph=None, source="measured"))
    write_trace(result, tmp_path / "t.json")
    trace = read(tmp_path / "t.json")
    check_trace(trace)
    assert not any("cost" in event.get("args", {}) or event.get("cat") == "flow" for event in trace["traceEvents"])


def test_each_transfer_is_an_arrow_from_send_to_receive(tmp_path, make):
    result = make(stages=2, microbatches=3, data=1)
    write_trace(result, tmp_path / "t.json")
    flows = [event for event in read(tmp_path / "t.json")["traceEvents"] if event.get("cat") == "flow"]
    transfers = [event for event in flows if event["name"] == "transfer"]
    assert len({event["id"] for event in transfers}) == 6  # three forward, three backward
    first = [event for event in transfers if event["id"] == transfers[0]["id"]]
    assert [(event["ph"], event["pid"]) for event in first] == [("s", 1), ("f", 2)]
    collectives = Counter(event["id"] for event in flows if event["name"] == "collective")
    assert list(collectives.values()) == [2]


def test_an_arrow_starts_at_the_sender_whichever_was_launched_first(tmp_path, made_result):
    graph = GraphBuilder()
    graph.op(1, "recv_forward", 70, kind=kinds.PIPELINE, meeting=0, action="recv 1F0")
    graph.op(0, "send_forward", 70, kind=kinds.PIPELINE, meeting=0, action="send 0F0")
    built = graph.build()
    write_trace(replace(made_result, timeline=Timeline.of(built, run(built))), tmp_path / "t.json")
    flows = [event for event in read(tmp_path / "t.json")["traceEvents"] if event.get("cat") == "flow"]
    assert [(event["ph"], event["pid"]) for event in flows] == [("s", 1), ("f", 2)]


def test_a_dependency_across_ranks_is_an_arrow_too(tmp_path, made_result):
    graph = GraphBuilder()
    first = graph.op(0, "compute", 1001)
    graph.op(1, "compute", 7, after=[first])
    built = graph.build()
    result = replace(made_result, timeline=Timeline.of(built, run(built)))
    write_trace(result, tmp_path / "t.json")
    trace = read(tmp_path / "t.json")
    check_trace(trace)
    assert [event["ph"] for event in trace["traceEvents"] if event.get("cat") == "flow"] == ["s", "f"]


def test_same_result_same_bytes(tmp_path, made_result):
    for name in ("a.json.gz", "b.json.gz"):
        write_trace(made_result, tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert (tmp_path / "a.json.gz").read_bytes()[4:8] == b"\0\0\0\0"  # no time in the header


def test_no_nanosecond_is_lost_whether_a_reader_truncates_or_rounds():
    values = np.random.Generator(np.random.Philox(7)).integers(0, 10**12, 20_000)
    lost_if_plain = sum(int(value / 1000 * 1000.0) != value for value in values.tolist())
    assert lost_if_plain > 0, "the trap is real"
    for value in values.tolist():
        read_back = float(microseconds(value)) * 1000.0
        assert int(read_back) == value == round(read_back)


def test_writing_streams(tmp_path, made_result):
    """60,000 slices are 10 MB of JSON, which must not pile up in memory."""
    count = 60_000
    graph = GraphBuilder()
    graph.op(0, "compute", 5)
    one = graph.build()
    big = replace(
        one,
        **{
            name: np.repeat(getattr(one, name), count) for name in ("duration_ns", "stream", "kind", "source", "action")
        },
        meeting=np.full(count, -1, dtype=np.int32),
        first_successor=np.zeros(count + 1, dtype=np.int64),
        part_first=np.zeros(count + 1, dtype=np.int64),
        op_names=(),
    )
    start = np.arange(count) * 5
    result = replace(made_result, timeline=Timeline.of(big, Times(start, start, start + 5)))
    tracemalloc.start()
    write_trace(result, tmp_path / "big.json.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20

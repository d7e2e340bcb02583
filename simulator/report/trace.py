"""The timeline as a Chrome trace for https://ui.perfetto.dev: a process for each simulated rank, a thread a stream.

Times are integer ns inside and us in the file (the format's unit). A process id is rank + 1 and no thread id is 0:
Perfetto keeps process and thread 0 for itself and would drop the name of rank 0. Collectives and transfers are joined
by flow arrows, whose ids are counted over the whole file. Written in chunks: a million slices need no more memory than
a thousand.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCES
from simulator.graph.event_graph import EventGraph
from simulator.report.ops import NO_ACTION, ActionLabel, Lane, action_labels, lanes, op_parts, rank_place, stands_for

CHUNK = 1 << 12
GZIP_LEVEL = 5
STEP_STREAMS = ("compute", "tensor", "context", "table")
"""Streams whose ops are steps of an action and named after themselves; elsewhere an op is its whole action."""


def write_trace(result, path: str | Path) -> None:
    """Writes `result.timeline` to `path`; gzip where it ends in .gz. Same result, same bytes.

    Every op is a complete slice ("X") with action, kind, ready, wait, bytes, microbatch, stage and the cost's source
    in its args; a contracted op holds its parts as child slices. Folded ranks are written once: `multiplicity` in the
    process's labels says how many they stand for. Memory counters are written where `result.memory.curves` (rank ->
    [(ns, bytes)]) exists.
    """
    with _open(Path(path)) as file:
        head = {"displayTimeUnit": "ms", "otherData": _about(result)}
        file.write(json.dumps(head)[:-1] + ', "traceEvents": [\n')
        separator = ""
        for batch in _batches(trace_events(result)):
            file.write(separator + ",\n".join(batch))
            separator = ",\n"
        file.write("\n]}\n")


@contextmanager
def _open(path: Path) -> Iterator[io.TextIOBase]:
    """A text file, compressed by name; the gzip header holds neither time nor file name, so that bytes repeat."""
    if path.suffix != ".gz":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n", write_through=False) as file,
    ):
        yield file


def _batches(events: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for event in events:
        batch.append(event)
        if len(batch) >= CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch


def _about(result) -> dict[str, str]:
    """What the file is of, from the result's own identity."""
    numbers = result.to_dict()
    keys = ("name", "run_id", "program_digest", "timeline_digest", "engine", "seed")
    return {"format": "rehearse simulated timeline"} | {key: str(numbers[key]) for key in keys if key in numbers}


def trace_events(result) -> Iterator[str]:
    """The events of a trace as JSON texts: names of processes and threads, slices, flows, counters."""
    timeline = result.timeline
    graph: EventGraph = timeline.graph
    threads = _Threads(graph)
    yield from _names(result, graph, threads)
    sizes = _message_sizes(getattr(result, "program", None))
    for thread, lane in zip(threads.ids, threads.lanes, strict=True):
        yield from _slices(timeline, thread, lane, threads.labels, sizes)
    yield from _flows(timeline, threads)
    yield from _counters(result)


class _Threads:
    """Lanes, their thread ids (from 1, unique over the file), and for each op the thread that runs it."""

    def __init__(self, graph: EventGraph) -> None:
        self.lanes = lanes(graph)
        self.ids = tuple(range(1, len(self.lanes) + 1))
        self.labels = action_labels(graph)
        self.of_op = np.zeros(len(graph), dtype=np.int32)
        self.process_of = np.zeros(len(self.lanes) + 1, dtype=np.int64)
        for thread, lane in zip(self.ids, self.lanes, strict=True):
            self.of_op[lane.ops] = thread
            self.process_of[thread] = lane.rank + 1


def _names(result, graph: EventGraph, threads: _Threads) -> Iterator[str]:
    weights = stands_for(graph)
    for place, rank in enumerate(graph.ranks):
        process = rank + 1
        labels = f"multiplicity {weights[rank]}" if weights[rank] > 1 else ""
        yield _metadata("process_name", process, name=rank_place(result, rank))
        yield _metadata("process_sort_index", process, sort_index=place)
        if labels:
            yield _metadata("process_labels", process, labels=f"{labels}: stands for {weights[rank]} identical ranks")
    for thread, lane in zip(threads.ids, threads.lanes, strict=True):
        yield _metadata("thread_name", lane.rank + 1, thread, name=lane.stream)
        yield _metadata("thread_sort_index", lane.rank + 1, thread, sort_index=thread)


def _metadata(event_name: str, process: int, thread: int | None = None, **args: object) -> str:
    event: dict[str, object] = {"ph": "M", "name": event_name, "pid": process}
    if thread is not None:
        event["tid"] = thread
    return json.dumps(event | {"args": args})


def microseconds(time_ns: int) -> str:
    """Integer ns as decimal us that come back as exactly that many ns, whether a reader truncates or rounds.

    Perfetto multiplies the double by 1000 and truncates, which loses a ns for one value in a hundred and with it the
    nesting of slices. Those are written as the next double up, 1e-10 us further.
    """
    value = time_ns / 1000
    while int(value * 1000) < time_ns:
        value = math.nextafter(value, math.inf)
    return repr(value)


def _message_sizes(program) -> dict[tuple[int, str], int]:
    """(rank, action name) -> bytes of the message, for every action that has one; graphs hold the names alone."""
    launches = ((own.rank, launch.action) for own in program.ranks for launch in own.launches) if program else ()
    return {(rank, action.name): action.size_bytes for rank, action in launches if action.size_bytes is not None}


def _slices(timeline, thread: int, lane: Lane, labels: tuple[ActionLabel, ...], sizes: dict) -> Iterator[str]:
    """One lane's ops as complete events, each followed by its parts."""
    graph: EventGraph = timeline.graph
    names, ops, process = graph.op_names, lane.ops, lane.rank + 1
    whole_actions = lane.stream not in STEP_STREAMS
    for first in range(0, len(ops), CHUNK):
        chunk = ops[first : first + CHUNK]
        start, end, ready = timeline.start_ns[chunk], timeline.end_ns[chunk], timeline.ready_ns[chunk]
        columns = (
            chunk.tolist(),
            graph.kind[chunk].tolist(),
            graph.source[chunk].tolist(),
            graph.action[chunk].tolist(),
            ready.tolist(),
            (start - ready).tolist(),
            start.tolist(),
            (end - start).tolist(),
        )
        for op, kind, source, action, ready_ns, wait_ns, begin, length in zip(*columns, strict=True):
            label = labels[action] if action >= 0 else NO_ACTION
            category = kinds.KINDS[kind]
            args = f'"kind":"{category}","ready_ns":{ready_ns},"wait_ns":{wait_ns},"cost":"{SOURCES[source]}"'
            if action >= 0:
                args += f',"action":{json.dumps(label.text)}'
            size_bytes = sizes.get((lane.rank, label.name), label.size_bytes) if whole_actions else None
            for key, value in (("bytes", size_bytes), ("microbatch", label.microbatch), ("stage", label.stage)):
                if value is not None:
                    args += f',"{key}":{value}'
            name = names[op] if op < len(names) else ""
            if label.name and (whole_actions or name in ("", label.verb)):
                name = label.name
            name = name or category
            yield (
                f'{{"ph":"X","name":{json.dumps(name)},"cat":"{category}","pid":{process},"tid":{thread},'
                f'"ts":{microseconds(begin)},"dur":{microseconds(length)},"args":{{{args}}}}}'
            )
            if graph.part_first[op + 1] - graph.part_first[op] > 1:
                yield from _parts(timeline, process, thread, op)


def _parts(timeline, process: int, thread: int, op: int) -> Iterator[str]:
    """The parts of a contracted op as slices inside it; stretched with it where it was slowed or sampled."""
    parts = op_parts(timeline.graph, op)
    start, end = int(timeline.start_ns[op]), int(timeline.end_ns[op])
    whole = max(1, sum(ns for _, ns in parts))
    done, begin = 0, start
    for kind, ns in parts:
        done += ns
        finish = start + (end - start) * done // whole
        yield (
            f'{{"ph":"X","name":"{kind}","cat":"{kind}","pid":{process},"tid":{thread},'
            f'"ts":{microseconds(begin)},"dur":{microseconds(finish - begin)},'
            f'"args":{{"kind":"{kind}","part_ns":{ns}}}}}'
        )
        begin = finish


def _flows(timeline, threads: _Threads) -> Iterator[str]:
    """Arrows between ranks: along every dependency that crosses ranks, and through the members of every meeting."""
    graph: EventGraph = timeline.graph
    identity = 0
    process = threads.process_of[threads.of_op]
    source = np.repeat(np.arange(len(graph)), np.diff(graph.first_successor))
    crossing = np.flatnonzero(process[source] != process[graph.successor])
    for edge in crossing.tolist():
        identity += 1
        one, other = int(source[edge]), int(graph.successor[edge])
        yield _flow("s", identity, "transfer", threads, one, max(timeline.start_ns[one], timeline.end_ns[one] - 1))
        yield _flow("f", identity, "transfer", threads, other, timeline.start_ns[other])
    for members in _meetings(graph):
        identity += 1
        name = "transfer" if graph.kind[members[0]] == kinds.CODE[kinds.PIPELINE] else "collective"
        if name == "transfer":  # from the sender to the receiver, whichever was launched first
            members = sorted(members, key=lambda op: (_receives(graph, threads, op), op))
        for place, op in enumerate(members):
            phase = "s" if place == 0 else "f" if place == len(members) - 1 else "t"
            yield _flow(phase, identity, name, threads, op, timeline.start_ns[op])


def _receives(graph: EventGraph, threads: _Threads, op: int) -> bool:
    return graph.action[op] >= 0 and threads.labels[graph.action[op]].verb == "recv"


def _meetings(graph: EventGraph) -> Iterator[list[int]]:
    """Op ids of each rendezvous with two members or more, by the rendezvous's id."""
    joined = np.flatnonzero(graph.meeting >= 0)
    joined = joined[np.argsort(graph.meeting[joined], kind="stable")]
    for members in np.split(joined, np.flatnonzero(np.diff(graph.meeting[joined])) + 1):
        if len(members) > 1:
            yield members.tolist()


def _flow(phase: str, identity: int, name: str, threads: _Threads, op: int, time_ns: int) -> str:
    thread = int(threads.of_op[op])
    binding = ',"bp":"e"' if phase != "s" else ""
    return (
        f'{{"ph":"{phase}","id":{identity},"name":"{name}","cat":"flow"{binding},'
        f'"pid":{int(threads.process_of[thread])},"tid":{thread},"ts":{microseconds(int(time_ns))}}}'
    )


def _counters(result) -> Iterator[str]:
    """Device memory over time, one counter for each rank that has a curve."""
    curves = getattr(getattr(result, "memory", None), "curves", None) or {}
    for rank in sorted(curves):
        for time_ns, size_bytes in curves[rank]:
            time = microseconds(int(time_ns))
            yield f'{{"ph":"C","name":"memory","pid":{rank + 1},"ts":{time},"args":{{"bytes":{int(size_bytes)}}}}}'

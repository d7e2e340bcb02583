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
from functools import lru_cache
from pathlib import Path

import numpy as np

from simulator import kinds
from simulator.costs.price import SOURCES
from simulator.graph.event_graph import EventGraph
from simulator.memory.walk import KINDS
from simulator.program.actions import Action
from simulator.program.program import Program
from simulator.report.ops import Lane, lanes, op_parts, rank_place, stands_for
from simulator.timeline import Timeline

CHUNK = 1 << 12
GZIP_LEVEL = 5
STEP_STREAMS = ("compute", "tensor", "context")
"""Streams whose ops are steps of an action and named after themselves; elsewhere an op is its whole action."""


def write_trace(result, path: str | Path) -> None:
    """Writes `result.timeline` to `path`; gzip where it ends in .gz. Same result, same bytes.

    Every op is a complete slice ("X") with action, kind, ready, wait, bytes, microbatch, stage and the cost's source in
    its args; a contracted op holds its time by kind as child slices (sums, not moments). Folded ranks are written once:
    `multiplicity` in the process's labels says how many they stand for. Memory by kind is a counter of each rank.
    """
    write_events(trace_events(result), path, _about(result))


def write_events(events: Iterator[str], path: str | Path, about: dict[str, str]) -> None:
    """Writes a trace of these events (JSON texts); about: what the file is of."""
    with _open(Path(path)) as file:
        head = {"displayTimeUnit": "ms", "otherData": about}
        file.write(json.dumps(head)[:-1] + ', "traceEvents": [\n')
        separator = ""
        for batch in _batches(events):
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
    about = {"format": "rehearse simulated timeline", "parts": "inside an op: its time by kind, summed, not in order"}
    return about | {key: str(numbers[key]) for key in keys if key in numbers}


def trace_events(result) -> Iterator[str]:
    """The events of a trace as JSON texts: names of processes and threads, slices, flows, counters."""
    timeline = result.timeline
    threads = _Threads(timeline)
    yield from _names(result, threads)
    sizes = _message_sizes(result.program)
    for thread, lane in zip(threads.ids, threads.lanes, strict=True):
        yield from _slices(timeline, thread, lane, sizes)
    if timeline.graph is not None:
        yield from _flows(timeline, timeline.graph, threads)
    yield from _counters(result)


class _Threads:
    """Lanes, their thread ids (from 1, unique over the file), and for each op the thread that runs it."""

    def __init__(self, timeline: Timeline) -> None:
        self.lanes = lanes(timeline)
        self.ids = tuple(range(1, len(self.lanes) + 1))
        self.of_op = np.zeros(len(timeline), dtype=np.int32)
        self.process_of = np.zeros(len(self.lanes) + 1, dtype=np.int64)
        for thread, lane in zip(self.ids, self.lanes, strict=True):
            self.of_op[lane.ops] = thread
            self.process_of[thread] = lane.rank + 1


def _names(result, threads: _Threads) -> Iterator[str]:
    for place, (rank, weight) in enumerate(stands_for(result.timeline).items()):
        process = rank + 1
        yield _metadata("process_name", process, name=rank_place(result.scenario, rank))
        yield _metadata("process_sort_index", process, sort_index=place)
        if weight > 1:
            labels = f"multiplicity {weight}: stands for {weight} identical ranks"
            yield _metadata("process_labels", process, labels=labels)
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


def _message_sizes(program: Program | None) -> dict[tuple[int, str], int]:
    """(rank, action name) -> bytes of the message, for every action that has one; a timeline holds names alone."""
    if program is None:
        return {}
    launches = ((own.rank, launch.action) for own in program.ranks for launch in own.launches)
    return {(rank, action.name): action.size_bytes for rank, action in launches if action.size_bytes is not None}


def _slices(timeline: Timeline, thread: int, lane: Lane, sizes: dict[tuple[int, str], int]) -> Iterator[str]:
    """One lane's ops as complete events, each followed by its parts."""
    ops, process, actions = lane.ops, lane.rank + 1, timeline.parsed_actions
    whole_actions = lane.stream not in STEP_STREAMS
    sizes = sizes if whole_actions else {}  # what a step of an action sends is its own affair
    texts: dict[int, tuple[str, str, str]] = {-1: ("", "", "")}
    for first in range(0, len(ops), CHUNK):
        chunk = ops[first : first + CHUNK]
        start, end, ready = timeline.start_ns[chunk], timeline.end_ns[chunk], timeline.ready_ns[chunk]
        columns = (
            chunk.tolist(),
            timeline.kind[chunk].tolist(),
            _sources(timeline, chunk),
            timeline.action[chunk].tolist(),
            ready.tolist(),
            (start - ready).tolist(),
            start.tolist(),
            (end - start).tolist(),
            (timeline.part_first[chunk + 1] - timeline.part_first[chunk]).tolist(),
        )
        for op, kind, source, code, ready_ns, wait_ns, begin, length, num_parts in zip(*columns, strict=True):
            if code not in texts:
                texts[code] = _action_texts(actions[code], lane.rank, sizes)
            action_name, verb, action_args = texts[code]
            name = timeline.op_names[op] if timeline.op_names else ""
            kind_name = kinds.KINDS[kind]
            named_after_action = code >= 0 and (whole_actions or name in ("", verb))
            name = action_name if named_after_action else _quoted(name or kind_name)
            yield (
                f'{{"ph":"X","name":{name},"cat":"{kind_name}","pid":{process},"tid":{thread},'
                f'"ts":{microseconds(begin)},"dur":{microseconds(length)},"args":{{"kind":"{kind_name}",'
                f'"ready_ns":{ready_ns},"wait_ns":{wait_ns}{source}{action_args}}}}}'
            )
            if num_parts > 1:
                yield from _parts(timeline, process, thread, op)


def _sources(timeline: Timeline, ops: np.ndarray) -> list[str]:
    """The arg that says where each op's cost comes from; a measured timeline has no costs."""
    if timeline.graph is None:
        return [""] * len(ops)
    return [f',"cost":"{SOURCES[code]}"' for code in timeline.graph.source[ops].tolist()]


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return json.dumps(name)


def _action_texts(action: Action, rank: int, sizes: dict[tuple[int, str], int]) -> tuple[str, str, str]:
    """(name as JSON, verb, args) of an action of a rank."""
    name = json.dumps(action.name)
    found = (("bytes", sizes.get((rank, action.name))), ("microbatch", action.microbatch), ("stage", action.stage))
    args = "".join(f',"{key}":{value}' for key, value in found if value is not None)
    return name, action.verb, f',"action":{name}{args}'


def _parts(timeline: Timeline, process: int, thread: int, op: int) -> Iterator[str]:
    """The parts of a contracted op as slices inside it; stretched with it where it was slowed or sampled."""
    parts = op_parts(timeline, op)
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


def _flows(timeline: Timeline, graph: EventGraph, threads: _Threads) -> Iterator[str]:
    """Arrows between ranks: along every dependency that crosses ranks, and through the members of every meeting."""
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
            members = sorted(members, key=lambda op: (_receives(timeline, op), op))
        for place, op in enumerate(members):
            phase = "s" if place == 0 else "f" if place == len(members) - 1 else "t"
            yield _flow(phase, identity, name, threads, op, timeline.start_ns[op])


def _receives(timeline: Timeline, op: int) -> bool:
    return timeline.action[op] >= 0 and timeline.parsed_actions[timeline.action[op]].verb == "recv"


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
    """Device memory over time by kind, one counter for each rank; a measured run knows nothing of it."""
    if not hasattr(result, "memory_curve"):
        return
    for own in result.memory.per_rank:
        curve = result.memory_curve(own.rank)
        for time_ns, held in zip(curve.time_ns.tolist(), curve.held.tolist(), strict=True):
            sizes = json.dumps(dict(zip(KINDS, held, strict=True)))
            yield f'{{"ph":"C","name":"memory","pid":{own.rank + 1},"ts":{microseconds(time_ns)},"args":{sizes}}}'

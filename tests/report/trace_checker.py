"""What any reader of a trace relies on, checked event by event."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict


def to_ns(text) -> int:
    """As Perfetto reads a number: the double times 1000, cut off."""
    return int(float(text) * 1000.0)


def check_trace(trace: dict) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Complete events, sorted and properly nested on every thread; every thread and process named and sorted;
    every flow starts once, ends once, and each of its points lies in a slice. Returns (start, end) by thread."""
    slices: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    flows: dict[int, list[dict]] = defaultdict(list)
    named, ordered = Counter(), Counter()
    for event in trace["traceEvents"]:
        key = (event["pid"], event.get("tid", 0))
        if event["ph"] == "M":
            (named if event["name"].endswith("_name") else ordered)[key] += 1
        elif event["ph"] == "X":
            start = to_ns(event["ts"])
            slices[key].append((start, start + to_ns(event["dur"])))
            assert {"kind"} <= event["args"].keys()
        elif event["ph"] in "stf":
            flows[event["id"]].append(event)
        else:
            assert event["ph"] == "C"
    for key, spans in slices.items():
        assert key[0] > 0 and key[1] > 0, "Perfetto keeps process and thread 0 for itself"
        assert named[key] == 1 and named[key[0], 0] == 1
        assert ordered[key] == 1 and ordered[key[0], 0] >= 1
        stack: list[tuple[int, int]] = []
        for start, end in spans:
            assert end >= start >= 0
            while stack and stack[-1][1] <= start:
                stack.pop()
            if stack:
                assert stack[-1][0] <= start and end <= stack[-1][1], "slices overlap without nesting"
            stack.append((start, end))
        starts = [start for start, _ in spans]
        assert starts == sorted(starts)
    for points in flows.values():
        phases = [point["ph"] for point in points]
        assert phases[0] == "s" and phases[-1] == "f" and set(phases[1:-1]) <= {"t"}
        for point in points:
            time = to_ns(point["ts"])
            spans = slices[point["pid"], point["tid"]]
            assert any(start <= time <= end for start, end in spans), "a flow ends in no slice"
    return slices


def read(path) -> dict:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)

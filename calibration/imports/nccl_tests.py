"""Logs of nccl-tests: the columns it prints, or the JSON file of its -J (version 2.17 and later).

The time of an out-of-place call is taken, the in-place one where there is no other. A log may hold several tests. Its
`size` counts as the cost model does: the whole of a gathered, scattered or exchanged tensor.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import PurePath

from calibration.imports.entries import Entries, refusal

OPS = {
    "all_reduce": "all_reduce", "all_gather": "all_gather", "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all", "broadcast": "broadcast", "sendrecv": "sendrecv",
}  # fmt: skip
"""nccl-tests' name of a collective -> ours."""

OTHERS = ("alltoallv", "all_reduce_group", "reduce", "gather", "scatter", "hypercube", "bisection")
TEST = re.compile(rf"({'|'.join(sorted((*OPS, *OTHERS), key=len, reverse=True))})(?:_perf|[._-]|\b)")
RANK = re.compile(r"#\s+Rank\s+(\d+)\s+(?:Group\s+(\d+)\s+)?Pid\s+\d+\s+on\s+(\S+)\s+device\s+\d+\s+\[[^\]]*\]\s*(.*)")
NS_PER_US = 1000.0

Places = list[tuple[int, str, str]]
"""(group, host, device) of every rank."""


def read(path: str, text: str) -> Entries:
    """The collectives of a log, inside a node or over several. Raises ScenarioError with the line for one that
    cannot be read."""
    return _read_json(path, text) if text.lstrip().startswith("{") else _read_columns(path, text)


def _read_columns(path: str, text: str) -> Entries:
    entries = Entries()
    op: str | None = None
    header: list[str] = []
    places: Places = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if "nThread" in line or "Collective test starting" in line:
            places, header = [], []
        if "_perf" in line:
            op = _op(path, number, line)
        if found := RANK.search(line):
            places.append((int(found[2] or 0), found[3], found[4].strip()))
        elif words[:2] == ["#", "size"]:
            header = words[1:]
        elif words and words[0].isdigit() and header:
            op = op or _op(path, None, PurePath(path).name)
            row = dict(_columns(path, number, header, words))
            _add_row(entries, path, number, op, *_group(entries, path, places), row)
    if not entries:
        raise refusal(path, None, "has no row of times; give what an nccl-tests program printed, its # lines included")
    return entries


def _columns(path: str, number: int, header: list[str], words: list[str]):
    """(column, word) of a row, the first of columns that come twice (out of place, then in place) first."""
    if len(words) < len(header):
        raise refusal(path, number, f"{len(words)} columns where the header has {len(header)}; the log is cut short")
    yield from reversed(list(zip(header, words, strict=False)))


def _add_row(entries: Entries, path: str, number: int, op: str, ranks: int, nodes: int, row: dict[str, str]) -> None:
    try:
        size, time_us = int(row["size"]), float(row["time"])
    except KeyError as error:
        raise refusal(path, number, f"the header has no column {error}; it is no table of nccl-tests") from None
    except ValueError as error:
        raise refusal(path, number, f"{error}; a row holds a size in bytes and a time in us") from None
    _add(entries, path, number, op, ranks, nodes, size, time_us, row.get("#wrong", "0"))


def _add(
    entries: Entries, path: str, number: int | None, op: str, ranks: int, nodes: int, size: int, time_us: float,
    wrong: str,
) -> None:  # fmt: skip
    if wrong.replace(".", "", 1).isdigit() and float(wrong) > 0:
        raise refusal(path, number, f"{wrong} values came out wrong; a faulty run is not imported")
    if not 0 < time_us < float("inf"):
        raise refusal(path, number, f"{time_us:g} us is not a time; remove the row")
    if size > 0:
        entries.add_collective(op, ranks, size, time_us * NS_PER_US, nodes)


def _read_json(path: str, text: str) -> Entries:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise refusal(path, error.lineno, f"{error.msg}; the file is cut short or is not nccl-tests' JSON") from None
    entries = Entries()
    try:
        devices = [(one["group"], one["hostname"], one["device_info"]) for one in record["config"]["devices"]]
        op, (ranks, nodes) = _op(path, None, str(record["args"][0])), _group(entries, path, devices)
        for row in record["results"]:
            body = row.get("out_of_place") or row["in_place"]
            wrong = str(body.get("nwrong") or 0)
            _add(entries, path, None, op, ranks, nodes, int(row["size"]), float(body["time"]), wrong)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise refusal(
            path, None, f"is not the JSON of nccl-tests' -J ({type(error).__name__} {error}); give that file"
        ) from None
    if not entries:
        raise refusal(path, None, "holds no results")
    return entries


def _op(path: str, number: int | None, text: str) -> str:
    """The collective that a program's or a file's name says."""
    found = TEST.search(PurePath(text).name if "/" in text and " " not in text else text)
    if found is None:
        raise refusal(path, number, "does not say which collective was timed; name the file after it: all_reduce.log")
    if found[1] not in OPS:
        raise refusal(path, number, f"times {found[1]}, which no plan uses; import one of {', '.join(OPS)}")
    return OPS[found[1]]


def _group(entries: Entries, path: str, places: Places) -> tuple[int, int]:
    """(ranks of one group, nodes they lie on). Raises where some node holds more of them than another."""
    if not places:
        raise refusal(path, None, "does not list its ranks; keep the lines that begin with '#  Rank'")
    hosts = Counter(host for group, host, _ in places if group == places[0][0])
    entries.device = places[0][2]
    ranks = hosts.total()
    if len(set(hosts.values())) > 1:
        raise refusal(path, None, f"its {ranks} ranks do not lie evenly on {len(hosts)} nodes; time as many on each")
    if ranks < 2:
        raise refusal(path, None, "times one rank alone, which sends nothing; run it over two GPUs or more")
    return ranks, len(hosts)

"""Program: what each rank launches, on which stream, in which order; the contract between simulator and executor.

It is stored folded: `RankProgram.rank` stands for all its `members`. Launches are one list per rank, in the order the
host issues them; what a stream runs is that list filtered. An action's `after` names only earlier launches, so the list
is topological by construction.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from simulator.errors import BrokenLaw
from simulator.layout import Layout
from simulator.model.lengths import Samples
from simulator.program.actions import Action


@dataclass(frozen=True, slots=True)
class Chunk:
    """A pipeline stage's piece of the model: units [first, last], and where F and B (or W) are cut into segments.

    segments: unit ranges in forward order. F.k is segments[k]; B.k and W.k are segments[-1 - k]. One range: nothing is
    cut.
    """

    stage: int
    segments: tuple[tuple[int, int], ...]

    @property
    def first(self) -> int:
        return self.segments[0][0]

    @property
    def last(self) -> int:
        return self.segments[-1][1]

    def span(self, verb: str, segment: int | None) -> tuple[int, int]:
        """First and last unit that an action of this stage runs."""
        if segment is None:
            return self.first, self.last
        return self.segments[segment] if verb == "F" else self.segments[-1 - segment]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Dense gradients that are reduced together: those of units [first, last] of one stage, `numel` on this rank.

    frozen: parameters without gradients that are sharded and gathered with them (ZeRO 3).
    """

    name: str
    stage: int
    first: int
    last: int
    numel: int
    frozen: int = 0

    @property
    def parameters(self) -> int:
        """What a gather of it brings."""
        return self.numel + self.frozen


class Launch(NamedTuple):
    """One action on one stream."""

    stream: str
    action: Action


@dataclass(frozen=True)
class RankProgram:
    """The launches of `rank`, which stands for all ranks in `members` (itself included).

    samples: of each microbatch, where they are not all as long as the model's `seq`.
    """

    rank: int
    members: Sequence[int]
    chunks: tuple[Chunk, ...]
    buckets: tuple[Bucket, ...]
    launches: tuple[Launch, ...]
    samples: tuple[Samples, ...] = ()

    def stream(self, name: str) -> tuple[Action, ...]:
        """What one stream runs, in order."""
        return tuple(launch.action for launch in self.launches if launch.stream == name)

    @property
    def streams(self) -> tuple[str, ...]:
        """Stream names in order of first use."""
        return tuple(dict.fromkeys(launch.stream for launch in self.launches))

    def chunk(self, stage: int) -> Chunk:
        """This rank's piece of the model for a global stage."""
        return next(chunk for chunk in self.chunks if chunk.stage == stage)

    def samples_of(self, action: Action) -> Samples | None:
        """The samples of an action's microbatch; None where all are as long as the model's `seq`, or it has none."""
        return self.samples[action.microbatch] if self.samples and action.microbatch is not None else None

    def bucket(self, name: str) -> Bucket:
        """The gradient bucket of this name."""
        return next(bucket for bucket in self.buckets if bucket.name == name)

    @property
    def updated_alone(self) -> tuple[str, ...]:
        """Names of the buckets that have an update of their own."""
        updates = (launch.action for launch in self.launches if launch.action.verb == "optimizer")
        return tuple(action.bucket for action in updates if action.bucket is not None)

    def updated(self, optimizer: Action) -> tuple[tuple[int, int], ...]:
        """The units whose parameters an optimizer action updates, as (first, last): those of its bucket; without one,
        all whose bucket has no update of its own."""
        if optimizer.bucket is not None:
            bucket = self.bucket(optimizer.bucket)
            return ((bucket.first, bucket.last),)
        if not (alone := self.updated_alone):
            return tuple((chunk.first, chunk.last) for chunk in self.chunks)
        return tuple((bucket.first, bucket.last) for bucket in self.buckets if bucket.name not in alone)


@dataclass(frozen=True)
class Program:
    """All ranks of one training step."""

    layout: Layout
    ranks: tuple[RankProgram, ...]

    def to_text(self) -> str:
        """Lines that `from_text` reads back: degrees, then for each representative its pieces and its launches."""
        layout = self.layout
        shard = f" shard {layout.shard}" if layout.shard else ""
        shard += f" node {layout.node}" if layout.node else ""
        lines = [
            f"program tensor {layout.tensor} context {layout.context} data {layout.data} pipeline {layout.pipeline}"
            + shard
        ]
        for own in self.ranks:
            lines.append(f"r{own.rank} stands for {_members_text(own.members)}")
            for chunk in own.chunks:
                ranges = " ".join(f"{first}..{last}" for first, last in chunk.segments)
                lines.append(f"r{own.rank} stage {chunk.stage} units {ranges}")
            lines += [
                f"r{own.rank} bucket {bucket.name} stage {bucket.stage} units {bucket.first}..{bucket.last} "
                f"numel {bucket.numel}" + (f" frozen {bucket.frozen}" if bucket.frozen else "")
                for bucket in own.buckets
            ]
            lines += [f"r{own.rank} microbatch {number} of {one.text}" for number, one in enumerate(own.samples)]
            lines += [f"r{own.rank}.{launch.stream} {launch.action.text}" for launch in own.launches]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Program:
        """The program that `to_text` wrote. Raises ValueError naming the line that it cannot read."""
        layout: Layout | None = None
        found: dict[int, dict] = {}
        for number, line in enumerate(text.splitlines(), 1):
            try:
                if match := _HEAD.match(line):
                    layout = Layout(**{key: int(value) for key, value in match.groupdict().items() if value})
                elif match := _MEMBERS.match(line):
                    found[int(match[1])] = {
                        "members": _members(match[2]), "chunks": [], "buckets": [], "launches": [], "samples": [],
                    }  # fmt: skip
                elif match := _CHUNK.match(line):
                    ranges = tuple(tuple(int(unit) for unit in span.split("..")) for span in match[3].split())
                    found[int(match[1])]["chunks"].append(Chunk(int(match[2]), ranges))
                elif match := _BUCKET.match(line):
                    numbers = (int(match[index] or 0) for index in (3, 4, 5, 6, 7))
                    found[int(match[1])]["buckets"].append(Bucket(match[2], *numbers))
                elif match := _SAMPLES.match(line):
                    found[int(match[1])]["samples"].append(Samples.from_text(match[2]))
                elif match := _LAUNCH.match(line):
                    found[int(match[1])]["launches"].append(Launch(match[2], Action.from_text(match[3])))
                elif line.strip():
                    raise ValueError("no such line in a program")
            except KeyError as error:
                raise ValueError(f"line {number}: {line!r}: no line 'r{error} stands for ...' before it") from error
            except ValueError as error:
                raise ValueError(f"line {number}: {line!r}: {error}") from error
        if layout is None:
            raise ValueError("a program starts with its degrees: 'program tensor 1 context 1 data 2 pipeline 1'")
        return cls(
            layout,
            tuple(RankProgram(rank, own["members"], *(tuple(own[key]) for key in KEPT)) for rank, own in found.items()),
        )

    def unfolded(self) -> Program:
        """The same program with every rank standing for itself alone."""
        return Program(
            self.layout,
            tuple(replace(own, rank=rank, members=(rank,)) for own in self.ranks for rank in own.members),
        )

    def digest(self) -> str:
        """sha256 of the text: the same plan runs in simulator and executor when their digests agree."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()


def check_program(program: Program) -> None:
    """The laws of a program, for anyone to call. Raises BrokenLaw with the rank, the action and the law.

    Every rank is stood for once; names are unique; `after` names earlier launches; every send has its receive.
    """
    seen = sorted(rank for own in program.ranks for rank in own.members)
    if seen != list(range(program.layout.ranks)):
        raise BrokenLaw(f"the program stands for {len(seen)} ranks, the layout has {program.layout.ranks}")
    sends: dict[tuple, int] = {}
    for own in program.ranks:
        names: dict[str, str] = {}
        pipeline_rank = program.layout.coordinates(own.rank)[0]
        for launch in own.launches:
            action = launch.action
            if action.name in names:
                raise BrokenLaw(f"r{own.rank}.{launch.stream} launches {action.name} twice")
            for other in action.after:
                if other not in names:
                    raise BrokenLaw(
                        f"r{own.rank}.{launch.stream} {action.name} waits for {other}, not launched before it"
                    )
            names[action.name] = launch.stream
            if action.verb in ("send", "recv"):
                step = {"F": 1, "B": -1}[action.of] if action.verb == "send" else 0
                ends = (pipeline_rank, action.peer) if action.verb == "send" else (action.peer, pipeline_rank)
                key = (*ends, action.stage + step, action.of, action.microbatch, action.size_bytes)
                sends[key] = sends.get(key, 0) + (1 if action.verb == "send" else -1)
    for key, balance in sends.items():
        if balance:
            what = "is sent but never received" if balance > 0 else "is awaited but never sent"
            raise BrokenLaw(f"{key[2]}{key[3]}{key[4]} from pipeline rank {key[0]} to {key[1]} {what}")


KEPT = ("chunks", "buckets", "launches", "samples")
_HEAD = re.compile(
    r"program tensor (?P<tensor>\d+) context (?P<context>\d+) data (?P<data>\d+) pipeline (?P<pipeline>\d+)"
    r"(?: shard (?P<shard>\d+))?(?: node (?P<node>\d+))?$"
)
_MEMBERS = re.compile(r"r(\d+) stands for (.+)$")
_CHUNK = re.compile(r"r(\d+) stage (\d+) units ((?:\d+\.\.\d+ ?)+)$")
_BUCKET = re.compile(r"r(\d+) bucket (\S+) stage (\d+) units (\d+)\.\.(\d+) numel (\d+)(?: frozen (\d+))?$")
_SAMPLES = re.compile(r"r(\d+) microbatch \d+ of ((?:\d+ )+mean \d+)$")
_LAUNCH = re.compile(r"r(\d+)\.(\w+) (.+)$")


def _members_text(members: Sequence[int]) -> str:
    if isinstance(members, range) and members.step == 1:
        return f"{members[0]}..{members[-1]}"
    return " ".join(str(rank) for rank in members)


def _members(text: str) -> Sequence[int]:
    if ".." in text:
        first, last = text.split("..")
        return range(int(first), int(last) + 1)
    return tuple(int(rank) for rank in text.split())

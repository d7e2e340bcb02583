"""Timeline: what happened when, in columns; the one thing metrics, traces, reports and comparisons read.

It does not matter whether it was simulated or measured: `source` says so, and nothing here asks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from simulator import kinds
from simulator.graph.event_graph import EventGraph, Stream
from simulator.program.actions import Action

if TYPE_CHECKING:
    import pandas as pd

    from simulator.engine.times import Times

FRAME_COLUMNS = (
    "op", "kind", "rank", "stream", "microbatch", "stage", "ready_ns", "start_ns", "end_ns", "multiplicity", "action",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Timeline:
    """n ops of s streams on r representative ranks.

    ready_ns, start_ns, end_ns: int64[n]. kind: uint8[n], code in `kinds.KINDS`. stream: int32[n], index into `streams`;
    ops of one stream stand in launch order. action: int32[n], index into `actions`, the action texts; -1 for none.
    part_first[n+1], part_kind[p], part_ns[p]: what each contracted op is made of, in order.
    ranks, multiplicity, members: representative ranks, how many real ranks each stands for, and which.
    op_names: the ops' own names ("" for none), or empty. source: "simulated" or "measured".
    graph: what was run, for traces that draw its dependencies; None for a measured timeline. Nothing else needs it.
    """

    ready_ns: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray
    kind: np.ndarray
    stream: np.ndarray
    action: np.ndarray
    part_first: np.ndarray
    part_kind: np.ndarray
    part_ns: np.ndarray
    streams: tuple[Stream, ...]
    ranks: tuple[int, ...]
    multiplicity: tuple[int, ...]
    members: tuple[Sequence[int], ...]
    actions: tuple[str, ...] = ()
    op_names: tuple[str, ...] = ()
    source: Literal["simulated", "measured"] = "simulated"
    program_digest: str = ""
    graph: EventGraph | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        graph: EventGraph,
        times: Times,
        *,
        members: tuple[Sequence[int], ...] | None = None,
        source: Literal["simulated", "measured"] = "simulated",
        program_digest: str = "",
        actions: tuple[Action, ...] | None = None,
    ) -> Timeline:
        """The timeline of a graph's ops.

        members[i]: the real ranks that `graph.ranks[i]` stands for; default: itself, where it stands for one.
        actions: what `graph.actions` reads back as, where the caller still has it.
        Raises ValueError where members do not count up to the graph's multiplicity.
        """
        if members is None:
            members = tuple((rank,) for rank in graph.ranks)
            if any(count != 1 for count in graph.multiplicity):
                members = ()
        elif tuple(map(len, members)) != graph.multiplicity:
            raise ValueError(f"members {members} do not count up to multiplicity {graph.multiplicity}")
        timeline = cls(
            times.ready_ns, times.start_ns, times.end_ns, graph.kind, graph.stream, graph.action,
            graph.part_first, graph.part_kind, graph.part_ns, graph.streams, graph.ranks, graph.multiplicity, members,
            graph.actions, graph.op_names, source, program_digest, graph,
        )  # fmt: skip
        if actions is not None:
            timeline.__dict__["parsed_actions"] = actions  # fills the cached property
        return timeline

    def __len__(self) -> int:
        return len(self.end_ns)

    @property
    def step_ns(self) -> int:
        """When the last op ends; 0 when there is none."""
        return int(self.end_ns.max(initial=0))

    @cached_property
    def rank_index(self) -> np.ndarray:
        """int64[n]: the place in `ranks` of each op's rank."""
        place = {rank: index for index, rank in enumerate(self.ranks)}
        return np.array([place[stream.rank] for stream in self.streams], dtype=np.int64)[self.stream]

    @cached_property
    def parsed_actions(self) -> tuple[Action, ...]:
        """`actions`, read back."""
        return tuple(Action.from_text(text) for text in self.actions)

    def op_text(self, op: int) -> str:
        """Its action's text where the op is all of it, else the action's name and the op's own, else its kind."""
        name = self.op_names[op] if self.op_names else ""
        if self.action[op] < 0:
            return name or kinds.KINDS[self.kind[op]]
        action = self.parsed_actions[self.action[op]]
        whole = name in ("", action.verb, action.words)
        return self.actions[self.action[op]] if whole else f"{action.name}: {name}"

    def to_text(self) -> str:
        """One line per op, by rank, stream and launch order: what golden tests compare and people read."""
        rows = [("stream", "op", "kind", "ready_ns", "start_ns", "end_ns")]
        for lane, ops in self._lanes():
            for op in ops.tolist():
                times = (str(int(column[op])) for column in (self.ready_ns, self.start_ns, self.end_ns))
                rows.append((f"r{lane.rank}.{lane.name}", self.op_text(op), kinds.KINDS[self.kind[op]], *times))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = (
            "  ".join(
                cell.ljust(width) if place < 3 else cell.rjust(width) for place, (cell, width) in enumerate(cells)
            )
            for cells in (zip(row, widths, strict=True) for row in rows)
        )
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """sha256 over the sorted list of (per-rank digest, count).

        A rank's digest is over its streams by name and their ops in launch order: kind, action name, ready, start and
        end. It holds no rank and no op id, so a folded run and an unfolded one have the same digest.
        """
        names = [action.name for action in self.parsed_actions] + [""]
        count_of = dict(zip(self.ranks, self.multiplicity, strict=True))
        by_rank: dict[int, hashlib._Hash] = {rank: hashlib.sha256() for rank in self.ranks}
        for lane, ops in self._lanes():
            digest = by_rank[lane.rank]
            digest.update(f"{lane.name} {len(ops)}\n".encode())
            digest.update("\n".join([names[action] for action in self.action[ops].tolist()]).encode())
            digest.update(self.kind[ops].astype("u1").tobytes())
            for column in (self.ready_ns, self.start_ns, self.end_ns):
                digest.update(column[ops].astype("<i8").tobytes())
        counts: Counter[str] = Counter()
        for rank, digest in by_rank.items():
            counts[digest.hexdigest()] += count_of[rank]
        return hashlib.sha256(
            "".join(f"{rank} {count}\n" for rank, count in sorted(counts.items())).encode()
        ).hexdigest()

    def to_frame(self, expand: bool = False) -> pd.DataFrame:
        """A pandas frame with FRAME_COLUMNS, one row per op of a representative rank, in op order.

        expand: one row per op of every real rank instead, by rank, multiplicity 1. Raises ValueError where the timeline
        was built without `members`. stage and microbatch are missing (<NA>) for actions without them.
        """
        import pandas as pd

        code = self.action  # -1 takes the last entry, which is the missing one
        stage, microbatch = (
            pd.array([getattr(action, name) for action in self.parsed_actions] + [None], dtype="Int64").take(code)
            for name in ("stage", "microbatch")
        )
        texts = np.array([*self.actions, ""], dtype=object)
        names = np.array(self.op_names, dtype=object) if self.op_names else np.full(len(self), "", dtype=object)
        action = texts[code]
        frame = pd.DataFrame(
            {
                "op": np.where(names == "", action, names),
                "kind": np.array(kinds.KINDS, dtype=object)[self.kind],
                "rank": np.array(self.ranks, dtype=np.int64)[self.rank_index],
                "stream": np.array([stream.name for stream in self.streams], dtype=object)[self.stream],
                "microbatch": microbatch,
                "stage": stage,
                "ready_ns": self.ready_ns,
                "start_ns": self.start_ns,
                "end_ns": self.end_ns,
                "multiplicity": np.array(self.multiplicity, dtype=np.int64)[self.rank_index],
                "action": action,
            },
            columns=list(FRAME_COLUMNS),
        )
        if not expand:
            return frame
        if len(self.members) != len(self.ranks):
            raise ValueError("this timeline does not know which real ranks its ranks stand for")
        owner = {real: index for index, reals in enumerate(self.members) for real in reals}
        ops_of = [np.flatnonzero(self.rank_index == index) for index in range(len(self.ranks))]
        order = sorted(owner)
        rows = np.concatenate([ops_of[owner[real]] for real in order]) if order else np.zeros(0, dtype=np.int64)
        expanded = frame.iloc[rows].reset_index(drop=True)
        expanded["rank"] = np.repeat(np.array(order, dtype=np.int64), [len(ops_of[owner[real]]) for real in order])
        expanded["multiplicity"] = 1
        return expanded

    def _lanes(self) -> list[tuple[Stream, np.ndarray]]:
        """(stream, its ops in launch order), by rank and name."""
        order = np.argsort(self.stream, kind="stable")
        bounds = np.searchsorted(self.stream[order], np.arange(len(self.streams) + 1))
        lanes = [(lane, order[bounds[place] : bounds[place + 1]]) for place, lane in enumerate(self.streams)]
        return sorted(lanes, key=lambda pair: (pair[0].rank, pair[0].name))

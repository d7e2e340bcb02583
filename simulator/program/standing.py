"""Standing: everything around a rank that may tell it from another: its groups, its neighbours and its links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from simulator.cluster import Cluster
from simulator.network.loads import DIRECT, RING, Seat, Slot, message_ways, seat
from simulator.program.equitable import Standing
from simulator.program.program import Program, RankProgram

NEXT, PREVIOUS = "next", "previous"

Patterns = Mapping[str, tuple[str, ...]]

PATTERNS: Patterns = {"tensor": (RING,), "context": (RING,), "data": (RING,), "shard": (RING,), "replica": (RING,),
                      "samples": (RING, DIRECT), "tied": (RING,), "table": (RING, DIRECT), "table_node": (RING,),
                      "table_across": (DIRECT,)}  # fmt: skip
"""The groups whose collectives a program launches, and the patterns their messages take."""


def patterns_of(plan, *, direct_reduction: bool, shares_bags: bool = False) -> Patterns:
    """The same for one plan. direct_reduction: a compressor's payload goes to every other replica directly, as samples
    do that a balancer shuffles. shares_bags: vectors of tables that pool are gathered over context."""
    found = dict(PATTERNS)
    if direct_reduction or (plan.balancer.kind == "length" and plan.context == 1):
        found |= dict.fromkeys(("data", "shard", "replica"), (RING, DIRECT))
    if plan.context_kind == "all_to_all":
        found["context"] = (RING, DIRECT) if shares_bags else (DIRECT,)
    return found


GROUP_OF_STREAM = {"data": "data", "shard": "shard", "replica": "replica", "samples": "samples", "tied": "tied",
                   "embedding": "table"}  # fmt: skip
"""The kind of group whose collectives a stream runs, where the action does not say another."""


class Standings:
    """Of the ranks of one program on one cluster. shared: whether messages share links, so that those count too."""

    def __init__(self, program: Program, cluster: Cluster, patterns: Patterns, *, shared: bool):
        self._layout, self._cluster, self._patterns, self._shared = program.layout, cluster, patterns, shared
        self._seats = cache(self._find_seats)

    def kinds(self, own: RankProgram) -> tuple[str, ...]:
        """The kinds of groups in which a rank communicates."""
        streams = {launch.stream for launch in own.launches}
        kinds = [kind for stream, kind in GROUP_OF_STREAM.items() if stream in streams]
        if self._layout.node and "embedding" in streams:
            kinds += ["table_node", "table_across"]
        return (*self._layout.inner_kinds, *kinds)

    def slots(self, rank: int, kinds: Sequence[str]) -> dict[Slot, str]:
        """The links of a rank by the slot in which they serve it; none where nothing is shared."""
        if not self._shared:
            return {}
        ways = [way for kind in kinds for own in self._seats(kind, rank) for way in own.ways]
        for towards, peer in self._neighbours(rank):
            for sends in (True, False):
                ways += message_ways(self._cluster, rank, peer, towards, sends=sends)
        return {slot: link for slot, link, _ in ways}

    def around(self, rank: int, kinds: Sequence[str], slots: dict[Slot, str]) -> list[Standing]:
        """Where a rank stands, for `equitable_classes`."""
        cluster, standings = self._cluster, []
        for kind in kinds:
            group = self._layout.group(kind, rank)
            seats = tuple(own.shape for own in self._seats(kind, rank))
            standings.append(((kind, cluster.span(group), seats), (kind, group[0])))
        for towards, peer in self._neighbours(rank):
            ends = cluster.span(tuple(sorted((rank, peer))))
            standings.append(((towards, ends), ("edge", rank if towards == NEXT else peer)))
        standings += [((slot, cluster.link_capacity(link)), ("link", link)) for slot, link in slots.items()]
        if self._layout.tensor > 1:  # who shares it decides what contracts: their own tensor group, or others too
            column = rank // self._layout.tensor
            standings += [((slot, "together"), ("link", link, column)) for slot, link in slots.items()]
        return standings

    def _find_seats(self, kind: str, rank: int) -> tuple[Seat, ...]:
        group = self._layout.group(kind, rank)
        return tuple(seat(self._cluster, group, rank, kind, pattern) for pattern in self._patterns[kind])

    def _neighbours(self, rank: int) -> tuple[tuple[str, int], ...]:
        """The ranks of the next and the previous stage that a rank hands over to."""
        layout = self._layout
        if layout.pipeline == 1:
            return ()
        stage_ranks = layout.ranks // layout.pipeline
        return (NEXT, (rank + stage_ranks) % layout.ranks), (PREVIOUS, (rank - stage_ranks) % layout.ranks)

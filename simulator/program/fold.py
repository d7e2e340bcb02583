"""Folding: ranks that nothing tells apart are simulated once.

Two ranks are alike when their programs, their devices and their pace are, and when they stand alike among their groups,
their pipeline neighbours and their links: the classes of the coarsest equitable partition (`equitable.py`). Whatever
happens to one member then happens to all at the same time, so one representative stands for them; a straggler or a slow
link splits what it can reach and nothing else.

A cluster that looks the same after a shift by some ranks is asked about one such stretch of each stage only, so a
million ranks cost as much as a hundred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import lcm
from typing import NamedTuple

from simulator.cluster import Cluster
from simulator.network.loads import Slot
from simulator.program.equitable import equitable_classes
from simulator.program.program import Program, RankProgram
from simulator.program.standing import PATTERNS, Patterns, Standings


class FoldedLink(NamedTuple):
    """A link, by one of its class. is_private: only the ranks of one tensor group use it."""

    name: str
    bytes_per_s: int
    is_private: bool


class UsedLink(NamedTuple):
    """A rank's link. number: place in `Folding.links`. alike, together: how many ranks of its class, and how many of
    its tensor group, use that very link through the same slot (itself included). uses: by whoever, in any slot."""

    number: int
    alike: int
    together: int
    uses: int


@dataclass(frozen=True)
class Folding:
    """program: one RankProgram for each class.

    links: one for each class of links. link_of[rank, slot]: a representative's link in this slot.
    """

    program: Program
    links: tuple[FoldedLink, ...] = ()
    link_of: Mapping[tuple[int, Slot], UsedLink] = field(default_factory=dict)
    patterns: Patterns = field(default_factory=lambda: PATTERNS)

    def representative(self, rank: int) -> int:
        """The rank that stands for this one."""
        for members, own in self._runs:
            if rank in members:
                return own
        return self._singles[rank]

    def present(self, group: Sequence[int]) -> tuple[int, ...]:
        """The representatives of a group's members (ascending ranks), ascending."""
        for members, own in self._runs:
            if group[0] in members and group[-1] in members:
                return (own,)
        return tuple(sorted({self.representative(rank) for rank in group}))

    @cached_property
    def slots_of(self) -> dict[int, dict[Slot, UsedLink]]:
        """`link_of`, rank by rank."""
        found: dict[int, dict[Slot, UsedLink]] = {own.rank: {} for own in self.program.ranks}
        for (rank, slot), link in self.link_of.items():
            found[rank][slot] = link
        return found

    @cached_property
    def _runs(self) -> tuple[tuple[range, int], ...]:
        return tuple((own.members, own.rank) for own in self.program.ranks if isinstance(own.members, range))

    @cached_property
    def _singles(self) -> dict[int, int]:
        listed = (own for own in self.program.ranks if not isinstance(own.members, range))
        return {rank: own.rank for own in listed for rank in own.members}


def fold(
    program: Program, cluster: Cluster, pace: Mapping[int, float], *, links: bool, whole: bool = False,
    patterns: Patterns = PATTERNS,
) -> Folding:  # fmt: skip
    """The program with one representative for each class of ranks that are alike on this cluster.

    program: folded by pipeline rank (and by samples, where their lengths differ), as it is lowered; a rank may stand
    apart. pace: how many times slower the kernels of some ranks are. links: whether messages share links, so that ranks
    differ when theirs do. whole: every rank stands for itself.
    patterns: of the messages of each kind of group.
    """
    stretch = _stretch(program, cluster, pace, whole)
    asked = [(number, rank) for number, own in enumerate(program.ranks) for rank in own.members[:stretch]]
    standings = Standings(program, cluster, patterns, shared=links)
    kinds = [standings.kinds(own) for own in program.ranks]
    slots = [standings.slots(rank, kinds[number]) for number, rank in asked]
    if whole:
        found = list(range(len(asked)))
    else:
        found = equitable_classes(
            [(number, cluster.device_of(rank), pace.get(rank, 1.0)) for number, rank in asked],
            [standings.around(rank, kinds[number], own) for (number, rank), own in zip(asked, slots, strict=True)],
        )
    folded = Program(program.layout, _classes(program, asked, found, stretch))
    return Folding(folded, *_fold_links(program, cluster, [rank for _, rank in asked], found, slots), patterns)


def _stretch(program: Program, cluster: Cluster, pace: Mapping[int, float], whole: bool) -> int:
    """Ranks of each stage after which a stage repeats itself; the whole stage where it does not."""
    layout = program.layout
    stage_ranks = layout.ranks // layout.pipeline
    if whole or pace or not cluster.is_uniform or len(program.ranks) > layout.pipeline:
        return stage_ranks
    stretch = lcm(
        cluster.symmetry_period, layout.tensor * layout.context, layout.tensor * (layout.shard or 1), layout.node or 1
    )
    return stage_ranks if stage_ranks % stretch else stretch


def _classes(
    program: Program, asked: Sequence[tuple[int, int]], found: Sequence[int], stretch: int
) -> tuple[RankProgram, ...]:
    """A RankProgram for each class, by lowest rank; a class has the same members in every stretch of its stage."""
    number_of: dict[int, int] = {}
    members_of: dict[int, list[int]] = {}
    for (number, rank), own_class in zip(asked, found, strict=True):
        number_of[own_class] = number
        members_of.setdefault(own_class, []).append(rank)
    ranks = []
    for own_class, members in members_of.items():
        own = program.ranks[number_of[own_class]]
        everyone: Sequence[int] = own.members
        if len(members) < stretch:
            turns = range(0, len(own.members), stretch)
            everyone = tuple(rank + turn for turn in turns for rank in members)
        ranks.append(replace(own, rank=members[0], members=everyone))
    return tuple(sorted(ranks, key=lambda own: own.rank))


def _fold_links(
    program: Program, cluster: Cluster, ranks: Sequence[int], classes: Sequence[int], used: Sequence[Mapping[Slot, str]]
) -> tuple[tuple[FoldedLink, ...], dict[tuple[int, Slot], UsedLink]]:
    """Links that the same classes use in the same slots, equally often, are one."""
    users: dict[str, Counter] = {}
    groups: dict[str, Counter] = {}
    for rank, own_class, slots in zip(ranks, classes, used, strict=True):
        for slot, link in slots.items():
            users.setdefault(link, Counter())[slot, own_class] += 1
            groups.setdefault(link, Counter())[slot, rank // program.layout.tensor] += 1
    numbers: dict[tuple, int] = {}
    links: list[FoldedLink] = []
    number_of: dict[str, int] = {}
    for link, counts in users.items():
        key = cluster.link_capacity(link), frozenset(counts.items())
        if key not in numbers:
            numbers[key] = len(links)
            links.append(FoldedLink(link, key[0], len({group for _, group in groups[link]}) == 1))
        number_of[link] = numbers[key]
    link_of: dict[tuple[int, Slot], UsedLink] = {}
    represented: set[int] = set()
    for rank, own_class, slots in zip(ranks, classes, used, strict=True):
        if own_class in represented:
            continue
        represented.add(own_class)
        for slot, link in slots.items():
            together = groups[link][slot, rank // program.layout.tensor]
            alike, uses = users[link][slot, own_class], users[link].total()
            link_of[rank, slot] = UsedLink(number_of[link], alike, together, uses)
    return tuple(links), link_of

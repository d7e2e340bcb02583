"""Which embedding table is sharded how, over which members of the table group.

Every table has some choices (row_wise, column_wise in four pieces, ...). A choice costs every member something, and
each of its owners something besides: seconds of a step and bytes of memory. What is sought costs the busiest member
least and no member more memory than it has: unrelated machines with a second resource, which is NP-hard, so it is
searched (`sharding_search.py`) and judged against what no plan can beat (`sharding_bound.py`).

Times are whole picoseconds, so that sums are exact and a plan is the same on every machine. Where plans are equal, the
choice that is listed first, the member of the lowest number and the table that is listed first come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

PS_PER_S = 10**12


class Cost(NamedTuple):
    """Of one step on one member."""

    time_ps: int = 0
    size_bytes: int = 0


NOTHING = Cost()


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to shard one table: it costs every member `everywhere`, and each of its owners `owner` besides.

    places: how many different places it is put on; 0 where no member owns more of it than another. of_nodes: a place
    is a node, whose members all own alike; else it is a member.
    """

    kind: str
    places: int = 0
    of_nodes: bool = False
    everywhere: Cost = NOTHING
    owner: Cost = NOTHING


@dataclass(frozen=True, slots=True)
class Problem:
    """choices: of each table, at least one. budgets: bytes that tables may take of each member, node by node.

    per_node: members of one node, which divides their number; 1 where choices of nodes are not offered. closed: a
    member that owns no part of any table (what every member pays it pays too).
    """

    choices: tuple[tuple[Choice, ...], ...]
    budgets: tuple[int, ...]
    per_node: int = 1
    closed: int | None = None

    @property
    def members(self) -> int:
        return len(self.budgets)

    def closed_place(self, choice: Choice) -> int | None:
        """The place of a choice that takes no part."""
        if self.closed is None:
            return None
        return self.closed // self.per_node if choice.of_nodes else self.closed

    def owners(self, choice: Choice, places: tuple[int, ...]) -> tuple[int, ...]:
        """The members on these places."""
        width = self.per_node if choice.of_nodes else 1
        return tuple(place * width + member for place in places for member in range(width))


@dataclass(frozen=True, slots=True)
class Sharding:
    """What was found. chosen: (choice, its places in ascending order) of each table.

    time_ps: of the busiest member. bound_ps: what no plan that fits can be below. short_bytes: by how much the fullest
    member exceeds what it has, where nothing was found that fits.
    """

    chosen: tuple[tuple[Choice, tuple[int, ...]], ...]
    time_ps: int
    bound_ps: int
    short_bytes: int = 0

    @property
    def fits(self) -> bool:
        return self.short_bytes == 0

    @property
    def gap(self) -> float:
        """How far above the bound the busiest member is, as a share of the bound."""
        return self.time_ps / self.bound_ps - 1 if self.bound_ps else 0.0


@lru_cache(maxsize=128)
def shard_tables(problem: Problem) -> Sharding:
    """The best plan that was found; where none fits, the one that was found to miss by least."""
    from simulator.policies.sharding_bound import lower_bound
    from simulator.policies.sharding_proof import raised
    from simulator.policies.sharding_search import make_plain, search, smallest

    bound = lower_bound(problem)
    found = search(problem, bound) if bound is not None else None
    if found is None:
        found = smallest(problem)
    else:
        make_plain(found)
    time_ps = int(found.times.max())
    short = max(0, *(size - budget for size, budget in zip(found.sizes.tolist(), problem.budgets, strict=True)))
    least = raised(problem, bound, time_ps) if bound and not short else 0
    return Sharding(tuple(found.placed), time_ps, least, short)

"""Collectives as what they are on the wire: rounds of messages, for `simulate_rounds`.

`route(source, target)` gives the link indices between two ranks, numbered from 0 in the order of the ring. A round that
comes back is one and the same tuple each time, so that a ring of 4,096 ranks is 4,096 messages and not 33.5 million.
Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, 2005. Not
modelled: the time that reductions take, pieces below a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from simulator.errors import ScenarioError

Route = Callable[[int, int], Iterable[int]]


class Message(NamedTuple):
    """`num_bytes` from rank `source` to rank `target` over the links of `path`."""

    source: int
    target: int
    num_bytes: float
    path: tuple[int, ...]


Round = tuple[Message, ...]
"""What every rank sends in one go, before it waits for what others send it in the same round."""


def ring_reduce_scatter(num_bytes: float, num_ranks: int, route: Route) -> list[Round]:
    """num_ranks - 1 rounds; in each a rank sends a num_ranks-th of `num_bytes` to its successor."""
    _refuse_lonely(num_ranks)
    pairs = [(rank, (rank + 1) % num_ranks) for rank in range(num_ranks)]
    return [_round(pairs, num_bytes / num_ranks, route)] * (num_ranks - 1)


def ring_all_gather(num_bytes: float, num_ranks: int, route: Route) -> list[Round]:
    """On the wire what `ring_reduce_scatter` is; `num_bytes` is the whole that each rank has at the end."""
    return ring_reduce_scatter(num_bytes, num_ranks, route)


def ring_all_reduce(num_bytes: float, num_ranks: int, route: Route) -> list[Round]:
    """A reduce-scatter, then an all-gather: 2 (num_ranks - 1) rounds."""
    return 2 * ring_reduce_scatter(num_bytes, num_ranks, route)


def halving_doubling_all_reduce(num_bytes: float, num_ranks: int, route: Route) -> list[Round]:
    """Half of `num_bytes` exchanged with the neighbour, a quarter with the next but one and so on, and all of it back.

    Raises ScenarioError where num_ranks is no power of two.
    """
    _refuse_lonely(num_ranks)
    if num_ranks & (num_ranks - 1):
        raise ScenarioError(f"halving and doubling pairs ranks, and {num_ranks} is no power of two; take a ring")
    halving = [
        _round([(rank, rank ^ (1 << step)) for rank in range(num_ranks)], num_bytes / (2 << step), route)
        for step in range(num_ranks.bit_length() - 1)
    ]
    return halving + halving[::-1]


def direct_all_to_all(num_bytes: float, num_ranks: int, route: Route) -> list[Round]:
    """One round: each rank sends a num_ranks-th of its `num_bytes` to each other one, all at once."""
    _refuse_lonely(num_ranks)
    pairs = [(rank, other) for rank in range(num_ranks) for other in range(num_ranks) if other != rank]
    return [_round(pairs, num_bytes / num_ranks, route)]


def side_by_side(first: Sequence[Round], second: Sequence[Round]) -> list[Round]:
    """Two collectives at once over the same links; the ranks of `second` are numbered on after those of `first`.

    Neither waits for the other: a rank knows only of the messages from and to it.
    """
    offset = num_ranks_in(first)
    nothing: Round = ()
    pairs = list(zip_longest(first, second, fillvalue=nothing))
    joined = {
        (id(here), id(there)): (*here, *(Message(a + offset, b + offset, *rest) for a, b, *rest in there))
        for here, there in pairs
    }
    return [joined[id(here), id(there)] for here, there in pairs]


def bytes_on_links(rounds: Sequence[Round], num_links: int) -> list[float]:
    """Bytes that the rounds send over each link in all."""
    total = [0.0] * num_links
    for times, one in counted(rounds):
        for _, _, num_bytes, path in one:
            for link in path:
                total[link] += times * num_bytes
    return total


def counted(rounds: Sequence[Round]) -> list[tuple[int, Round]]:
    """(how often, round) for each distinct one, in the order of first appearance: the same object is the same round."""
    times: dict[int, int] = {}
    distinct: dict[int, Round] = {}
    for one in rounds:
        times[id(one)] = times.get(id(one), 0) + 1
        distinct[id(one)] = one
    return [(times[key], one) for key, one in distinct.items()]


def num_ranks_in(rounds: Sequence[Round]) -> int:
    """One more than the highest rank that sends or receives."""
    return max((max(message[:2]) + 1 for _, one in counted(rounds) for message in one), default=0)


def _round(pairs: Iterable[tuple[int, int]], num_bytes: float, route: Route) -> Round:
    return tuple(Message(source, target, num_bytes, tuple(route(source, target))) for source, target in pairs)


def _refuse_lonely(num_ranks: int) -> None:
    if num_ranks < 2:
        raise ScenarioError(f"a collective of {num_ranks} ranks sends nothing; give 2 or more")

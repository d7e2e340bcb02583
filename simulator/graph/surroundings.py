"""Surroundings: what one rank's ops find around them: spans of its groups, and the links that its messages load.

An op's demands are told by slot, not by link, so that a template serves every rank that has the same around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil
from typing import TYPE_CHECKING

from simulator.cluster import Cluster, GroupSpan
from simulator.costs.price import Price
from simulator.layout import Layout
from simulator.network.loads import INSIDE, Seat, Slot, Way, message_ways, seat
from simulator.program.fold import Folding, UsedLink
from simulator.program.standing import NEXT, PREVIOUS

if TYPE_CHECKING:
    from simulator.costs.pricer import Pricer


ROUNDING = 1e-9
"""Links carry this share more than what the fastest message needs alone, whose rate is a quotient of rounded times."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an op asks of links. latency_ns: the part of its duration in which it asks nothing.

    flow_bytes_per_s: one of its flows at full speed, where its way is narrowest. slots: bytes/s at full speed on the
    links of its rank. sizes: bytes in all, in the same order.
    """

    latency_ns: int = 0
    flow_bytes_per_s: int = 0
    slots: tuple[tuple[Slot, int], ...] = ()
    sizes: tuple[int, ...] = ()


NO_DEMAND = Demand()


class Surroundings:
    """Of one representative rank.

    shared: whether messages share links; without, no op asks anything of them.
    """

    def __init__(
        self, cluster: Cluster, layout: Layout, folding: Folding, rank: int, pricer: Pricer, *, shared: bool
    ):  # fmt: skip
        self._cluster, self._layout, self._rank, self._pricer, self.shared = cluster, layout, rank, pricer, shared
        self._links = folding.slots_of[rank]
        self._patterns = folding.patterns
        self._folded = folding.links
        self._seat: Callable[[str, str], Seat] = cache(
            lambda kind, pattern: seat(cluster, layout.group(kind, rank), rank, kind, pattern)
        )
        self.span: Callable[[str], GroupSpan] = cache(lambda kind: cluster.span(layout.group(kind, rank)))

    def collective(self, kind: str, price: Price) -> Demand:
        """The demand of a collective of the rank's group of this kind."""
        traffic = price.traffic
        if not self.shared or traffic is None:
            return NO_DEMAND
        own = self._seat(kind, traffic.pattern)
        return _demand(price, own.loads(traffic.pattern, traffic.member_bytes, traffic.node_bytes))

    def transfer(self, price: Price, peer: int, *, sends: bool) -> Demand:
        """The demand of one end of a message between this rank and a peer of another stage."""
        if not self.shared or price.traffic is None:
            return NO_DEMAND
        return _demand(price, tuple((slot, price.traffic.member_bytes) for slot, _, _ in self._message(peer, sends)))

    def links(self, kind: str) -> frozenset[int]:
        """The links that collectives of this kind load."""
        seats = [self._seat(kind, pattern) for pattern in self._patterns[kind]]
        return frozenset(self.link(slot).number for own in seats for slot, _, _ in own.ways if slot in self._links)

    def transfer_links(self, *, sends: bool) -> frozenset[int]:
        """The links that pipeline messages load, to and from either neighbour."""
        stage_ranks = self._layout.ranks // self._layout.pipeline
        peers = [(self._rank + step) % self._layout.ranks for step in (stage_ranks, -stage_ranks)]
        return frozenset(self.link(slot).number for peer in peers for slot, _, _ in self._message(peer, sends))

    def link(self, slot: Slot) -> UsedLink:
        """The link in this slot."""
        return self._links[slot]

    def capacity(self, slot: Slot) -> int:
        """Bytes/s that large messages reach on the link in this slot."""
        link = self._links[slot].number
        tier = "gpu" if slot[1].startswith(INSIDE) else "port"
        return ceil(self._folded[link].bytes_per_s * self._pricer.link_efficiency(tier) * (1 + ROUNDING))

    def is_held_back(self, demand: Demand) -> bool:
        """Whether a link cannot carry this at full speed, nothing running but the same of the tensor group."""
        load: dict[int, int] = {}
        for slot, rate in demand.slots:
            own = self._links[slot]
            load[own.number] = load.get(own.number, 0) + rate * own.together
            if load[own.number] > self.capacity(slot):
                return True
        return False

    @cached_property
    def inner_links(self) -> frozenset[int]:
        """The links that collectives inside compute actions load."""
        return frozenset(link for kind in self._layout.inner_kinds for link in self.links(kind))

    @cached_property
    def inner_is_private(self) -> bool:
        """Whether nobody outside the tensor group loads those links."""
        return all(self._folded[link].is_private for link in self.inner_links)

    @cached_property
    def pace(self) -> tuple:
        """What may make it ready earlier or later than others: what its messages ask of links, and who else does."""
        return self._shapes, self._told

    @cached_property
    def signature(self) -> tuple:
        """Equal signatures lay out steps alike, collectives included."""
        spans = tuple(self.span(kind) for kind in self._layout.inner_kinds)
        alike = sorted((str(slot), own.alike) for slot, own in self._links.items())
        return spans, self._shapes, self._told, tuple(alike)

    @cached_property
    def _inner_seats(self) -> tuple[Seat, ...]:
        """Where it sits for the collectives inside its compute actions; nowhere where no links are shared."""
        kinds = self._layout.inner_kinds if self.shared else ()
        return tuple(self._seat(kind, pattern) for kind in kinds for pattern in self._patterns[kind])

    @property
    def _shapes(self) -> tuple:
        return tuple(own.shape for own in self._inner_seats)

    @cached_property
    def _told(self) -> tuple:
        """Its links without their names: equal where pieces that load them take as long alone."""
        places: dict[int, int] = {}
        found = []
        for slot, own in sorted(self._links.items()):
            place = places.setdefault(own.number, len(places))  # one link may be in several slots
            found.append((slot, place, self.capacity(slot), own.together, own.uses))
        return tuple(found)

    def _message(self, peer: int, sends: bool) -> tuple[Way, ...]:
        towards = NEXT if self._layout.is_next(self._rank, peer) else PREVIOUS
        return message_ways(self._cluster, self._rank, peer, towards, sends=sends)


def _demand(price: Price, found: tuple[tuple[Slot, float], ...]) -> Demand:
    traffic = price.traffic
    if not found or traffic.moving_s <= 0:
        return NO_DEMAND
    asked = [(slot, int(size / traffic.moving_s), round(size)) for slot, size in found]
    asked = [row for row in asked if row[1]]
    if not asked:
        return NO_DEMAND
    rates = tuple((slot, rate) for slot, rate, _ in asked)
    outside = [rate for slot, rate in rates if not slot[1].startswith(INSIDE)]
    flow = max(outside or [rate for _, rate in rates])
    return Demand(traffic.latency_ns, flow, rates, tuple(size for _, _, size in asked))

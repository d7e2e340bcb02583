"""LinkShares: how fast activities that meet on a link go on. Integers only, so that neither the order in which things
are listed nor folding changes a bit.

The law, and the only place that knows it. A *level* is what one flow gets, in bytes/s. An activity's *cap* is the level
at which it goes as fast as overlap lets it: flow * rate / FULL_RATE, rounded up. A link is *short* while those that
transfer over it ask for more than its capacity at full speed; only short links hold anyone back. Activities joined by
short links are filled together (`levels`): all levels rise at once; where a link is full or a cap is reached, the
activities concerned keep the level, and the others rise on. The rate of an activity is FULL_RATE * level / flow,
rounded down, at least 1, and exactly what overlap lets it where it reached its cap.

A fill is done once per instant and only for the components that changed. A component with the same loads and caps as
one before, on the same links, has its answer looked up: what recurs every layer is solved once.

Rejected: float64 (a folded activity of weight 8 and eight of weight 1 differ in the last bit, and so does their step),
filling everything at every change (a thousand communicators that share ports in pairs are a thousand components).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

from simulator.engine.link_loads import LinkLoads
from simulator.units import FULL_RATE

OPEN = -1

REMEMBERED = 2**17
"""Answers kept at most; where nothing recurs they would only take memory."""


class Transferring(Protocol):
    """What an engine keeps of an activity that transfers: the rate that overlap allows it."""

    allowed: int


class LinkShares:
    """The rates of the activities that transfer now.

    loads: what each activity loads. running: what the engine keeps of each activity while it runs.
    """

    def __init__(self, loads: LinkLoads, running: Sequence[Transferring]) -> None:
        self._loads = loads.of_activity()
        self._flow = {activity: int(loads.flow[activity]) for activity in self._loads}
        numbers: dict[tuple, int] = {}
        self._alike = {  # activities of one number load the same links with the same flow
            activity: numbers.setdefault((self._flow[activity], own), len(numbers))
            for activity, own in self._loads.items()
        }
        self._capacity = loads.capacity.tolist()
        self._running = running
        self._asked = [0] * len(self._capacity)  # bytes/s on each link if all that transfer did so at full speed
        self._users: list[dict[int, None]] = [{} for _ in self._capacity]  # a dict keeps the order of arrival
        self.changed: list[int] = []
        """Activities that `settle` has to look at."""
        self._known: dict[tuple, list[int]] = {}

    def begin(self, activity: int) -> None:
        """`activity` transfers from now on."""
        for link, demand, _ in self._loads[activity]:
            self._asked[link] += demand
            self._users[link][activity] = None
        self.changed.append(activity)

    def end(self, activity: int) -> None:
        """`activity` no longer transfers."""
        for link, demand, _ in self._loads[activity]:
            users = self._users[link]
            del users[activity]
            was_short = self._asked[link] > self._capacity[link]
            self._asked[link] -= demand
            if self._asked[link] > self._capacity[link]:
                self.changed.append(next(iter(users)))  # the others hang on it
            elif was_short:
                self.changed += users

    def allow(self, activity: int) -> None:
        """What overlap allows `activity`, which transfers, is no longer what it was."""
        self.changed.append(activity)

    def settle(self) -> Iterator[tuple[int, int]]:
        """(activity, rate) of everything that the changes since the last time can reach."""
        seen: set[int] = set()
        for activity in self.changed:
            if activity in seen or not self._transfers(activity):
                continue
            component = self._component(activity)
            seen.update(component)
            yield from zip(component, self._rates(component), strict=True)
        self.changed.clear()

    def _transfers(self, activity: int) -> bool:
        return activity in self._users[self._loads[activity][0][0]]

    def _component(self, activity: int) -> list[int]:
        """All that short links join to `activity`, ascending."""
        component, seen, links = [activity], {activity}, set()
        for member in component:
            for link, _, _ in self._loads[member]:
                if self._asked[link] > self._capacity[link] and link not in links:
                    links.add(link)
                    others = [user for user in self._users[link] if user not in seen]
                    seen.update(others)
                    component += others
        component.sort()
        return component

    def _rates(self, component: list[int]) -> list[int]:
        """The rate of each member of a component."""
        allowed = [self._running[activity].allowed for activity in component]
        pattern = (*allowed, *[self._alike[activity] for activity in component])
        rates = self._known.get(pattern)
        if rates is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            rates = self._known[pattern] = self._filled(component, allowed)
        return rates

    def _filled(self, component: list[int], allowed: list[int]) -> list[int]:
        flows = [self._flow[activity] for activity in component]
        caps = [-(-flow * rate // FULL_RATE) for flow, rate in zip(flows, allowed, strict=True)]
        short = [
            [(link, weight) for link, _, weight in self._loads[activity] if self._asked[link] > self._capacity[link]]
            for activity in component
        ]
        return [
            rate if level == cap else max(level * FULL_RATE // flow, 1)
            for rate, cap, level, flow in zip(allowed, caps, levels(caps, short, self._capacity), flows, strict=True)
        ]


def levels(caps: Sequence[int], loads: Sequence[Sequence[tuple[int, int]]], capacities: Sequence[int]) -> list[int]:
    """The level of each activity, at most its cap. loads: (link, weight) for each link that it crosses.

    An offer is the level that a link gives those it still fills, or a cap. The lowest offer stops all that it is made
    to, ties together; what stopped is subtracted exactly, so offers never fall.
    """
    level = [OPEN] * len(caps)
    left: dict[int, int] = {}
    weight: dict[int, int] = {}
    users: dict[int, list[int]] = {}
    for member, own in enumerate(loads):
        for link, amount in own:
            left[link] = capacities[link] * FULL_RATE
            weight[link] = weight.get(link, 0) + amount
            users.setdefault(link, []).append(member)
    offers = [(cap, ~member) for member, cap in enumerate(caps)]
    offers += [(left[link] // weight[link], link) for link in left]
    heapify(offers)
    while offers:
        lowest = offers[0][0]
        stopped: list[int] = []
        while offers and offers[0][0] == lowest:
            _, who = heappop(offers)
            if who < 0:
                stopped.append(~who)
            elif weight[who]:
                offer = left[who] // weight[who]
                if offer == lowest:
                    stopped += users[who]
                else:  # others that it filled have stopped since
                    heappush(offers, (offer, who))
        for member in stopped:
            if level[member] == OPEN:
                level[member] = lowest
                for link, amount in loads[member]:
                    left[link] -= amount * lowest
                    weight[link] -= amount
    return level

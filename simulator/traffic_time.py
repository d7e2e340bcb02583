"""TrafficTime: how long a step's messages keep the busiest rank, whichever devices ranks run on.

Each message is priced alone, over what its group finds between its devices; nothing is hidden and no link is shared.
So it ranks placements in well under a millisecond a hundred ranks, and the engine decides between the first of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from simulator.cluster import PlacedCluster
from simulator.graph.messages import Message, collective_of
from simulator.graph.steps import StepSource
from simulator.model.work import Collective
from simulator.policies.rank_orders import Order
from simulator.program.lowering import lower
from simulator.road import Prices


@dataclass(frozen=True)
class RankTraffic:
    """Of one representative, each with how often a step sends it. collectives: `Message`. sends: (pipeline rank,
    bytes)."""

    members: tuple[int, ...]
    collectives: Counter
    sends: Counter


class TrafficTime:
    """Called with an order: ns. Tables are sharded as in rank order, whatever `auto` makes of another one."""

    def __init__(self, scenario, prices: Prices):
        cluster = scenario.cluster
        self.base = cluster.base if isinstance(cluster, PlacedCluster) else cluster
        program = lower(scenario)
        self.layout = program.layout
        self.pricers = {cluster.device_of(rank): prices.pricer_of(rank) for rank in reversed(range(cluster.gpus))}
        steps = StepSource(scenario, prices.cut)
        self.ranks = [self._traffic(own, steps) for own in program.ranks]
        self._collective = cache(self._collective_ns)
        self._send = cache(self._send_ns)

    def __call__(self, order: Order) -> int:
        busiest = 0
        for number, own in enumerate(self.ranks):
            kinds = dict.fromkeys(sent.group for sent in own.collectives)
            for rank in own.members:
                total = 0
                for kind in kinds:
                    devices = tuple(sorted(order[one] for one in self.layout.group(kind, rank)))
                    total += self._collective(number, kind, devices)
                _, *others = self.layout.coordinates(rank)
                for (peer, size), count in own.sends.items():
                    ends = tuple(sorted((order[rank], order[self.layout.rank(peer, *others)])))
                    total += count * self._send(size, ends)
                busiest = max(busiest, total)
        return busiest

    def _traffic(self, own, steps: StepSource) -> RankTraffic:
        collectives, sends = Counter(), Counter()
        for launch in own.launches:
            action = launch.action
            if launch.stream == "compute":
                inner = (step for piece in steps.steps(own, action) for step in piece.steps)
                found = [
                    Message(one.op, one.group, one.size_bytes, "auto") for one in inner if isinstance(one, Collective)
                ]
                collectives.update(one for one in found if len(self.layout.group(one.group, own.rank)) > 1)
            elif action.verb == "send":
                sends[action.peer, action.size_bytes] += 1
            elif action.verb != "recv":
                sent = collective_of(launch, steps, lambda kind, rank=own.rank: len(self.layout.group(kind, rank)))
                collectives[sent] += 1
        return RankTraffic(tuple(own.members), collectives, sends)

    def _collective_ns(self, number: int, kind: str, devices: Order) -> int:
        span, pricer = self.base.span(devices), self._pricer(devices)
        return sum(
            count * pricer.collective(sent.op, sent.size_bytes, span, sent.algorithm).duration_ns
            for sent, count in self.ranks[number].collectives.items() if sent.group == kind
        )  # fmt: skip

    def _send_ns(self, size: int, devices: Order) -> int:
        return self._pricer(devices).transfer(size, self.base.span(devices)).duration_ns

    def _pricer(self, devices: Order):
        return self.pricers[self.base.device_of(devices[0])]

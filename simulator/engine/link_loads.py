"""LinkLoads: which activities load which links, and which of those links can ever be short.

A link that is never short slows nobody: it is left out, and an activity left without links runs as if it had none. At
most one activity of a stream runs at a time, so a link is never asked for more than the sum, over streams, of the
largest load that one of their activities puts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simulator.engine.activities import Activities
from simulator.units import FULL_RATE

Load = tuple[int, int, int]
"""(link, demand in bytes/s, weight): what an activity that transfers at full speed puts on one link."""


@dataclass(frozen=True)
class LinkLoads:
    """Entries for the a activities of a graph and the links that can be short.

    is_shared[a]: whether the activity transfers over such a link. flow[a] int64: bytes/s of one of its flows.
    transfer_ns[a] int64: how much of its duration it transfers for, at full speed.
    activity[d], link[d], demand[d], weight[d] int64: its loads, ascending by activity and link. A weight is how many
        flows, in units of 1 / FULL_RATE, the load counts for where a link is shared: demand / flow, rounded up.
    capacity[l] int64: bytes/s of each link of the graph. most_weight[l] int64: the most that can meet on it.
    """

    is_shared: np.ndarray
    flow: np.ndarray
    transfer_ns: np.ndarray
    activity: np.ndarray
    link: np.ndarray
    demand: np.ndarray
    weight: np.ndarray
    capacity: np.ndarray
    most_weight: np.ndarray

    def of_activity(self) -> dict[int, tuple[Load, ...]]:
        """The loads of each activity that has any."""
        rows = list(zip(self.link.tolist(), self.demand.tolist(), self.weight.tolist(), strict=True))
        activities, first = np.unique(self.activity, return_index=True)
        bounds = pairwise([*first.tolist(), len(rows)])
        owners = zip(activities.tolist(), bounds, strict=True)
        return {activity: tuple(rows[low:high]) for activity, (low, high) in owners}

    def least_rate(self) -> np.ndarray:
        """int64[a]: the rate that links leave an activity at worst, when all that can meet on them does."""
        least = np.full(len(self.is_shared), FULL_RATE, dtype=np.int64)
        for activity, link in zip(self.activity.tolist(), self.link.tolist(), strict=True):
            level = int(self.capacity[link]) * FULL_RATE // int(self.most_weight[link])
            rate = max(level * FULL_RATE // int(self.flow[activity]), 1)
            least[activity] = min(least[activity], rate)
        return least


def link_loads(work: Activities) -> LinkLoads:
    """What the activities of a graph load, with the links left out that are never short."""
    graph, num_links = work.graph, max(len(work.graph.link_capacity), 1)
    flow = work.combined(np.maximum, graph.flow_bytes_per_s)
    transfer_ns = work.duration_ns - work.combined(np.maximum, graph.latency_ns)
    of_entry = work.of_op[np.repeat(np.arange(len(graph)), np.diff(graph.demand_first))]
    transfers = transfer_ns[of_entry] > 0
    of_entry, demand = of_entry[transfers], graph.demand_bytes_per_s[transfers]
    whole, rest = np.divmod(demand, flow[of_entry])
    weight = whole * FULL_RATE + -(-rest * FULL_RATE // flow[of_entry])
    key, (demand, weight) = _summed(of_entry * num_links + graph.demand_link[transfers], demand, weight)
    activity, link = np.divmod(key, num_links)

    lane = work.combined(np.minimum, graph.stream)[activity].astype(np.int64)
    most_demand = _most(link, lane, demand, num_links)
    kept = most_demand[link] > graph.link_capacity[link] if len(link) else np.zeros(0, dtype=bool)
    is_shared = np.zeros(len(work), dtype=bool)
    is_shared[activity[kept]] = True
    return LinkLoads(
        is_shared,
        flow,
        transfer_ns,
        activity[kept],
        link[kept],
        demand[kept],
        weight[kept],
        graph.link_capacity,
        _most(link, lane, weight, num_links),
    )


def _summed(key: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct keys, ascending, and each column summed over the entries of each key."""
    order = np.argsort(key, kind="stable")
    distinct, first = np.unique(key[order], return_index=True)
    return distinct, [np.add.reduceat(column[order], first) if len(first) else column for column in columns]


def _most(link: np.ndarray, lane: np.ndarray, load: np.ndarray, num_links: int) -> np.ndarray:
    """int64[l]: the sum over streams of the largest load that an activity of the stream puts on each link."""
    num_lanes = int(lane.max(initial=0)) + 1
    key = link * num_lanes + lane
    order = np.argsort(key, kind="stable")
    distinct, first = np.unique(key[order], return_index=True)
    most = np.zeros(num_links, dtype=np.int64)
    if len(distinct):
        np.add.at(most, distinct // num_lanes, np.maximum.reduceat(load[order], first))
    return most

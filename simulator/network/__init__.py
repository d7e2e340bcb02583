"""The links of a cluster: routes over them, and what flows that meet on one get of it.

Names are imported when they are first asked for: routes need no numpy, shares no networkx.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "fair_share": "simulator.network.max_min",
    "simulate_flows": "simulator.network.flows",
    "RouteShares": "simulator.network.route_shares",
    "simulate_rounds": "simulator.network.rounds",
    "Message": "simulator.network.collective_rounds",
    "ring_reduce_scatter": "simulator.network.collective_rounds",
    "ring_all_gather": "simulator.network.collective_rounds",
    "ring_all_reduce": "simulator.network.collective_rounds",
    "halving_doubling_all_reduce": "simulator.network.collective_rounds",
    "direct_all_to_all": "simulator.network.collective_rounds",
    "side_by_side": "simulator.network.collective_rounds",
    "bytes_on_links": "simulator.network.collective_rounds",
    "cluster_graph": "simulator.cluster.routes",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'simulator.network' has no attribute {name!r}")

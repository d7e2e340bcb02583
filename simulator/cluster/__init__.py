"""Cluster: devices, nodes, links and the fabric between them, as small frozen values.

A cluster is symbolic: two numbers say how many nodes of which type there are, so a million GPUs cost as much as eight.
`parts` are what it is made of, `wires` are its links by rule, `spans` say what a group of ranks finds between its
members, `names` find a link by what a user calls it, `routes` join them. The networkx graph of every link is built only
when somebody asks for it (`Cluster.graph`), and tests hold the rules to that graph.

Rates are bytes/s in one direction. Ranks are numbered from 0 and fill the nodes in order.
"""

from simulator.cluster.cluster import Cluster
from simulator.cluster.parts import Device, Fabric, Link, NodeFabric, NodeType, Ranks
from simulator.cluster.placed import PlacedCluster, placed
from simulator.cluster.spans import GroupSpan
from simulator.cluster.wires import RankLinks

__all__ = [
    "Cluster",
    "Device",
    "Fabric",
    "GroupSpan",
    "Link",
    "NodeFabric",
    "NodeType",
    "PlacedCluster",
    "RankLinks",
    "Ranks",
    "placed",
]

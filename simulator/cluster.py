"""Cluster: devices, nodes, links and the fabric between them, as small frozen values.

A cluster is symbolic: two numbers say how many nodes of which type there are, so a million GPUs cost as much as eight.
What a collective needs of it is a `GroupSpan`, worked out by rule; the networkx graph of every link is built only when
somebody asks for it (`Cluster.graph`), and a test holds the rules to that graph.

Rates are bytes/s in one direction. Ranks are numbered from 0 and fill the nodes in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from simulator.errors import NotSupportedYet

if TYPE_CHECKING:
    import networkx

Ranks = range | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator (or one CPU worker), as its datasheet states it.

    name: the key that scenarios and profiles use ("a100_sxm4_80gb"). memory_bytes: 80 * 2**30 for "80GB".
    peak_flops_per_s: (dtype, dense FLOP/s) pairs; a dtype that is not there has no known peak.
    profile: the cost profile this device is priced from, None where it has none (datasheet prices).
    profile_bandwidth_bytes_per_s: memory bandwidth of the sibling chip that the profile was measured on;
        None: this very chip.
    host_link_bytes_per_s: to host memory, each direction. sustained_flops_per_s: an assumed rate that stands in for a
    peak nobody publishes (a CPU); it prices kernels and never enters an MFU.
    """

    name: str
    memory_bytes: int
    memory_bandwidth_bytes_per_s: int
    peak_flops_per_s: tuple[tuple[str, float], ...]
    host_link_bytes_per_s: int
    profile: str | None = None
    profile_bandwidth_bytes_per_s: int | None = None
    sustained_flops_per_s: float | None = None

    def peak(self, dtype: str) -> float | None:
        """Dense FLOP/s of the datasheet at this dtype, None where unknown."""
        return dict(self.peak_flops_per_s).get(dtype)

    @property
    def memory_scale(self) -> float:
        """How much faster this device's memory is than that of the device its profile was measured on."""
        if self.profile_bandwidth_bytes_per_s is None:
            return 1.0
        return self.memory_bandwidth_bytes_per_s / self.profile_bandwidth_bytes_per_s


@dataclass(frozen=True, slots=True)
class NodeFabric:
    """What joins the devices of one node: each device sends and receives gpu_bytes_per_s at once.

    kind: nvswitch, pcie, loopback or none. latency_s: from one device to another. in_switch_reduction: NVLS.
    """

    kind: str
    gpu_bytes_per_s: int
    latency_s: float
    in_switch_reduction: bool = False


@dataclass(frozen=True, slots=True)
class NodeType:
    """A node of `gpus` devices and `nics` network cards of nic_bytes_per_s each, in each direction.

    One device sends through its own NIC: with fewer NICs than devices neighbours share one (p4d: 4 for 8, in pairs),
    with more a device owns several and uses them together (p5: 32 for 8). Counts must divide one another.
    """

    device: Device
    gpus: int
    nics: int
    nic_bytes_per_s: int
    fabric: NodeFabric

    def __post_init__(self) -> None:
        if self.nics and self.gpus % self.nics and self.nics % self.gpus:
            raise ValueError(f"{self.nics} NICs cannot be dealt evenly to {self.gpus} devices")

    @property
    def node_bytes_per_s(self) -> int:
        """All NICs of the node together."""
        return self.nics * self.nic_bytes_per_s

    @property
    def ports(self) -> int:
        """Network ports as the links count them: one for each NIC, or one for each device that owns several."""
        return min(self.nics, self.gpus)

    @property
    def port_bytes_per_s(self) -> int:
        """The most that one device can send out of the node."""
        return self.node_bytes_per_s // self.ports if self.ports else 0

    def port_of(self, local_rank: int) -> int:
        """Which port the device at this place in the node uses."""
        return local_rank * self.ports // self.gpus


@dataclass(frozen=True, slots=True)
class Fabric:
    """The network between nodes. latency_s: from NIC to NIC, cables and switches included.

    kind: nonblocking, or (refused until link sharing is built) rail_optimized, fat_tree with an oversubscription ratio.
    """

    latency_s: float
    kind: str = "nonblocking"
    oversubscription: float = 1.0
    in_network_reduction: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of one wire between two named ends."""

    source: str
    target: str
    capacity_bytes_per_s: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class GroupSpan:
    """What a group of ranks finds between its members.

    size: members. nodes: nodes they lie on. per_node: most members on one node.
    intra_bytes_per_s, intra_latency_s: one member to another inside a node.
    node_bytes_per_s: what the group may send out of each of its nodes (the poorest one), and as much receive;
    0 where it stays inside one node. inter_latency_s: one member to another across nodes.
    """

    size: int
    nodes: int
    per_node: int
    intra_bytes_per_s: int
    intra_latency_s: float
    node_bytes_per_s: int
    inter_latency_s: float


@dataclass(frozen=True)
class Cluster:
    """Nodes in rank order, group by group, on one fabric.

    links: wires that replace those of the same ends in the graph (degraded or stated inline).
    """

    groups: tuple[tuple[NodeType, int], ...]
    fabric: Fabric
    name: str = ""
    links: tuple[Link, ...] = ()

    @cached_property
    def gpus(self) -> int:
        """Devices in all."""
        return sum(node.gpus * count for node, count in self.groups)

    @cached_property
    def nodes(self) -> int:
        """Nodes in all."""
        return sum(count for _, count in self.groups)

    @property
    def is_mixed(self) -> bool:
        """True when nodes differ, so that ranks are no longer alike."""
        return len({node for node, _ in self.groups}) > 1

    @property
    def node_type(self) -> NodeType:
        """The node type of a cluster that has one only. Raises NotSupportedYet for mixed clusters."""
        if self.is_mixed:
            raise NotSupportedYet("mixed clusters are not supported yet; use one node type", key="cluster.groups")
        return self.groups[0][0]

    def place(self, rank: int) -> tuple[NodeType, int, int]:
        """(node type, node, place within the node) of a rank."""
        first_rank, first_node = 0, 0
        for node, count in self.groups:
            if 0 <= rank - first_rank < node.gpus * count:
                index, local_rank = divmod(rank - first_rank, node.gpus)
                return node, first_node + index, local_rank
            first_rank, first_node = first_rank + node.gpus * count, first_node + count
        raise ValueError(f"rank {rank} is not in a cluster of {self.gpus} devices")

    def device_of(self, rank: int) -> Device:
        """The device of a rank."""
        return self.place(rank)[0].device

    def node_of(self, rank: int) -> int:
        """The node of a rank, counted over the whole cluster."""
        return self.place(rank)[1]

    def span(self, ranks: Ranks) -> GroupSpan:
        """What this group finds between its members, when every group of its kind communicates at once.

        The groups of its kind are its translates: blocks of the same shape that tile the ranks, or, for a pair (a, b),
        every pair at the same distance. A node's NICs are divided evenly among the members of those that cross nodes,
        and no member gets more than its own port. Constant time for ranges.
        Raises NotSupportedYet where nodes or links differ or the fabric blocks: shares then depend on the traffic.
        """
        node = self.node_type
        if self.links or self.fabric.kind != "nonblocking" or self.fabric.oversubscription != 1.0:
            raise NotSupportedYet(
                f"network shares on a {self.fabric.kind} fabric or with stated links are not supported yet; "
                "use a nonblocking fabric",
                key="cluster",
            )
        members = _members_per_node(ranks, node.gpus)
        crossing = len(members) > 1
        share = 0
        if crossing:
            senders = _senders_per_node(ranks, node.gpus, members)
            share = min(
                min(count * node.node_bytes_per_s // senders[index], count * node.port_bytes_per_s)
                for index, count in members.items()
            )
        return GroupSpan(
            size=len(ranks),
            nodes=_num_nodes(ranks, node.gpus),
            per_node=max(members.values()),
            intra_bytes_per_s=node.fabric.gpu_bytes_per_s,
            intra_latency_s=node.fabric.latency_s,
            node_bytes_per_s=share,
            inter_latency_s=self.fabric.latency_s,
        )

    def graph(self) -> networkx.DiGraph:
        """Every device, switch, NIC port and link (`network/routes.py`); built on each call: ask only if needed."""
        from simulator.network.routes import cluster_graph

        return cluster_graph(self)

    def route(self, source: int, target: int) -> tuple[Link, ...]:
        """The links a message takes from one rank to another, in order; empty to itself."""
        from simulator.network.routes import route

        return route(self, source, target)


def _num_nodes(ranks: Ranks, gpus: int) -> int:
    """Nodes that the ranks lie on."""
    if isinstance(ranks, range):
        step = abs(ranks.step)
        return len(ranks) if step >= gpus else abs(ranks[-1] // gpus - ranks[0] // gpus) + 1
    return len({rank // gpus for rank in ranks})


def _members_per_node(ranks: Ranks, gpus: int) -> dict[int, int]:
    """Members on each node; of a range, on enough of its nodes to hold every count that occurs.

    A range of step s meets the node boundaries at the same places again after s nodes at most, and a step of a whole
    node or more puts each member on a node of its own.
    """
    if isinstance(ranks, range) and ranks.step > 0:
        first, last = ranks[0] // gpus, ranks[-1] // gpus
        if ranks.step >= gpus:
            return {ranks[0] // gpus: 1} if len(ranks) == 1 else {first: 1, last: 1}
        enough = [*range(first, min(last, first + ranks.step) + 1), last]
        return {index: _overlap(ranks, index * gpus, (index + 1) * gpus) for index in dict.fromkeys(enough)}
    members: dict[int, int] = {}
    for rank in ranks:
        members[rank // gpus] = members.get(rank // gpus, 0) + 1
    return members


def _overlap(ranks: range, low: int, high: int) -> int:
    """How many members of an ascending range lie in [low, high)."""
    below = [max(0, min(len(ranks), -(-(bound - ranks.start) // ranks.step))) for bound in (low, high)]
    return below[1] - below[0]


def _senders_per_node(ranks: Ranks, gpus: int, members: dict[int, int]) -> dict[int, int]:
    """For each node, how many of its devices belong to a group of this kind that crosses nodes."""
    if len(ranks) == 2:
        return dict.fromkeys(members, min(gpus, abs(ranks[1] - ranks[0])))
    block = len(ranks) * ranks.step if isinstance(ranks, range) else 0
    if not 0 < block < gpus:
        return dict.fromkeys(members, gpus)
    senders = {}
    for index in members:
        blocks = [(rank // block * block) for rank in range(index * gpus, (index + 1) * gpus)]
        senders[index] = sum(low // gpus != (low + block - 1) // gpus for low in blocks)
    return senders

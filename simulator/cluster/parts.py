"""What a cluster is made of: devices, nodes, the fabric inside and between them, and single links."""

from __future__ import annotations

from dataclasses import dataclass

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
    pcie: a device has one link for all it sends, to its neighbours as well as to a NIC. The devices and NICs are dealt
    evenly to `sockets`, which a bridge of bridge_bytes_per_s joins.
    """

    kind: str
    gpu_bytes_per_s: int
    latency_s: float
    in_switch_reduction: bool = False
    sockets: int = 1
    bridge_bytes_per_s: int = 0

    @property
    def carries_nics(self) -> bool:
        """Whether what a device sends out of the node crosses its link of this fabric too."""
        return self.kind == "pcie"


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

    def socket_of(self, local_rank: int) -> int:
        """Which socket the device at this place is plugged into."""
        return local_rank * self.fabric.sockets // self.gpus

    def socket_of_port(self, port: int) -> int:
        """Which socket a port is plugged into."""
        return port * self.fabric.sockets // self.ports


FABRICS = ("nonblocking", "fat_tree", "rail_optimized")


@dataclass(frozen=True, slots=True)
class Fabric:
    """The network between nodes. latency_s: from NIC to NIC, cables and switches included, however far apart.

    kind: nonblocking: ports are all that limits. fat_tree: nodes_per_leaf nodes share a leaf switch. rail_optimized:
    ports of the same place in nodes_per_leaf nodes (a pod) share one. A leaf's links upwards carry what all ports below
    it send, divided by `oversubscription`. spines 0: traffic above the leaves is spread over all paths as it comes
    (adaptive routing), so a leaf has one link each way; n: it has a link to each of n spines, and a message goes by
    the one that its destination node's number picks (deterministic ECMP: node modulo n).
    in_network_reduction: switches add up all-reduces (SHARP).
    """

    latency_s: float
    kind: str = "nonblocking"
    oversubscription: float = 1.0
    in_network_reduction: bool = False
    nodes_per_leaf: int = 0
    spines: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FABRICS:
            raise ValueError(f"{self.kind!r} is not a fabric; one of {', '.join(FABRICS)}")
        if self.has_leaves and self.nodes_per_leaf < 1:
            raise ValueError(f"a {self.kind} needs nodes_per_leaf of at least 1, not {self.nodes_per_leaf}")

    @property
    def has_leaves(self) -> bool:
        """Whether there are switches that only some of the nodes share."""
        return self.kind != "nonblocking"


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of one wire between two named ends."""

    source: str
    target: str
    capacity_bytes_per_s: int
    latency_s: float

    @property
    def name(self) -> str:
        """gpu3>node0/switch: how scenarios, reports and results call it."""
        return f"{self.source}>{self.target}"

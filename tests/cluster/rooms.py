"""Small clusters of every kind, by name, that the tests of routes, links and spans go through."""

from simulator.cluster import Cluster, Device, Fabric, NodeFabric, NodeType
from simulator.registry import topology

CHIP = Device("chip", 2**30, 10**12, (("bf16", 1e14),), 32 * 10**9)
NVSWITCH = NodeFabric("nvswitch", 300 * 10**9, 1e-6)


def nodes_of(gpus: int, nics: int, *, nic_bytes_per_s: int = 25 * 10**9, fabric: NodeFabric = NVSWITCH) -> NodeType:
    return NodeType(CHIP, gpus, nics, nic_bytes_per_s, fabric)


def pcie(sockets: int, *, bridge_bytes_per_s: int = 20 * 10**9) -> NodeFabric:
    return NodeFabric("pcie", 24 * 10**9, 2e-6, sockets=sockets, bridge_bytes_per_s=bridge_bytes_per_s)


def tree(kind: str, below: int, oversubscription: float = 1.0, spines: int = 0) -> Fabric:
    return Fabric(3e-6, kind, oversubscription, nodes_per_leaf=below, spines=spines)


def slowed(room: Cluster, factors: dict[str, float]) -> Cluster:
    """The cluster with these links so many times slower."""
    for name, factor in factors.items():
        room = room.degraded([room.find_link(name)], factor)
    return room


FOUR = nodes_of(4, 4)
ROOMS = {
    "dgx_a100": topology("dgx_a100", nodes=3),
    "shared nics": topology("dgx_a100", nodes=2, nics_per_node=4, nic_gbit_per_s=400),
    "one nic": topology("dgx_h100", nodes=2, nics_per_node=1),
    "one fast nic": topology("dgx_a100", nodes=2, nics_per_node=1, nic_gbit_per_s=1600),
    "several nics a gpu": topology("dgx_h100", nodes=2, gpus_per_node=4, nics_per_node=8),
    "sixteen gpus": topology("dgx2_v100", nodes=2),
    "one gpu a node": topology("dgx_a100", nodes=4, gpus_per_node=1),
    "fat tree": Cluster(((FOUR, 6),), tree("fat_tree", 2, 4.0)),
    "fat tree, last leaf half full": Cluster(((FOUR, 5),), tree("fat_tree", 2, 3.0)),
    "fat tree with spines": Cluster(((FOUR, 6),), tree("fat_tree", 2, 1.5, spines=3)),
    "rails": Cluster(((FOUR, 6),), tree("rail_optimized", 3, 2.0)),
    "narrow rails": Cluster(((FOUR, 5),), tree("rail_optimized", 2, 3.0, spines=2)),
    "pcie": Cluster(((nodes_of(4, 2, fabric=pcie(1)), 3),), Fabric(3e-6)),
    "pcie, two sockets": Cluster(((nodes_of(4, 4, fabric=pcie(2)), 2),), Fabric(3e-6)),
    "pcie, nic behind the bridge": Cluster(((nodes_of(4, 1, fabric=pcie(2)), 2),), tree("fat_tree", 1, 2.0)),
    "pcie, one gpu": Cluster(((nodes_of(1, 1, fabric=pcie(1)), 3),), Fabric(3e-6)),
    "mixed": Cluster(((FOUR, 2), (nodes_of(2, 1, fabric=pcie(2)), 3), (nodes_of(8, 8), 1)), Fabric(3e-6)),
    "mixed on a tree": Cluster(((FOUR, 3), (nodes_of(2, 2), 3)), tree("fat_tree", 2, 2.0, spines=2)),
}  # fmt: skip
ROOMS["slow links"] = slowed(
    ROOMS["fat tree"],
    {
        "gpu3>node0/switch": 40,
        "node1/port2/out>leaf0": 5,
        "leaf1>core": 0.1,
        "gpu9>node2/port1/out": 8,
        "leaf2>node4/port3/in": 6,
    },
)
ROOMS["slow pcie"] = slowed(ROOMS["pcie, two sockets"], {"gpu1>node0/socket0": 3, "node1/socket0>node1/socket1": 2})

"""The span of a group whose siblings all send at once, by static division of the NICs.

Stands in for link sharing wherever the engine does not share links yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.cluster.parts import Ranks
from simulator.cluster.spans import GroupSpan, group_span
from simulator.errors import NotSupportedYet

if TYPE_CHECKING:
    from simulator.cluster.cluster import Cluster


def crowded_span(cluster: Cluster, ranks: Ranks) -> GroupSpan:
    """The span of a group when every group of its kind sends at once: a node's NICs are divided evenly among them.

    The groups of its kind are its translates: blocks of the same shape that tile the ranks, or, for a pair (a, b),
    every pair at the same distance. No member gets more than its own port.
    Raises NotSupportedYet where nodes or links differ or the fabric blocks: shares then depend on the traffic.
    """
    node = cluster.node_type
    if cluster.links or cluster.fabric.kind != "nonblocking" or node.fabric.carries_nics:
        raise NotSupportedYet(
            f"network shares on a {cluster.fabric.kind} fabric, in a PCIe box or with stated links are not supported "
            "yet; use a nonblocking fabric and NVSwitch nodes",
            key="cluster",
        )
    alone = group_span(cluster, ranks)
    if alone.nodes == 1:
        return alone
    members = _members_per_node(ranks, node.gpus)
    senders = _senders_per_node(ranks, node.gpus, members)
    share = min(
        min(count * node.node_bytes_per_s // senders[index], count * node.port_bytes_per_s)
        for index, count in members.items()
    )
    return GroupSpan(
        alone.size, alone.nodes, alone.per_node, alone.intra_bytes_per_s, alone.intra_latency_s, share,
        alone.inter_latency_s,
    )  # fmt: skip


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

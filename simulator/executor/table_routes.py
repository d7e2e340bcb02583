"""Routes: how one table's ids reach the owners of its rows, and vectors and gradients go between them and who asked.

Shapes: n own ids, s own samples, c pieces of the columns, G members of the table group in N nodes of L. Between an
asker and the owners of one vector for each id, rows stand piece after piece, and within a message by owner. Partial
sums of a table that pools stand by asker: [G * s, columns].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from simulator.executor.groups import Group
from simulator.executor.table_messages import Leg, exchange
from simulator.executor.table_shards import Shard
from simulator.model import tables as priced


@dataclass
class Lookup:
    """One microbatch's ids of one table on their way. Sorted by owner: `order` puts what this rank asks in that order.

    sent, received: how many of them to and from each member. rows: places among this rank's rows that were asked for;
    bags: which of the group's samples each is of, where the table pools. vectors: what travels now.
    """

    asked: int
    order: torch.Tensor
    sent: list[int]
    received: list[int]
    rows: torch.Tensor
    bags: torch.Tensor | None = None
    vectors: torch.Tensor | None = None


@dataclass(frozen=True)
class TableGroups:
    """The table group, its members on this node, and those at this place of every node; and the ranks that share a data
    rank's samples: its context and its tensor group."""

    whole: Group
    node: Group
    across: Group
    context: Group
    tensor: Group


def stays_here(shard: Shard, ids: torch.Tensor) -> Lookup:
    """A lookup for which nothing travels."""
    return Lookup(len(ids), torch.arange(0), [], [], ids, _own_bags(shard, ids))


def send_ids(asked: Sequence[tuple[Shard, torch.Tensor]], group: Group) -> list[Lookup]:
    """Each id of each table goes to the owner of its row, of every piece of the columns, all in one message. How many
    go to whom is exchanged ahead, and the bag of each id of a table that pools behind (TorchRec's lengths): messages
    that the program does not count."""
    orders, counts, local = [], [], []
    for shard, ids in asked:
        placed = shard.placed
        owners = torch.as_tensor(placed.owners, device=ids.device).view(placed.pieces, placed.rows_over)
        owner = owners[:, (ids + placed.turn) % placed.rows_over].reshape(-1)
        orders.append(torch.argsort(owner, stable=True))
        counts.append(torch.bincount(owner, minlength=group.size))
        local.append((ids // placed.rows_over).repeat(placed.pieces)[orders[-1]])
    sent = torch.stack(counts, dim=1)
    received = group.all_to_all(sent, [1] * group.size, [1] * group.size).t().tolist()
    legs = [Leg(rows, to, came) for rows, to, came in zip(local, sent.t().tolist(), received, strict=True)]
    found = [
        Lookup(len(ids), order, leg.sent, leg.received, rows)
        for (_, ids), order, leg, rows in zip(asked, orders, legs, exchange(group, legs), strict=True)
    ]
    pooled = [place for place, (shard, _) in enumerate(asked) if shard.pools]
    behind = [
        Leg(_own_bags(*asked[place]).repeat(asked[place][0].placed.pieces)[orders[place]], *legs[place][1:3])
        for place in pooled
    ]
    for place, bags in zip(pooled, exchange(group, behind) if behind else (), strict=True):
        samples = found[place].asked // asked[place][0].table.lookups_per_sample
        each = torch.tensor(found[place].received, device=bags.device)
        found[place].bags = torch.arange(group.size, device=bags.device).repeat_interleave(each) * samples + bags
    return found


def read_rows(shard: Shard, found: Lookup, askers: int) -> torch.Tensor:
    """What an owner makes of the rows: themselves, or their sum (or mean) in each sample of all `askers`."""
    if shard.store is None:
        return torch.empty((0, shard.columns), dtype=shard.leaves, device=found.rows.device)
    if not shard.pools:
        return shard.store.read(found.rows).to(shard.leaves)
    samples = askers * (found.asked // shard.table.lookups_per_sample)
    return (shard.store.read_bags(found.rows, found.bags, samples) * shard.scale).to(shard.leaves)


def spread(shard: Shard, found: Lookup) -> torch.Tensor:
    """The gradient of each row that an owner was asked for, from those of the vectors it made."""
    return found.vectors[found.bags] * shard.scale if shard.pools else found.vectors


def vectors_to_askers(shard: Shard, found: Lookup, groups: TableGroups) -> Leg:
    """[n or s, dim]: vectors back to who asked, in the order in which he asked."""
    if shard.pools:
        return _sums_to_askers(shard, found, groups.whole, shard.placed.owners)

    def arrive(rows: torch.Tensor) -> torch.Tensor:
        back = torch.empty_like(rows)
        back[found.order] = rows
        return _joined(back, shard.placed.pieces)

    return Leg(found.vectors, found.received, found.sent, arrive)


def gradients_to_owners(shard: Shard, found: Lookup, groups: TableGroups) -> Leg:
    """The inverse: one for each row asked for, or for each sample of the group."""
    if shard.pools:
        return _sums_to_owners(shard, found, groups.whole, shard.placed.owners)
    return Leg(_parted(found.vectors, shard.placed.pieces)[found.order], found.sent, found.received)


def sums_across_nodes(shard: Shard, found: Lookup, groups: TableGroups) -> Leg:
    """[s, dim]: each node's sums to the members at this rank's place."""
    return _sums_to_askers(shard, found, groups.across, _owning_nodes(shard, groups))


def gradients_across_nodes(shard: Shard, found: Lookup, groups: TableGroups) -> Leg:
    """[N * s, columns]: the inverse."""
    return _sums_to_owners(shard, found, groups.across, _owning_nodes(shard, groups))


def reduce_in_node(sums: torch.Tensor, groups: TableGroups) -> torch.Tensor:
    """[G * s, columns] -> [N * s, columns]: the sums over a node's rows, of the samples of members at this rank's place
    in their node."""
    nodes, per_node = groups.across.size, groups.node.size
    by_place = sums.view(nodes, per_node, -1, sums.shape[1]).transpose(0, 1).reshape(-1, sums.shape[1])
    return groups.node.reduce_scatter(by_place, by_place.element_size())


def gather_in_node(gradients: torch.Tensor, groups: TableGroups) -> torch.Tensor:
    """[N * s, columns] -> [G * s, columns]: the inverse for gradients, which every owner of rows needs whole."""
    nodes, per_node, width = groups.across.size, groups.node.size, gradients.shape[1]
    by_place = groups.node.all_gather(gradients, gradients.element_size())
    return by_place.view(per_node, nodes, -1, width).transpose(0, 1).reshape(-1, width)


def goes(shard: Shard) -> str:
    """How its vectors come back (`model/tables/traffic.py`)."""
    return priced.way_of(shard.table, shard.placed)


def _owning_nodes(shard: Shard, groups: TableGroups) -> list[int]:
    """The node of each piece."""
    return [shard.placed.owners_of(piece)[0] // groups.node.size for piece in range(shard.placed.pieces)]


def _sums_to_askers(shard: Shard, found: Lookup, group: Group, owners: Sequence[int]) -> Leg:
    """Owners (of one piece each) send every member its samples' sums: [s, dim], pieces side by side."""
    samples, came = found.asked // shard.table.lookups_per_sample, sorted(owners)

    def arrive(rows: torch.Tensor) -> torch.Tensor:
        pieces = rows.view(len(came), samples, shard.columns)
        return torch.cat([pieces[came.index(owner)] for owner in owners], dim=1)

    sent = [samples if shard.store is not None else 0] * group.size
    return Leg(found.vectors, sent, [samples * (member in owners) for member in range(group.size)], arrive)


def _sums_to_owners(shard: Shard, found: Lookup, group: Group, owners: Sequence[int]) -> Leg:
    samples = found.asked // shard.table.lookups_per_sample
    pieces = found.vectors.split(shard.columns, dim=1)
    outgoing = torch.cat([pieces[list(owners).index(owner)] for owner in sorted(owners)])
    sent = [samples * (member in owners) for member in range(group.size)]
    return Leg(outgoing, sent, [samples if shard.store is not None else 0] * group.size)


def _joined(rows: torch.Tensor, pieces: int) -> torch.Tensor:
    """[pieces * n, columns] -> [n, pieces * columns]."""
    if pieces == 1:
        return rows
    return rows.view(pieces, -1, rows.shape[1]).transpose(0, 1).reshape(-1, pieces * rows.shape[1])


def _parted(vectors: torch.Tensor, pieces: int) -> torch.Tensor:
    if pieces == 1:
        return vectors
    columns = vectors.shape[1] // pieces
    return vectors.view(-1, pieces, columns).transpose(0, 1).reshape(-1, columns)


def _own_bags(shard: Shard, ids: torch.Tensor) -> torch.Tensor | None:
    """Which own sample each id is of."""
    if not shard.pools:
        return None
    return torch.arange(len(ids), device=ids.device) // shard.table.lookups_per_sample

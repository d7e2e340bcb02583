"""Routes: how one table's ids reach the owners of its rows, and vectors and gradients go between them and who asked.

Shapes: n own ids, s own samples, c pieces of the columns, G members of the table group in N nodes of L. Between an
asker and the owners of one vector for each id, rows stand piece after piece, and within a message by owner. Partial
sums of a table that pools stand by asker: [G * s, columns].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from simulator.executor.groups import Group
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
    """The table group, its members on this node, and those at this place of every node."""

    whole: Group
    node: Group
    across: Group


def stays_here(shard: Shard, ids: torch.Tensor) -> Lookup:
    """A lookup for which nothing travels."""
    return Lookup(len(ids), torch.arange(0), [], [], ids, _own_bags(shard, ids))


def send_ids(shard: Shard, ids: torch.Tensor, group: Group) -> Lookup:
    """Each id goes to the owner of its row, of every piece of the columns. How many go to whom is exchanged ahead, and
    where the table pools the bag of each behind (TorchRec's lengths): messages that the program does not count."""
    placed = shard.placed
    owners = torch.as_tensor(placed.owners, device=ids.device).view(placed.pieces, placed.rows_over)
    owner = owners[:, ids % placed.rows_over].reshape(-1)
    order = torch.argsort(owner, stable=True)
    counts = torch.bincount(owner, minlength=group.size)
    sent, received = counts.tolist(), group.all_to_all(counts, [1] * group.size, [1] * group.size).tolist()
    rows = group.all_to_all((ids // placed.rows_over).repeat(placed.pieces)[order], sent, received)
    found = Lookup(len(ids), order, sent, received, rows)
    if shard.pools:
        own = _own_bags(shard, ids)
        bags = group.all_to_all(own.repeat(placed.pieces)[order], sent, received)
        samples = len(ids) // shard.table.lookups_per_sample
        asker = torch.arange(group.size, device=ids.device).repeat_interleave(
            torch.tensor(received, device=ids.device)
        )  # fmt: skip
        found.bags = asker * samples + bags
    return found


def read_rows(shard: Shard, found: Lookup, askers: int) -> torch.Tensor:
    """What an owner makes of the rows: themselves, or their sum (or mean) in each sample of all `askers`."""
    if shard.rows is None:
        return torch.empty((0, shard.columns), dtype=shard.dtype, device=found.rows.device)
    if not shard.pools:
        return shard.rows[found.rows]
    samples = askers * (found.asked // shard.table.lookups_per_sample)
    starts = torch.searchsorted(found.bags, torch.arange(samples, device=found.rows.device))
    return F.embedding_bag(found.rows, shard.rows, starts, mode="sum") * shard.scale


def spread(shard: Shard, found: Lookup) -> torch.Tensor:
    """The gradient of each row that an owner was asked for, from those of the vectors it made."""
    return found.vectors[found.bags] * shard.scale if shard.pools else found.vectors


def vectors_to_askers(shard: Shard, found: Lookup, group: Group) -> torch.Tensor:
    """[n or s, dim]: vectors back to who asked, in the order in which he asked."""
    if shard.pools:
        return _sums_to_askers(shard, found, group, shard.placed.owners)
    arrived = group.all_to_all(found.vectors, found.received, found.sent)
    back = torch.empty_like(arrived)
    back[found.order] = arrived
    return _joined(back, shard.placed.pieces)


def gradients_to_owners(shard: Shard, found: Lookup, group: Group) -> torch.Tensor:
    """The inverse: one for each row asked for, or for each sample of the group."""
    if shard.pools:
        return _sums_to_owners(shard, found, group, shard.placed.owners)
    return group.all_to_all(_parted(found.vectors, shard.placed.pieces)[found.order], found.sent, found.received)


def reduce_in_node(shard: Shard, found: Lookup, groups: TableGroups) -> torch.Tensor:
    """[N * s, columns]: the sums over a node's rows, of the samples of members at this rank's place in their node."""
    nodes, per_node = groups.across.size, groups.node.size
    by_place = found.vectors.view(nodes, per_node, -1, shard.columns).transpose(0, 1).reshape(-1, shard.columns)
    return groups.node.reduce_scatter(by_place, by_place.element_size())


def gather_in_node(shard: Shard, found: Lookup, groups: TableGroups) -> torch.Tensor:
    """[G * s, columns]: the inverse for gradients, which every owner of rows needs whole."""
    nodes, per_node = groups.across.size, groups.node.size
    by_place = groups.node.all_gather(found.vectors, found.vectors.element_size())
    return by_place.view(per_node, nodes, -1, shard.columns).transpose(0, 1).reshape(-1, shard.columns)


def sums_across_nodes(shard: Shard, found: Lookup, groups: TableGroups) -> torch.Tensor:
    """[s, dim]: each node's sums to the members at this rank's place."""
    return _sums_to_askers(shard, found, groups.across, _owning_nodes(shard, groups))


def gradients_across_nodes(shard: Shard, found: Lookup, groups: TableGroups) -> torch.Tensor:
    """[N * s, columns]: the inverse."""
    return _sums_to_owners(shard, found, groups.across, _owning_nodes(shard, groups))


def goes(shard: Shard) -> str:
    """How its vectors come back (`model/tables/traffic.py`)."""
    return priced.way_of(shard.table, shard.placed)


def _owning_nodes(shard: Shard, groups: TableGroups) -> list[int]:
    """The node of each piece."""
    return [shard.placed.owners_of(piece)[0] // groups.node.size for piece in range(shard.placed.pieces)]


def _sums_to_askers(shard: Shard, found: Lookup, group: Group, owners) -> torch.Tensor:
    """Owners (of one piece each) send every member its samples' sums: [s, dim], pieces side by side."""
    samples = found.asked // shard.table.lookups_per_sample
    sent = [samples if shard.rows is not None else 0] * group.size
    arrived = group.all_to_all(found.vectors, sent, [samples * (member in owners) for member in range(group.size)])
    came = sorted(owners)
    pieces = arrived.view(len(came), samples, shard.columns)
    return torch.cat([pieces[came.index(owner)] for owner in owners], dim=1)


def _sums_to_owners(shard: Shard, found: Lookup, group: Group, owners) -> torch.Tensor:
    samples = found.asked // shard.table.lookups_per_sample
    pieces = found.vectors.split(shard.columns, dim=1)
    outgoing = torch.cat([pieces[list(owners).index(owner)] for owner in sorted(owners)])
    sent = [samples * (member in owners) for member in range(group.size)]
    return group.all_to_all(outgoing, sent, [samples if shard.rows is not None else 0] * group.size)


def _joined(rows: torch.Tensor, pieces: int) -> torch.Tensor:
    """[pieces * n, columns] -> [n, pieces * columns]."""
    if pieces == 1:
        return rows
    return rows.view(pieces, -1, rows.shape[1]).transpose(0, 1).reshape(-1, pieces * rows.shape[1])


def _parted(vectors: torch.Tensor, pieces: int) -> torch.Tensor:
    if pieces == 1:
        return vectors
    return vectors.view(len(vectors), pieces, -1).transpose(0, 1).reshape(pieces * len(vectors), -1)


def _own_bags(shard: Shard, ids: torch.Tensor) -> torch.Tensor | None:
    """Which own sample each id is of."""
    if not shard.pools:
        return None
    return torch.arange(len(ids), device=ids.device) // shard.table.lookups_per_sample

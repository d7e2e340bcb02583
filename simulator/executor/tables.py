"""Sparse tables on a rank: the actions of the embedding stream and the lookups, for all tables together.

Who owns what is `model/placements.py`'s, the way of ids, vectors and gradients `table_routes.py`'s. A rank looks up its
own slice of a microbatch: of its context slice, 1/tensor of the ids; of a table that pools, its share of the bags
(`bags.py`).
Each method that sends returns the bytes (sent, received) as the program counts them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from simulator.executor import table_routes as routes
from simulator.executor.bags import Bags, part_of, zero_padded
from simulator.executor.blocks.dlrm import BOTTOM
from simulator.executor.groups import Group
from simulator.executor.lone_bottom import LoneBottom
from simulator.executor.table_messages import Leg, end_to_end, exchange, side_by_side
from simulator.executor.table_routes import Lookup, TableGroups
from simulator.executor.table_shards import Shard, make_shard
from simulator.model import tables as priced
from simulator.model.blocks import sparse_tables
from simulator.model.placements import placements

Bytes = tuple[int, int]


class SparseTables:
    """All sparse tables of a rank of stage 0.

    keep: what is handed from stream to stream goes through it (`cuda_streams.py`); None: nothing to do. bottom: a
    bottom MLP that is on one rank, as if it were one of them.
    """

    def __init__(
        self, scenario, groups: TableGroups, device: torch.device, double: bool, keep=None,
        bottom: LoneBottom | None = None,
    ):  # fmt: skip
        self.groups, self.group, self.tensor, self.device = groups, groups.whole, groups.tensor, device
        self.bags = Bags(groups.context, groups.tensor, sums_tensor=scenario.plan.sequence_parallel)
        self.keep = keep if keep is not None else (lambda tensor: tensor)
        self.bottom = bottom
        self.gathers = groups.tensor.size > 1 and not scenario.plan.sequence_parallel
        placed = zip(sparse_tables(scenario.model), placements(scenario), strict=True)
        self.shards = {
            table.name: make_shard(
                scenario.seed,
                table,
                place,
                self.group.index,
                device,
                double=double,
                fused=scenario.plan.embedding_fused_optimizer,
                vectors=scenario.precision.vectors,
            )
            for table, place in placed
        }
        self.lookups: dict[int, dict[str, Lookup]] = {}
        self.own_ids: dict[int, dict[str, torch.Tensor]] = {}
        self.counts: dict[int, dict[str, int]] = {}
        self.distinct: dict[int, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}
        self.plan = scenario.plan

    def present(self, microbatch: int, ids: dict[str, torch.Tensor]) -> None:
        """The ids of this rank's positions, flat; where it shares them with its tensor group, this rank takes its part
        of them. Of a table that pools: the ids of all samples."""
        own, counts, parts = {}, {}, self.tensor.size if self.gathers else 1
        for name, whole in ids.items():
            table = self.shards[name].table
            if table.pooling != "none":
                bags = whole.view(-1, table.lookups_per_sample)
                own[name], counts[name] = self.bags.own(bags).reshape(-1), len(bags)
            else:
                own[name] = part_of(whole, self.tensor.index if self.gathers else 0, parts)
                counts[name] = len(whole)
        self.own_ids[microbatch], self.counts[microbatch] = own, counts
        self.lookups[microbatch] = {}

    def deduplicate(self, microbatch: int) -> None:
        """Makes this rank's ids distinct, and remembers the place of each among them."""
        self.distinct[microbatch] = {
            name: tuple(map(self.keep, torch.unique(self.own_ids[microbatch][name], return_inverse=True)))
            for name, shard in self.shards.items()
            if self._travels(shard) and priced.is_deduplicated(self.plan, shard.table, shard.placed)
        }

    def repeat(self, microbatch: int) -> None:
        """The vector of each id, out of those of the distinct ones."""
        for name, (_, place) in self.distinct[microbatch].items():
            found = self.lookups[microbatch][name]
            found.vectors = self.keep(found.vectors[place])

    def sum_gradients(self, microbatch: int) -> None:
        """Sums the gradients of equal ids."""
        for name, (ids, place) in self.distinct.pop(microbatch).items():
            found = self.lookups[microbatch][name]
            summed = found.vectors.new_zeros((len(ids), found.vectors.shape[1]))
            found.vectors = self.keep(summed.index_add_(0, place, found.vectors))

    def exchange_ids(self, microbatch: int) -> Bytes:
        """Sends ids to their owners; where every rank holds every table, none."""
        distinct, found = self.distinct.get(microbatch, {}), self.lookups[microbatch]
        moving = {name: shard for name, shard in self.shards.items() if self._travels(shard)}
        if not moving:
            return 0, 0
        own = {name: distinct.get(name, (self.own_ids[microbatch][name],))[0] for name in moving}
        asked = [(shard, own[name]) for name, shard in moving.items()]
        found.update(zip(moving, routes.send_ids(asked, self.group), strict=True))
        for name in moving:
            found[name].rows = self.keep(found[name].rows)
        sent = sum(len(found[name].order) for name in moving)
        return priced.ID_BYTES * sent, priced.ID_BYTES * sum(len(found[name].rows) for name in moving)

    def lookup(self, microbatch: int) -> None:
        """Reads the rows that were asked for."""
        for name, shard in self.shards.items():
            found = self.lookups[microbatch].get(name)
            askers = self.group.size
            if found is None:  # nothing travels: this rank reads its own slice
                found = routes.stays_here(shard, self.own_ids[microbatch][name])
                self.lookups[microbatch][name], askers = found, 1
            found.vectors = self.keep(routes.read_rows(shard, found, askers))
        if self.bottom is not None:
            self.bottom.forward(microbatch)

    def exchange_vectors(self, microbatch: int) -> Bytes:
        """Vectors go back to who asked."""
        tables = self._pass_on(microbatch, priced.DIRECT, routes.vectors_to_askers, self.group)
        return tables if self.bottom is None else _both(tables, self.bottom.send_vectors(microbatch))

    def reduce_vectors(self, microbatch: int) -> Bytes:
        """Partial sums of all owners are added; each rank gets those of its samples."""
        return self._collective(microbatch, priced.REDUCED, self._reduced, reduces=True)

    def reduce_node_vectors(self, microbatch: int) -> Bytes:
        """Partial sums are added in the node that holds the rows."""
        return self._collective(microbatch, priced.ACROSS_NODES, self._in_node(routes.reduce_in_node), reduces=True)

    def exchange_node_vectors(self, microbatch: int) -> Bytes:
        """They go to who asked, on every node."""
        return self._pass_on(microbatch, priced.ACROSS_NODES, routes.sums_across_nodes, self.groups.across)

    def gather_vectors(self, microbatch: int) -> Bytes:
        """Every tensor rank gets the vectors of all positions."""
        return self._gather(self.tensor, self._found(microbatch) if self.gathers else self._found_bags(microbatch))

    def gather_context_vectors(self, microbatch: int) -> Bytes:
        """Every context rank gets those of all bags."""
        return self._gather(self.groups.context, self._found_bags(microbatch))

    def vectors(self, microbatch: int) -> dict[str, torch.Tensor]:
        """What the model reads, flat as the ids were presented; of a table that pools, one for each sample."""
        bottom = {} if self.bottom is None else {BOTTOM: self.bottom.vectors[microbatch]}
        return bottom | {
            name: found.vectors[: self.counts[microbatch][name]] for name, found in self.lookups[microbatch].items()
        }

    def accept_gradients(self, microbatch: int, gradients: dict[str, torch.Tensor]) -> None:
        """Gradients of what `vectors` gave. Without sequence parallelism every tensor rank has all of them; of bags,
        context ranks (and tensor ranks, under sequence parallelism) have what their own positions add to them."""
        if self.bottom is not None:
            self.bottom.vectors[microbatch] = self.keep(gradients.pop(BOTTOM))
        for name, gradient in gradients.items():
            if self.shards[name].pools:
                gradient = self.bags.spread_out(gradient)
            elif self.gathers:
                gradient = zero_padded(gradient, self.tensor.size).chunk(self.tensor.size)[self.tensor.index]
            self.lookups[microbatch][name].vectors = self.keep(gradient)

    def scatter_context_gradients(self, microbatch: int) -> Bytes:
        """What all context ranks' positions add to the gradients of bags is summed; each keeps those of its bags."""
        return self._sum_bags(microbatch, self.bags.sum_over_context)

    def scatter_gradients(self, microbatch: int) -> Bytes:
        """The same over tensor ranks."""
        return self._sum_bags(microbatch, self.bags.sum_over_tensor)

    def exchange_gradients(self, microbatch: int) -> Bytes:
        """Gradients go to the rows' owners."""
        tables = self._pass_on(microbatch, priced.DIRECT, routes.gradients_to_owners, self.group)
        return tables if self.bottom is None else _both(tables, self.bottom.send_gradients(microbatch))

    def gather_gradients(self, microbatch: int) -> Bytes:
        """Every owner of some rows needs all gradients of the table."""
        return self._collective(microbatch, priced.REDUCED, self._gathered, reduces=False)

    def exchange_node_gradients(self, microbatch: int) -> Bytes:
        """Gradients go to the nodes that hold the rows."""
        return self._pass_on(microbatch, priced.ACROSS_NODES, routes.gradients_across_nodes, self.groups.across)

    def gather_node_gradients(self, microbatch: int) -> Bytes:
        """Inside such a node every owner needs all of them."""
        return self._collective(microbatch, priced.ACROSS_NODES, self._in_node(routes.gather_in_node), reduces=False)

    def accumulate_gradients(self, microbatch: int) -> None:
        """Sums the microbatch's gradients by row."""
        for name, shard in self.shards.items():
            found = self.lookups[microbatch][name]
            if shard.store is not None:
                shard.accumulate(found.rows, routes.spread(shard, found))
        if self.bottom is not None:
            self.bottom.backward(microbatch)
        del self.lookups[microbatch], self.own_ids[microbatch], self.counts[microbatch]

    def reduce_dense(self) -> int:
        """All-reduces the gradients of tables that every rank holds; returns the bytes of the message."""
        dense = [shard.dense for shard in self.shards.values() if shard.dense is not None]
        whole = dense[0] if len(dense) == 1 else torch.cat([own.reshape(-1) for own in dense])
        self.group.all_reduce(whole, priced.GRADIENT_BYTES)
        if len(dense) > 1:
            for own, summed in zip(dense, whole.split([own.numel() for own in dense]), strict=True):
                own.copy_(summed.view_as(own))
        return whole.numel() * priced.GRADIENT_BYTES

    def update(self) -> None:
        """The sparse optimizer, once a step, on the rows that were touched."""
        for shard in self.shards.values():
            shard.update()
        if self.bottom is not None:
            self.bottom.update()

    def _travels(self, shard: Shard) -> bool:
        return shard.placed.kind != "data_parallel" and self.group.size > 1

    def _going(self, microbatch: int, way: str) -> list[tuple[Shard, Lookup]]:
        return [
            (shard, self.lookups[microbatch][name]) for name, shard in self.shards.items()
            if self._travels(shard) and routes.goes(shard) == way
        ]  # fmt: skip

    def _pass_on(self, microbatch: int, way: str, route: Callable[..., Leg], group: Group) -> Bytes:
        """One all-to-all of all tables that go this way."""
        going = self._going(microbatch, way)
        sent = sum(_size(shard, found.vectors) for shard, found in going)
        for (_, found), vectors in zip(
            going, exchange(group, [route(shard, found, self.groups) for shard, found in going]), strict=True
        ):
            found.vectors = self.keep(vectors)
        return sent, sum(_size(shard, found.vectors) for shard, found in going)

    def _collective(self, microbatch: int, way: str, run: Callable, *, reduces: bool) -> Bytes:
        """One reduce-scatter (or its inverse) of all tables that go this way and are held in this rank's group, counted
        by its whole message."""
        going = [
            (s, found) for s, found in self._going(microbatch, way) if way == priced.REDUCED or s.store is not None
        ]
        before = sum(_size(shard, found.vectors) for shard, found in going)
        for (_, found), vectors in zip(
            going, side_by_side([found.vectors for _, found in going], run), strict=True
        ):  # fmt: skip
            found.vectors = self.keep(vectors)
        total = before if reduces else sum(_size(shard, found.vectors) for shard, found in going)
        return total, total

    def _found(self, microbatch: int) -> list[tuple[Shard, Lookup]]:
        return [(shard, self.lookups[microbatch][name]) for name, shard in self.shards.items()]

    def _found_bags(self, microbatch: int) -> list[tuple[Shard, Lookup]]:
        return [(shard, found) for shard, found in self._found(microbatch) if shard.pools]

    def _gather(self, group: Group, going: list[tuple[Shard, Lookup]]) -> Bytes:
        """All members' vectors of all these tables, in one message."""

        def gather(flat: torch.Tensor) -> torch.Tensor:
            return group.all_gather(flat, flat.element_size())

        for (_, found), vectors in zip(
            going, end_to_end([found.vectors for _, found in going], group.size, gather), strict=True
        ):
            found.vectors = self.keep(vectors)
        total = sum(_size(shard, found.vectors) for shard, found in going)
        return total, total

    def _sum_bags(self, microbatch: int, run: Callable[[torch.Tensor], torch.Tensor]) -> Bytes:
        going = self._found_bags(microbatch)
        total = sum(_size(shard, found.vectors) for shard, found in going)
        for (_, found), vectors in zip(
            going, side_by_side([found.vectors for _, found in going], run), strict=True
        ):  # fmt: skip
            found.vectors = self.keep(vectors)
        return total, total

    def _reduced(self, sums: torch.Tensor) -> torch.Tensor:
        return self.group.reduce_scatter(sums, sums.element_size())

    def _gathered(self, gradients: torch.Tensor) -> torch.Tensor:
        return self.group.all_gather(gradients, gradients.element_size())

    def _in_node(self, route: Callable[[torch.Tensor, TableGroups], torch.Tensor]) -> Callable:
        return lambda tensor: route(tensor, self.groups)


def _both(one: Bytes, other: Bytes) -> Bytes:
    return one[0] + other[0], one[1] + other[1]


def _size(shard: Shard, vectors: torch.Tensor) -> int:
    return vectors.numel() * shard.vector_bytes

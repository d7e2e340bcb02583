"""Layout: which rank is where, and which ranks it forms a group with.

Nodes fill in rank order, and tensor ranks are neighbours, so that the group that talks most stays inside a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

GROUP_KINDS = ("tensor", "context", "data", "shard", "replica", "samples", "table", "table_node", "table_across",
               "tied", "tensor_context", "pipeline")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """rank = ((pipeline_rank * data + data_rank) * context + context_rank) * tensor + tensor_rank.

    shard: so many consecutive members of a data group share what zero shards, and the others hold copies; None: all do.
    node: so many consecutive members of a table group are on one node, where sums of rows are reduced there first.
    """

    tensor: int
    context: int
    data: int
    pipeline: int
    shard: int | None = None
    node: int | None = None

    @cached_property
    def ranks(self) -> int:
        return self.tensor * self.context * self.data * self.pipeline

    def coordinates(self, rank: int) -> tuple[int, int, int, int]:
        """(pipeline_rank, data_rank, context_rank, tensor_rank) of a rank."""
        rest, tensor_rank = divmod(rank, self.tensor)
        rest, context_rank = divmod(rest, self.context)
        pipeline_rank, data_rank = divmod(rest, self.data)
        return pipeline_rank, data_rank, context_rank, tensor_rank

    def of_replicas(self, pipeline_rank: int, data_ranks: Sequence[int]) -> Sequence[int]:
        """The ranks of one stage that these data ranks (ascending) have, ascending."""
        each, first = self.context * self.tensor, pipeline_rank * self.data * self.context * self.tensor
        if len(data_ranks) == data_ranks[-1] - data_ranks[0] + 1:
            return range(first + data_ranks[0] * each, first + (data_ranks[-1] + 1) * each)
        return tuple(first + data_rank * each + place for data_rank in data_ranks for place in range(each))

    def data_ranks(self, members: Sequence[int]) -> Sequence[int]:
        """The data ranks that the members (ascending) of one stage belong to, ascending."""
        each = self.context * self.tensor
        if isinstance(members, range) and members.step == 1:
            return range(members[0] // each % self.data, members[-1] // each % self.data + 1)
        return tuple(dict.fromkeys(rank // each % self.data for rank in members))

    def rank(self, pipeline_rank: int, data_rank: int = 0, context_rank: int = 0, tensor_rank: int = 0) -> int:
        """The rank at these coordinates."""
        return ((pipeline_rank * self.data + data_rank) * self.context + context_rank) * self.tensor + tensor_rank

    @cached_property
    def inner_kinds(self) -> tuple[str, ...]:
        """The groups whose collectives run inside compute actions, where they have more than one member."""
        return tuple(kind for kind in ("tensor", "context") if getattr(self, kind) > 1)

    def is_next(self, rank: int, peer: int) -> bool:
        """Whether a peer of another stage is of the one that follows (the first one follows the last)."""
        return self.coordinates(peer)[0] == (self.coordinates(rank)[0] + 1) % self.pipeline

    def group(self, kind: str, rank: int) -> range | tuple[int, ...]:
        """The members, in order, of the group of this kind that holds `rank`.

        tensor: the shards of a layer. context: the slices of a sequence. data: the ranks whose dense gradients are
        reduced together (data x context of one pipeline and tensor rank). shard: the members of a data group that share
        what zero shards. replica: those that hold the same shard. samples: those with the same slice of their
        sequences, between which samples can change places. table: all ranks of a stage, which hold the embedding tables
        together. table_node: those of them on one node; table_across: those at one place of every node. tied: first and
        last stage of one column, which share a token embedding.
        pipeline: the stages of one column.
        """
        pipeline_rank, data_rank, context_rank, tensor_rank = self.coordinates(rank)
        stage_ranks = self.data * self.context * self.tensor
        first_of_stage = pipeline_rank * stage_ranks
        if kind == "tensor":
            first = self.rank(pipeline_rank, data_rank, context_rank)
            return range(first, first + self.tensor)
        if kind == "context":
            first = self.rank(pipeline_rank, data_rank, 0, tensor_rank)
            return range(first, first + self.context * self.tensor, self.tensor)
        if kind == "tensor_context":
            first = self.rank(pipeline_rank, data_rank)
            return range(first, first + self.context * self.tensor)
        reduced = range(first_of_stage + tensor_rank, first_of_stage + stage_ranks, self.tensor)
        if kind == "data":
            return reduced
        if kind in ("shard", "replica"):
            size = self.shard or len(reduced)
            block, place = divmod(data_rank * self.context + context_rank, size)
            return reduced[block * size : (block + 1) * size] if kind == "shard" else reduced[place::size]
        if kind == "samples":
            return reduced[context_rank :: self.context]
        if kind == "table":
            return range(first_of_stage, first_of_stage + stage_ranks)
        if kind in ("table_node", "table_across"):
            members, size = range(first_of_stage, first_of_stage + stage_ranks), self.node or 1
            block, place = divmod(rank - first_of_stage, size)
            return members[block * size : (block + 1) * size] if kind == "table_node" else members[place::size]
        column = rank - first_of_stage
        if kind == "pipeline":
            return range(column, self.ranks, stage_ranks)
        if kind == "tied":
            return (column, column + (self.pipeline - 1) * stage_ranks) if self.pipeline > 1 else (column,)
        raise ValueError(f"unknown group {kind!r}; one of {', '.join(GROUP_KINDS)}")

"""Plan: how the work is spread over ranks.

Degrees, schedules and policies follow Megatron-LM's, PyTorch's and TorchRec's names. What makes a plan impossible on a
model and a cluster is said with numbers and a remedy (`simulator/scenario/legality.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from simulator.layout import Layout
from simulator.model.memory_rules import Shares
from simulator.policies.balancer_settings import Balancer
from simulator.policies.compression_settings import Compression
from simulator.values import MAX_INTEGER, Natural, Positive, PositiveReal, Value, Variant, Whole, quoted


class Aggregation(Value):
    """How gradients are summed over their group."""

    algorithm: Literal["auto", "ring", "tree", "hierarchical", "halving_doubling", "in_switch"] = Field(
        "auto",
        description="of all-reduces; auto: what NCCL chose inside a node, the faster of its ring and tree out",
    )
    order: Literal["backward", "priority"] = Field(
        "backward", description="buckets leave as backward fills them, or those the next forward needs first"
    )
    sparse: Literal["allgather", "balanced"] = Field(
        "allgather", description="how payloads that cannot be summed on the way are combined"
    )


class Overlap(Value):
    """Which communication may run beside compute."""

    grad_reduce: bool = Field(True, description="gradient buckets are reduced while backward goes on")
    param_gather: bool = Field(True, description="zero 1-3: parameters are gathered while other work goes on")
    tensor: bool = Field(False, description="tensor-parallel collectives are split and overlapped with their GEMMs")
    pipeline: bool = Field(True, description="pipeline sends and receives are posted ahead of the compute")


class Servers(Value):
    """Parameter servers of the asynchronous modes."""

    count: Positive = Field(1, description="number of servers, each with an equal share of the parameters")
    placement: Literal["colocated", "dedicated"] = Field("colocated", description="on the workers' nodes, or beside")


class Sync(Variant):
    """How data-parallel replicas keep their parameters together."""

    TAG: ClassVar[str] = "mode"
    COMMON: ClassVar[tuple[str, ...]] = ("servers",)
    KEYS: ClassVar[dict[str, dict[str, Any]]] = {
        "synchronous": {},
        "async": {"staleness": None},
        "ssp": {"staleness": 4},
        "local_sgd": {"period": 16},
    }

    mode: Literal["synchronous", "async", "ssp", "local_sgd"] = "synchronous"
    staleness: Natural | None = Field(None, description="steps a worker may be ahead of the slowest; null: no bound")
    period: Positive | None = Field(None, description="local steps between two averagings")
    servers: Servers | None = None


def _partition(value: Any) -> Any:
    if value in ("uniform", "balanced"):
        return value
    whole = isinstance(value, list | tuple) and all(type(x) is int and 0 <= x <= MAX_INTEGER for x in value)
    if not whole or not value:
        raise ValueError(f"{quoted(value)} is not uniform, balanced or a list of layers, one number for each stage")
    return tuple(value)


SHARDINGS = ("data_parallel", "table_wise", "row_wise", "column_wise", "table_row_wise", "grid")


def _sharding(value: Any) -> Any:
    if value == "auto" or value in SHARDINGS:
        return value
    if isinstance(value, Mapping):
        value = tuple(value.items())
    pairs = isinstance(value, tuple | list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in value)
    if not pairs or not value:
        raise ValueError(f"{quoted(value)} is not one of auto, {', '.join(SHARDINGS)} or a mapping {{table: kind}}")
    for table, kind in value:
        if kind not in SHARDINGS:
            raise ValueError(f"table {table} cannot be sharded as {quoted(kind)}; one of {', '.join(SHARDINGS)}")
    return tuple(tuple(pair) for pair in value)


Partition = Annotated[
    Literal["uniform", "balanced"] | tuple[int, ...],
    BeforeValidator(_partition),
    WithJsonSchema({
        "anyOf": [{"enum": ["uniform", "balanced"]},
                  {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}],
        "default": "uniform",
    }),
]  # fmt: skip
EmbeddingSharding = Annotated[
    str | tuple[tuple[str, str], ...],
    BeforeValidator(_sharding),
    PlainSerializer(lambda value: dict(value) if isinstance(value, tuple) else value),
    WithJsonSchema({
        "anyOf": [{"enum": ["auto", *SHARDINGS]},
                  {"type": "object", "minProperties": 1, "additionalProperties": {"enum": list(SHARDINGS)}}],
        "default": "auto",
    }),
]  # fmt: skip


class Plan(Value):
    """How one step is spread over the ranks. `data` is None only in a file; a loaded scenario has the number.

    Degrees are Megatron-LM's; tensor * context * data * pipeline = GPUs. Samples: one data-parallel rank runs
    `microbatches` of `microbatch` samples each, and all of them together make `global_batch`.
    """

    tensor: Positive = Field(1, description="ranks that share every layer (Megatron-LM tensor parallelism)")
    pipeline: Positive = Field(1, description="stages of the layer pipeline")
    data: Positive | None = Field(None, description="replicas; left out: gpus / (tensor * pipeline * context)")
    context: Positive = Field(1, description="slices of the sequence")
    context_kind: Literal["ring", "all_to_all"] = "ring"
    sequence_parallel: bool = Field(False, description="norms and dropout split over the sequence (arXiv 2205.05198)")
    schedule: Literal["gpipe", "1f1b", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v"] = "1f1b"
    virtual_stages: Positive = Field(1, description="model chunks for each pipeline rank")
    microbatch: Positive = Field(description="samples in a microbatch of one data-parallel rank")
    global_batch: Positive = Field(description="samples in a step, over all data-parallel ranks")
    recompute: Literal["none", "selective", "selective_op", "full"] = Field(
        "none", description="activations that are computed again in backward; selective: the attention core"
    )
    zero: Annotated[Literal[0, 1, 2, 3], Whole] = Field(
        0, description="1 shards optimizer states, 2 gradients too, 3 parameters too"
    )
    shard_group: Positive | None = Field(None, description="zero shards over this many consecutive members; null: all")
    reshard_after_forward: bool = Field(True, description="zero 3: drop a block's parameters after its forward")
    bucket_mib: PositiveReal | None = Field(
        25.0, description="gradient fusion size in MiB (zero 0-2); null, and only null, with zero 3"
    )
    aggregation: Aggregation = Aggregation()
    overlap: Overlap = Overlap()
    partition: Partition = "uniform"
    embedding_sharding: EmbeddingSharding = "auto"
    embedding_columns: Positive = Field(
        32, description="column_wise, grid: fewest columns of a piece of a table (TorchRec's min_partition)"
    )
    embedding_dedup: bool = Field(
        False, description="each rank sends an id once, of tables that do not pool (TorchRec's use_index_dedup)"
    )
    embedding_fused_optimizer: bool = Field(
        False, description="rows are updated inside their backward pass (TorchRec's fused kernel); one microbatch only"
    )
    bottom_mlp: Literal["replicated", "one_rank"] = Field(
        "replicated", description="a DLRM's bottom MLP: on every replica, or on the first for the rows of all"
    )
    sync: Sync = Sync()
    compression: Compression = Compression()
    balancer: Balancer = Balancer()

    @property
    def layout(self) -> Layout:
        """Where each rank is. Needs `data`."""
        shard = self.shards if 1 < self.shards < self.replicas else None
        return Layout(
            tensor=self.tensor, context=self.context, data=self.data, pipeline=self.pipeline, shard=shard
        )  # fmt: skip

    @property
    def replicas(self) -> int:
        """Ranks whose dense gradients are reduced together. Needs `data`."""
        return self.data * self.context

    @property
    def shards(self) -> int:
        """Ranks among which zero divides; 1 where it divides nothing. Needs `data`."""
        return (self.shard_group or self.replicas) if self.zero and self.replicas > 1 else 1

    @property
    def gathers_blocks(self) -> bool:
        """Whether parameters are sharded too, and gathered block by block. Needs `data`."""
        return self.zero == 3 and self.shards > 1

    @property
    def gathers_each(self) -> bool:
        """Whether every pass of a microbatch gathers its blocks: under a pipeline only where they are dropped behind it
        (torchtitan's fsdp_reshard_after_forward: always). Needs `data`."""
        return self.gathers_blocks and (self.pipeline == 1 or self.reshard_after_forward)

    @property
    def hop(self) -> int | None:
        """Among how many consecutive replicas quantized gradients meet first; None where all meet at once."""
        inside = self.compression.inside or 1
        return inside if self.shards == self.replicas and 1 < inside < self.replicas else None

    @property
    def scatters_each(self) -> bool:
        """Whether gradients are reduced behind every microbatch, so that no rank accumulates whole ones. Under a
        pipeline FSDP reduces once a step, as `torch.distributed.pipelining` has it. Needs `data`."""
        return self.zero >= 2 and self.shards > 1 and self.pipeline == 1

    @property
    def shares(self) -> Shares:
        """Among how many ranks each kind of dense state is divided. Needs `data`."""
        return Shares(
            parameters=self.shards if self.gathers_blocks else 1,
            gradients=self.shards if self.scatters_each else 1,
            optimizer=self.shards,
        )

    @property
    def microbatches(self) -> int:
        """m: microbatches that one data-parallel rank runs in a step, on average. Needs `data`."""
        return self.global_batch // (self.microbatch * self.data)

    @property
    def order(self) -> tuple[int, ...] | None:
        """The device of each rank, by its number in the cluster; None: ranks fill the nodes in order."""
        placement = self.balancer.placement
        return placement if isinstance(placement, tuple) else None

    @property
    def counts(self) -> tuple[int, ...]:
        """Microbatches of each data-parallel rank, where they are not `microbatches` for all; else empty. Until the
        static balancer has decided (`settle.py`), they are. Needs `data`."""
        stated = self.balancer.microbatches
        return stated if isinstance(stated, tuple) and len(set(stated)) > 1 else ()

    def microbatches_of(self, data_rank: int) -> int:
        """Microbatches that this data-parallel rank runs in a step. Needs `data`."""
        return self.counts[data_rank] if self.counts else self.microbatches

    def sharding_of(self, table: str) -> str:
        """How the embedding table of that name is sharded; "auto" where the plan leaves it open."""
        if isinstance(self.embedding_sharding, str):
            return self.embedding_sharding
        return dict(self.embedding_sharding).get(table, "auto")

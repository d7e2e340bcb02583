"""Plan: how the work is spread over ranks.

Degrees, schedules and policies follow Megatron-LM's, PyTorch's and TorchRec's names. What makes a plan impossible on a
model and a cluster is said with numbers and a remedy (`simulator/scenario/legality.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from simulator.layout import Layout
from simulator.model.memory_rules import Shares
from simulator.values import MAX_INTEGER, Natural, Positive, PositiveReal, Value, Variant


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


DENSITY_DEFAULT = 0.01
"""Assumed where a plan names a sparse compressor without `density`: 1 % of the entries, the setting of Aji & Heafield
(arXiv 1704.05021) and Lin et al. (DGC, arXiv 1712.01887, 0.1-1 %)."""

RANK_DEFAULT = 4
"""Assumed where a plan names powersgd without `rank`: Vogels et al. (arXiv 1905.13727) evaluate ranks 1, 2 and 4."""

BLOCK_DEFAULT = 256
"""Assumed where a plan names int8 without `block`: one fp32 scale adds 1.6 % to the message (QSGD, arXiv 1610.02132,
has 512 entries to a bucket, 8-bit optimizers, arXiv 2110.02861, 2,048)."""

SAMPLE_DEFAULT = 0.01
"""Share of the entries that a threshold is estimated from: DGC takes 0.1 to 1 % (arXiv 1712.01887, section 5)."""

MOMENTUM_DEFAULT = 0.9
"""Of DGC's momentum correction, as its paper trains."""

CANDIDATES = ("bf16", "int8", "topk", "powersgd")
"""Of adaptive compression: one of each family (cast, quantized, sparse, low-rank)."""

Method = Literal["fp16", "bf16", "int8", "onebit", "topk", "topk_sampled", "randomk", "dgc", "powersgd"]


def _decided(value: Any) -> Any:
    if value is None:
        return None
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    methods = ("none", *get_args(Method))
    for pair in pairs if isinstance(pairs, tuple | list) else (value,):
        whole = isinstance(pair, tuple | list) and len(pair) == 2 and re.fullmatch(r"\d+\.b\d+", str(pair[0]))
        if not whole or pair[1] not in methods:
            raise ValueError(
                f"{_shown(pair)} is no bucket and its method, such as 0.b3: topk; methods are {', '.join(methods)}"
            )
    return tuple((name, method) for name, method in pairs)


Decided = Annotated[
    tuple[tuple[str, str], ...] | None,
    BeforeValidator(_decided),
    PlainSerializer(lambda value: None if value is None else dict(value)),
    WithJsonSchema({
        "anyOf": [{"type": "object", "additionalProperties": {"enum": ["none", *get_args(Method)]}}, {"type": "null"}],
        "default": None,
    }),
]  # fmt: skip

_ALL: dict[str, Any] = {"min_bytes": 0}
_FEEDBACK: dict[str, Any] = {"error_feedback": True, **_ALL}
_CAST: dict[str, Any] = {"error_feedback": False, **_ALL}
_SPARSE: dict[str, Any] = {"density": DENSITY_DEFAULT, **_FEEDBACK}
_SAMPLED: dict[str, Any] = {"sample": SAMPLE_DEFAULT, **_SPARSE}


class Compression(Variant):
    """What is done to a dense gradient bucket before it is sent."""

    TAG: ClassVar[str] = "method"
    KEYS: ClassVar[dict[str, dict[str, Any]]] = {
        "none": {},
        "fp16": _CAST,
        "bf16": _CAST,
        "int8": {"block": BLOCK_DEFAULT, "inside": None, **_FEEDBACK},
        "onebit": {"inside": None, **_FEEDBACK},
        "topk": _SPARSE,
        "topk_sampled": _SAMPLED,
        "randomk": {"shared_seed": True, **_SPARSE},
        "dgc": {"momentum": MOMENTUM_DEFAULT, "clipping": None, "warm_up": 0, **_SAMPLED},
        "powersgd": {"rank": RANK_DEFAULT, **_FEEDBACK},
        "adaptive": {
            "density": DENSITY_DEFAULT,
            "rank": RANK_DEFAULT,
            "candidates": CANDIDATES,
            "decided": None,
            "inside": None,
            "error_feedback": None,
            **_ALL,
        },  # error feedback: each method's own default
    }

    method: Literal[
        "none", "fp16", "bf16", "int8", "onebit", "topk", "topk_sampled", "randomk", "dgc", "powersgd", "adaptive"
    ] = "none"
    density: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="share of the entries that is sent")
    rank: Positive | None = Field(None, description="rank of the low-rank factors")
    error_feedback: bool | None = Field(None, description="what was not sent is added to the next step's gradient")
    block: Positive | None = Field(None, description="int8: entries that share a scale")
    sample: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="share of the entries that the threshold is estimated from"
    )
    shared_seed: bool | None = Field(
        None,
        description="randomk: the same places on every rank, so that sums travel; false: pairs, which are gathered",
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="dgc: accumulated before selection, in place of the optimizer's own"
    )
    clipping: PositiveReal | None = Field(
        None, description="dgc: largest norm of a bucket's sum; each rank clips its part to 1/sqrt(ranks) of it"
    )
    warm_up: Natural | None = Field(
        None, description="dgc: steps over which density falls from a quarter; the predicted step comes after them"
    )
    candidates: tuple[Method, ...] | None = Field(None, description="adaptive: methods that buckets may get")
    decided: Decided = Field(
        None,
        description="adaptive: method of each bucket, {pipeline rank.bucket: method}; null: what the simulator's "
        "own prices say",
    )
    inside: Positive | None = Field(
        None,
        description="int8, onebit with zero: payloads meet among so many consecutive ranks first (ZeRO++: a node's), "
        "and sums cross then; null: all meet at once",
    )
    min_bytes: Natural | None = Field(None, description="buckets smaller than this are sent as they are")

    def of(self, method: str) -> Compression:
        """The same keys for one method, as far as it takes them."""
        taken = {key: getattr(self, key) for key in self.KEYS[method] if getattr(self, key) is not None}
        return Compression(method=method, **taken)


def _counts(value: Any) -> Any:
    if value is None or value in ("balanced", "equal"):
        return value
    whole = isinstance(value, list | tuple) and all(type(x) is int and 0 < x <= MAX_INTEGER for x in value)
    if not whole or not value:
        raise ValueError(f"{_shown(value)} is not balanced, equal or a list of microbatches, one number a replica")
    return tuple(value)


Counts = Annotated[
    Literal["balanced", "equal"] | tuple[int, ...] | None,
    BeforeValidator(_counts),
    WithJsonSchema({
        "anyOf": [{"enum": ["balanced", "equal"]},
                  {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}}],
        "default": "balanced",
    }),
]  # fmt: skip


def _order(value: Any) -> Any:
    if value is None or value in ("natural", "traffic"):
        return value
    if not isinstance(value, list | tuple) or sorted(map(_sortable, value)) != list(range(len(value))):
        raise ValueError(
            f"{_shown(value)} is not natural, traffic or a list of every device's number, one for each rank"
        )
    return tuple(value)


def _sortable(value: Any) -> float:
    return value if type(value) is int else -1


Order = Annotated[
    Literal["natural", "traffic"] | tuple[int, ...] | None,
    BeforeValidator(_order),
    WithJsonSchema({
        "anyOf": [{"enum": ["natural", "traffic"]},
                  {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}],
        "default": "natural",
    }),
]  # fmt: skip


class Balancer(Variant):
    """What evens out the work of replicas and stages."""

    KEYS: ClassVar[dict[str, dict[str, Any]]] = {
        "none": {},
        "static": {"microbatches": "balanced", "placement": "natural"},
        "adaptive": {"window": 10, "threshold": 0.05},
        "length": {},
    }

    kind: Literal["none", "static", "adaptive", "length"] = "none"
    window: Positive | None = Field(None, description="steps observed before a decision")
    threshold: Annotated[float, Field(ge=0)] | None = Field(None, description="relative imbalance that is tolerated")
    microbatches: Counts = Field(
        None, description="static: of each replica: balanced by how fast it is, equal, or one number for each"
    )
    placement: Order = Field(
        None,
        description="static: which device each rank runs on: natural, in rank order; traffic, so that messages cross "
        "fast links; or the device's number for each rank",
    )


def _partition(value: Any) -> Any:
    if value in ("uniform", "balanced"):
        return value
    whole = isinstance(value, list | tuple) and all(type(x) is int and 0 <= x <= MAX_INTEGER for x in value)
    if not whole or not value:
        raise ValueError(f"{_shown(value)} is not uniform, balanced or a list of layers, one number for each stage")
    return tuple(value)


SHARDINGS = ("data_parallel", "table_wise", "row_wise", "column_wise", "table_row_wise", "grid")


def _sharding(value: Any) -> Any:
    if value == "auto" or value in SHARDINGS:
        return value
    if isinstance(value, Mapping):
        value = tuple(value.items())
    pairs = isinstance(value, tuple | list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in value)
    if not pairs or not value:
        raise ValueError(f"{_shown(value)} is not one of auto, {', '.join(SHARDINGS)} or a mapping {{table: kind}}")
    for table, kind in value:
        if kind not in SHARDINGS:
            raise ValueError(f"table {table} cannot be sharded as {_shown(kind)}; one of {', '.join(SHARDINGS)}")
    return tuple(tuple(pair) for pair in value)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


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
    zero: Literal[0, 1, 2, 3] = Field(0, description="1 shards optimizer states, 2 gradients too, 3 parameters too")
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
    def hop(self) -> int | None:
        """Among how many consecutive replicas quantized gradients meet first; None where all meet at once."""
        inside = self.compression.inside or 1
        return inside if self.shards == self.replicas and 1 < inside < self.replicas else None

    @property
    def scatters_each(self) -> bool:
        """Whether gradients are reduced behind every microbatch, so that no rank accumulates whole ones. Under a
        pipeline FSDP reduces (and gathers) once a step, as `torch.distributed.pipelining` has it. Needs `data`."""
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

"""The words that all blocks share: a unit of the model, a parameter, and one rank's cut of the work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt, prod

from simulator.errors import ScenarioError
from simulator.model.software import SoftwareFacts
from simulator.units import DTYPE_BYTES

MODES = ("none", "selective", "selective_op", "full")
"""What of a layer is run again in backward: nothing; the attention core, unless it is one kernel that does so itself;
that and every op that only moves memory (norms, rotary positions, activations), so that products alone are kept, as the
per-op policy of PyTorch's selective checkpoints does (torchtitan's `selective_ac_option: op`, which runs every second
product again besides); all of it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the model that gradients buckets and stages never split.

    kind: embedding, attention, mlp, hstu or head; of a DLRM bottom, interaction and head. layer: its place in the
    trunk, -1 for what is in none.
    """

    kind: str
    layer: int = -1

    @property
    def name(self) -> str:
        return self.kind if self.layer < 0 else f"layer{self.layer}.{self.kind}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A dense weight. axis: how tensor parallelism shards it.

    column: output features, the first dimension (Megatron-LM's ColumnParallelLinear; torch keeps weights as
    [out, in]). row: input features, the second. vocab: rows of an embedding. none: every tensor rank holds all of it.
    frozen: it is not trained, so that it has neither gradient nor optimizer states.
    """

    name: str
    shape: tuple[int, ...]
    axis: str = "none"
    frozen: bool = False

    @property
    def count(self) -> int:
        return prod(self.shape)

    def local_shape(self, tensor: int) -> tuple[int, ...]:
        """The shard of one of `tensor` ranks; what does not divide is padded up, as Megatron-LM pads the vocabulary."""
        if self.axis == "none":
            return self.shape
        place = 1 if self.axis == "row" else 0
        return tuple(-(-size // tensor) if i == place else size for i, size in enumerate(self.shape))

    def local_count(self, tensor: int) -> int:
        return prod(self.local_shape(tensor))


@dataclass(frozen=True, slots=True)
class Cut(SoftwareFacts):
    """What one rank works on in one microbatch, and what its software does.

    batch: samples. seq: positions of each sample. lengths: real lengths of those samples, where they differ (packed
    without padding, as HSTU's jagged kernels and variable-length attention do); empty means `seq` each.
    tensor, context, context_kind, sequence_parallel: the plan's. overlap_tensor: collectives of sequence-parallel
    linear layers are split into pieces that run beside the pieces of their GEMMs. dtype: of activations and GEMMs.
    gradient_bytes: bytes of an accumulated gradient element. fresh_gradients: none are accumulated: each microbatch's
    are reduced and gone (ZeRO 2 and 3), so that a weight gradient is only written. compiled: torch.compile has fused
    what only moves memory in each layer (`blocks/compiled.py`). vectors: the dtype in which looked-up vectors arrive,
    where it is not their table's. lone_bottom: a bottom MLP's vectors arrive with them.
    """

    batch: int
    seq: int
    tensor: int = 1
    context: int = 1
    sequence_parallel: bool = False
    dtype: str = "bf16"
    lengths: tuple[int, ...] = ()
    gradient_bytes: int = 4
    fresh_gradients: bool = False
    compiled: bool = False
    vectors: str | None = None
    lone_bottom: bool = False
    context_kind: str = "ring"
    overlap_tensor: bool = False

    def __post_init__(self) -> None:
        if self.is_ring and self.attention != "flash":
            raise ScenarioError(
                f"ring attention adds up parts by the log-sum-exp of a flash kernel, and attention is {self.attention};"
                " use --set software.attention=flash or --set plan.context_kind=all_to_all",
                key="plan.context_kind",
            )
        if self.lengths and len(self.lengths) != self.batch:
            raise ValueError(f"{len(self.lengths)} lengths for {self.batch} samples")

    @property
    def bytes(self) -> int:
        """Bytes of an activation element. fp8 is the GEMMs' operand type: activations stay 16 bits wide."""
        return max(2, DTYPE_BYTES[self.dtype])

    @property
    def tokens(self) -> int:
        """Positions of this rank: its context slice of its samples, packed ones filled up to equal tensor shares."""
        whole = -(-(sum(self.lengths) or self.batch * self.seq) // self.context)
        return whole + (-whole % self.tensor if self.lengths and self.sequence_parallel else 0)

    @property
    def shard_tokens(self) -> int:
        """Positions that norms, dropouts and residuals work on: 1/tensor of them under sequence parallelism."""
        return -(-self.tokens // self.tensor) if self.sequence_parallel else self.tokens

    @property
    def square_lengths(self) -> int:
        """Sum over samples of length^2: what attention's work is proportional to."""
        return sum(length * length for length in self.lengths) or self.batch * self.seq * self.seq

    @property
    def attention_seq(self) -> int:
        """The one length at which `batch` equal samples do the same attention work (seq itself when all are equal)."""
        return isqrt(self.square_lengths // self.batch) if self.lengths else self.seq

    @property
    def is_ring(self) -> bool:
        """Whether keys and values travel round the context group."""
        return self.context > 1 and self.context_kind == "ring"

    @property
    def splits_collectives(self) -> bool:
        """Whether linear layers run in pieces beside their collectives'."""
        return self.overlap_tensor and self.sequence_parallel and self.tensor > 1

    @property
    def by_heads(self) -> Cut:
        """The same work, the samples whole and the heads dealt out over the context group too."""
        return replace(self, context=1, tensor=self.tensor * self.context)

    def share(self, width: int) -> int:
        """One tensor rank's part of a width."""
        return -(-width // self.tensor)

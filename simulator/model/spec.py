"""What is trained: a dense sequence trunk, sparse embedding tables and a head.

The attribute names are the keys of a scenario's `model:` section. Whatever a user leaves out is resolved here, in the
value itself, so that nobody downstream asks "or what is the default?". `model_dump(exclude_unset=True)` still gives
what was written, for overriding a preset's keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.values import Fraction, Natural, Positive, PositiveReal, Value

Block = Literal["gpt", "llama", "hstu", "sasrec", "bert", "none", "profiled"]
DENSE_BLOCKS = ("gpt", "llama", "bert")
"""Blocks that count the full s^2 of attention (the Megatron and PaLM convention), causal or not."""

LLAMA_FFN_MULTIPLE = 256
"""LLaMA rounds 2/3 of 4h up to a multiple of 256 (facebookresearch/llama model.py, `multiple_of`)."""


class ProfiledLayer(Value):
    """One layer known only by its measured times: seconds of its forward and backward pass on one microbatch."""

    forward_s: PositiveReal
    backward_s: PositiveReal
    parameters: Natural = 0
    activation_bytes: Natural = 0


class Trunk(Value):
    """The dense sequence model; `hidden`, `heads`, `layers` and `seq` are required by every block but none, profiled.

    kv_heads: key and value heads (grouped-query attention); heads must be a multiple. ffn: inner width of the MLP.
    vocab: rows of the token embedding and of the output projection, 0 for neither. seq: longest sample, in positions.
    block none: no trunk; the model is a DLRM (`Dense`), and a sample, one row of its data, is one position.
    """

    block: Block = "none"
    layers: Natural | tuple[ProfiledLayer, ...] | None = None
    hidden: Natural | None = None
    heads: Natural | None = None
    kv_heads: Positive | None = None
    head_dim: Positive | None = None
    ffn: Natural | None = None
    vocab: Natural = 0
    tied_embeddings: bool | None = None
    seq: Natural | None = None
    causal: bool | None = None

    @property
    def num_layers(self) -> int:
        return len(self.layers) if isinstance(self.layers, tuple) else self.layers or 0

    @property
    def query_width(self) -> int:
        """heads * head_dim: the width of the queries and of the attention's output."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """kv_heads * head_dim: the width of the keys, and of the values."""
        return self.kv_heads * self.head_dim

    @model_validator(mode="after")
    def _resolve(self) -> Trunk:
        if isinstance(self.layers, tuple) != (self.block == "profiled"):
            if self.block == "profiled":
                raise ValueError("block profiled needs layers as a list of {forward_s, backward_s, ...}")
            raise ValueError(f"block {self.block} needs layers as a number; a list of layers belongs to block profiled")
        if self.block == "none":
            for key in type(self).model_fields:
                stated = key in self.model_fields_set and key != "block" and getattr(self, key)
                if stated and (key, self.seq) != ("seq", 1):
                    raise ValueError(f"block none has no {key}; leave it out, or name the block that has")
            self.__dict__["seq"] = 1
        if self.block in ("none", "profiled"):
            if self.block == "profiled" and self.vocab:
                raise ValueError("block profiled has no vocab: what its logits take is in its layers' times")
            resolved = {"layers": self.layers or 0, "hidden": self.hidden or 0, "heads": self.heads or 0,
                        "seq": self.seq or 1, "ffn": self.ffn or 0, "causal": bool(self.causal),
                        "tied_embeddings": bool(self.tied_embeddings)}  # fmt: skip
            self.__dict__.update(resolved)
            return self
        for key in ("layers", "hidden", "heads", "seq"):
            if not getattr(self, key):
                raise ValueError(f"block {self.block} needs {key}, a whole number of at least 1")
        kv_heads = self.kv_heads or self.heads
        if self.head_dim is None and self.hidden % self.heads:
            raise ValueError(
                f"hidden {self.hidden} is not a multiple of heads {self.heads}; change one or give head_dim"
            )
        if self.heads % kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {kv_heads}")
        if self.block in ("hstu", "sasrec") and kv_heads != self.heads:
            raise ValueError(f"block {self.block} has no grouped-query attention; leave kv_heads out")
        if self.block == "hstu" and self.ffn:
            raise ValueError(f"block hstu has no MLP; ffn must be 0 or left out, not {self.ffn}")
        self.__dict__.update(
            kv_heads=kv_heads,
            head_dim=self.head_dim or self.hidden // self.heads,
            ffn=_default_ffn(self.block, self.hidden) if self.ffn is None else self.ffn,
            tied_embeddings=self.block in ("gpt", "bert") if self.tied_embeddings is None else self.tied_embeddings,
            causal=self.block != "bert" if self.causal is None else self.causal,
        )
        return self


def _default_ffn(block: str, hidden: int) -> int:
    """The inner width that the block's own paper uses."""
    if block == "llama":  # SwiGLU keeps the parameters of a 4h MLP with three matrices: 8h/3, rounded up (LLaMA)
        return -(-(8 * hidden // 3) // LLAMA_FFN_MULTIPLE) * LLAMA_FFN_MULTIPLE
    return {"gpt": 4 * hidden, "bert": 4 * hidden, "sasrec": hidden, "hstu": 0}[block]


class UniformIds(Value):
    """Every row is as likely as any other."""

    kind: Literal["uniform"] = "uniform"


class ZipfIds(Value):
    """P(row of popularity r) ~ r^-alpha, r = 1 .. rows of the table."""

    kind: Literal["zipf"]
    alpha: PositiveReal = 1.05


Ids = Annotated[UniformIds | ZipfIds, Field(discriminator="kind")]


class Table(Value):
    """A sparse embedding table of `rows` x `dim`.

    lookups_per_sample: ids each sample looks up; None with pooling none means one for each position of the sample, a
        number with pooling none that the k-th vector stands at position k modulo the sample's length.
    pooling: none keeps a vector for each id; sum and mean make one vector of a sample's ids.
    cache_fraction: with placement host, the share of rows (the most frequent ones) kept in device memory; None is 0.
    """

    name: Annotated[str, Field(min_length=1)]
    rows: Positive
    dim: Positive
    lookups_per_sample: Positive | None = None
    pooling: Literal["none", "sum", "mean"] = "none"
    optimizer: Literal["rowwise_adagrad", "adagrad", "sgd", "adam"] = "rowwise_adagrad"
    dtype: Literal["fp32", "bf16", "fp16", "fp8"] = "fp32"
    ids: Ids = UniformIds()
    placement: Literal["device", "host"] = "device"
    cache_fraction: Fraction | None = None

    @model_validator(mode="after")
    def _check(self) -> Table:
        if self.pooling != "none" and self.lookups_per_sample is None:
            raise ValueError(f"table {self.name} pools its ids by {self.pooling}; say lookups_per_sample")
        if self.placement == "device" and self.cache_fraction is not None:
            raise ValueError(f"table {self.name} is on the device; cache_fraction belongs to placement host")
        return self


class Head(Value):
    """What turns the trunk's output into a loss.

    lm: logits over the vocabulary. full_softmax: logits over all rows of `table`. sampled_softmax: over the positive
    and `negatives` sampled rows of it. binary: one logit for each position; with `table`, the dot product with the
    positive's and `negatives` sampled rows (SASRec), else dense.top as an MLP on the trunk's output.
    tied: the output rows are the input table's own (or the token embedding's, by trunk.tied_embeddings).
    """

    kind: Literal["lm", "full_softmax", "sampled_softmax", "binary"]
    table: str | None = None
    tied: bool = True
    negatives: Natural | None = None

    @model_validator(mode="after")
    def _check(self) -> Head:
        if self.kind == "lm" and self.table is not None:
            raise ValueError("a head of kind lm reads trunk.vocab; table belongs to the softmax heads and binary")
        if self.kind in ("lm", "full_softmax") and self.negatives:
            raise ValueError(f"a head of kind {self.kind} scores every row; negatives is for sampled_softmax or binary")
        if self.kind == "sampled_softmax" and not self.negatives:
            raise ValueError("a head of kind sampled_softmax needs negatives, at least 1")
        if self.kind == "binary" and self.negatives and self.table is None:
            raise ValueError("a binary head with negatives needs table, which they are sampled from")
        if self.negatives is None:
            self.__dict__["negatives"] = 1 if self.kind == "binary" and self.table is not None else 0
        return self


class Dense(Value):
    """The dense parts of a DLRM (arXiv 1906.00091); `top` alone is the MLP of a binary head behind a trunk.

    features: numbers in a row, the input of `bottom`, an MLP of these widths whose output is a vector like a table's.
    interaction: what is made of those vectors. dot: the products of all pairs, behind the bottom's vector; cat: all of
    them side by side; dcn_v2: that through low-rank cross layers (arXiv 2008.13535). top: the MLP from there to the
    logits.
    """

    features: Positive = 13
    bottom: tuple[Positive, ...] = ()
    top: tuple[Positive, ...] = ()
    interaction: Literal["none", "dot", "cat", "dcn_v2"] = "none"
    cross_layers: Positive = 3
    cross_rank: Positive = 512


class Adapter(Value):
    """A low-rank adapter beside frozen matrices (LoRA, arXiv 2106.09685)."""

    kind: Literal["lora"]
    rank: Positive
    targets: tuple[Literal["q", "k", "v", "o", "gate", "up", "down"], ...] = ("q", "v")


class ModelSpec(Value):
    """The whole model. head: by default lm where the trunk has a vocabulary, else binary."""

    trunk: Trunk = Trunk()
    tables: tuple[Table, ...] = ()
    head: Head | None = None
    dense: Dense | None = None
    adapter: Adapter | None = None

    @property
    def is_dlrm(self) -> bool:
        """No trunk: vectors of tables and the bottom MLP's meet in an interaction."""
        return self.trunk.block == "none"

    def table(self, name: str) -> Table:
        """The table of that name."""
        return next(table for table in self.tables if table.name == name)

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        names = [table.name for table in self.tables]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two tables are called {name}; give each its own name")
        if self.head is None:
            self.__dict__["head"] = Head(kind="lm") if self.trunk.vocab else Head(kind="binary")
        head = self.head
        if head.kind == "lm" and not self.trunk.vocab:
            raise ValueError("a head of kind lm needs trunk.vocab above 0")
        if head.kind in ("full_softmax", "sampled_softmax") and head.table is None:
            if len(names) != 1:
                known = ", ".join(names) or "the model has none"
                raise ValueError(f"a head of kind {head.kind} needs table, one of the model's tables ({known})")
            head = head.model_copy(update={"table": names[0]})
            self.__dict__["head"] = head
        if head.table is not None and head.table not in names:
            raise ValueError(f"head.table {head.table} is not one of the model's tables ({', '.join(names) or 'none'})")
        return self

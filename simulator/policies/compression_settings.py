"""What a plan says of gradient compression: the method and its keys, each with the default its paper trains with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from simulator.values import Natural, Positive, PositiveReal, Variant, quoted

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
                f"{quoted(pair)} is no bucket and its method, such as 0.b3: topk; methods are {', '.join(methods)}"
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

"""What a plan says of load balancing: who evens out what, and what is stated instead of decided."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from simulator.values import MAX_INTEGER, Positive, Variant, quoted


def _counts(value: Any) -> Any:
    if value is None or value in ("balanced", "equal"):
        return value
    whole = isinstance(value, list | tuple) and all(type(x) is int and 0 < x <= MAX_INTEGER for x in value)
    if not whole or not value:
        raise ValueError(f"{quoted(value)} is not balanced, equal or a list of microbatches, one number a replica")
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
            f"{quoted(value)} is not natural, traffic or a list of every device's number, one for each rank"
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

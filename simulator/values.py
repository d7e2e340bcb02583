"""The base of every value that a user states: frozen, hashable, strict about its keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_INTEGER = 2**53

Positive = Annotated[int, Field(gt=0, le=MAX_INTEGER, strict=True)]
Natural = Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
PositiveReal = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Value(BaseModel):
    """A frozen, hashable record: unknown keys are refused, NaN and infinity too."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

"""The base of every value that a user states: frozen, hashable, strict about its keys."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

MAX_INTEGER = 2**53

Positive = Annotated[int, Field(gt=0, le=MAX_INTEGER, strict=True)]
Natural = Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
PositiveReal = Annotated[float, Field(gt=0, le=MAX_INTEGER, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float):  # true == 1 == 1.0, and a choice is found by ==
        raise ValueError(f"{str(value).lower()} is not a whole number; write it without a point or quotes")
    return value


Whole = BeforeValidator(_whole)
"""Beside a Literal of integers: takes nothing that is merely equal to one of them."""


class Value(BaseModel):
    """A frozen, hashable record: unknown keys are refused, NaN and infinity too."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Variant(Value):
    """A value whose keys depend on its kind: `{kind: zipf, alpha: 1.2}` but `{kind: fixed}`.

    One flat class, so that readers write `compression.density` and not a type test. `KEYS` says which keys each kind
    takes and what they are when left out (`...`: they may not be left out); every other key must be absent or null.
    """

    TAG: ClassVar[str] = "kind"
    COMMON: ClassVar[tuple[str, ...]] = ()
    KEYS: ClassVar[dict[str, dict[str, Any]]] = {}

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> Variant:
        kind = getattr(self, self.TAG)
        taken = self.KEYS[kind]
        for key in type(self).model_fields:
            if key not in (self.TAG, *self.COMMON, *taken) and getattr(self, key) is not None:
                takes = f"it takes {', '.join(taken)}" if taken else "it takes no further key"
                raise ValueError(f"{self.TAG} {kind} has no use for {key}; remove it ({takes})")
        for key, default in taken.items():
            if getattr(self, key) is None:
                if default is ...:
                    raise ValueError(f"{self.TAG} {kind} needs {key}; add it")
                self.__dict__[key] = default
        return self

    @model_serializer(mode="wrap")
    def _only_the_keys_of_the_kind(self, handler: Any) -> dict[str, Any]:
        kept = (self.TAG, *self.COMMON, *self.KEYS[getattr(self, self.TAG)])
        return {key: value for key, value in handler(self).items() if key in kept}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """One alternative for each kind, in place of one object with every key."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        known = schema.pop("properties")

        def tag_if_stated(kind: str) -> list[str]:
            return [] if kind == cls.model_fields[cls.TAG].default else [cls.TAG]

        for key in ("required", "additionalProperties", "type"):
            schema.pop(key, None)
        schema["oneOf"] = [
            {
                "type": "object",
                "properties": {
                    cls.TAG: {"const": kind},
                    **{key: {**known[key], "default": None if value is ... else value} for key, value in taken.items()},
                    **{key: known[key] for key in cls.COMMON},
                },
                "required": [*tag_if_stated(kind), *(key for key, value in taken.items() if value is ...)],
                "additionalProperties": False,
            }
            for kind, taken in cls.KEYS.items()
        ]
        return schema


def quoted(value: Any) -> str:
    """A value as an error repeats it: at most 60 characters."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

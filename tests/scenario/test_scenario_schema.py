"""The JSON Schema: valid, whole, and of one mind with the loader."""

import json

import pytest
import yaml
from scenario_texts import EVERY_KEY, GPT3, HSTU, TINY

from simulator.scenario.keys import homes
from simulator.scenario.schema import json_schema

SCHEMA = json_schema()
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}  # fmt: skip
KNOWN = {"$ref", "$defs", "$schema", "title", "description", "default", "type", "properties", "required", "const",
         "enum", "additionalProperties", "anyOf", "oneOf", "items", "prefixItems", "minItems", "maxItems", "minLength",
         "minProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "discriminator"}  # fmt: skip


def fits(schema, value):
    """Whether a value fits a schema: the part of JSON Schema 2020-12 that ours uses; other words are an error."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema and not fits(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value):
        return False
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(part, value) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(part, value) for part in schema["oneOf"]) != 1:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, above = schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1)
        high, below = schema.get("maximum", value), schema.get("exclusiveMaximum", value + 1)
        return low <= value <= high and above < value < below
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0)
    if isinstance(value, list):
        items = schema.get("items", {})
        return all(fits(items, item) for item in value) and len(value) >= schema.get("minItems", 0)
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        if len(value) < schema.get("minProperties", 0) or any(key not in value for key in schema.get("required", ())):
            return False
        for key, part in value.items():
            if key in properties and not fits(properties[key], part):
                return False
            if key not in properties and (rest is False or (isinstance(rest, dict) and not fits(rest, part))):
                return False
    return True


@pytest.mark.parametrize("text", [GPT3, HSTU, TINY])
def test_what_loads_fits_the_schema_and_so_does_its_canonical_text(load, text):
    assert fits(SCHEMA, yaml.safe_load(text))
    assert fits(SCHEMA, json.loads(load(text).canonical_json()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plan.tensor", 0), ("plan.tensor", 1.5), ("plan.tensor", 2**53 + 1), ("plan.tensr", 1), ("plan.zero", 4),
        ("plan.recompute", "some"), ("plan.compression", {"method": "topk", "rank": 3}),
        ("plan.compression", {"method": "topk", "density": 0}), ("plan.partition", []),
        ("plan.embedding_sharding", "all"), ("name", ""), ("schema_version", 2), ("data.lengths", {"kind": "zipf"}),
        ("plan.sync", {"mode": "ssp", "period": 1}),
        ("seed", -1), ("dtype", "int4"), ("profile", {}),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_loader_refuses_too(refused, key, value):
    data = yaml.safe_load(GPT3)
    *way, last = key.split(".")
    holder = data
    for part in way:
        holder = holder.setdefault(part, {})
    holder[last] = value
    assert not fits(SCHEMA, data)
    assert last in refused(yaml.safe_dump(data))


def test_the_schema_says_what_every_object_is_and_requires_what_the_contract_requires():
    assert set(SCHEMA["required"]) == {"schema_version", "name", "model", "cluster", "plan"}
    assert set(SCHEMA["$defs"]["Plan"]["required"]) == {"microbatch", "global_batch"}
    assert all(definition.get("description") for definition in SCHEMA["$defs"].values())
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    for key in ("layers", "rows", "density", "staleness", "window", "mtbf_hours", "slo_ms", "nic_gbit_per_s"):
        assert homes(key), key


def test_every_key_of_the_format_is_in_the_schema():
    text = json.dumps(SCHEMA)
    for line in EVERY_KEY.splitlines():
        key = line.strip().removeprefix("- ").partition(":")[0]
        assert f'"{key}"' in text, key

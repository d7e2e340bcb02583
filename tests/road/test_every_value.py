"""Every value of every closed list of the scenario file is compared with another one, or refused.

What there is to say is read from the JSON Schema and from the topologies, what is compared from the rows of
`test_knobs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from knobs import sets
from road_scenarios import BASES, scenario
from test_knobs import KNOBS

from simulator.errors import NotSupportedYet
from simulator.registry import topology_keywords, topology_names
from simulator.scenario.schema import json_schema

ELSEWHERE = {
    ("schema_version", 1),  # there is one
    ("data.lengths.kind", "dataset"),  # what is fetched: tests/scenario/test_stated_lengths.py
}
SCHEMA = json_schema()
ALTERNATIVES = ("anyOf", "oneOf", "allOf", "prefixItems")


def closed_lists(node: dict = SCHEMA, path: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of every value that the schema lists; true and false of a switch too."""
    if "$ref" in node:
        yield from closed_lists(SCHEMA["$defs"][node["$ref"].rsplit("/")[-1]], path)
        return
    listed = [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]
    yield from ((path, value) for value in listed + [True, False] * (node.get("type") == "boolean"))
    inner = [alternative for key in ALTERNATIVES for alternative in node.get(key, ())]
    inner += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
    for alternative in inner:
        yield from closed_lists(alternative, path)
    for key, value in node.get("properties", {}).items():
        yield from closed_lists(value, f"{path}.{key}".lstrip("."))


def stated(path: str, value: object) -> Iterator[tuple[str, object]]:
    """(dotted key, plain value) of all that a value says. The values of a mapping by names count for the mapping."""
    if isinstance(value, dict):
        for key, held in value.items():
            yield from stated(f"{path}.{key}".lstrip("."), held)
            if isinstance(held, str | int):
                yield path, held
    elif isinstance(value, list):
        for held in value:
            yield from stated(path, held)
    else:
        yield path, value


def lines(knob, both: str = "") -> Iterator[tuple[str, object]]:
    """All that the two settings of a knob say, and those of both where they are asked for."""
    for value in (knob.first, knob.second):
        for line in sets(knob.key, value, both):
            key, _, text = line.partition("=")
            yield from stated(re.sub(r"\.\d+", "", key), yaml.safe_load(text))


COMPARED = {said for knob in KNOBS for said in lines(knob)} | {
    said for base in BASES.values() for said in stated("", base)
}
VALUES = sorted({*closed_lists()} - ELSEWHERE, key=str)


def test_the_schema_lists_what_is_known_to_be_listed():
    listed = {*closed_lists()}
    known = {"plan.schedule": "zb_v", "plan.zero": 3, "plan.compression.method": "dgc", "plan.overlap.tensor": True,
             "data.lengths.kind": "zipf", "model.tables.ids.kind": "zipf", "model.adapter.targets": "gate"}  # fmt: skip
    assert [one for one in known.items() if one not in listed] == []


@pytest.mark.parametrize("key, value", [said for said in VALUES if said not in COMPARED], ids=str)
def test_a_value_that_is_compared_with_no_other_is_refused(key, value):
    key = key.replace("model.tables.", "model.tables.1.")
    with pytest.raises(NotSupportedYet):
        scenario("hstu", f"{key}={value}")


def test_every_topology_and_keyword_is_compared():
    said = {said for knob in KNOBS for said in lines(knob, knob.both)} | COMPARED
    assert [name for name in topology_names() if ("cluster.preset", name) not in said] == []
    keywords = {keyword for name in topology_names() for keyword in topology_keywords(name)}
    assert [keyword for keyword in sorted(keywords) if f"cluster.{keyword}" not in {knob.key for knob in KNOBS}] == []

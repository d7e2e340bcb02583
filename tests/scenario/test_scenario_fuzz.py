"""Whatever stands in a file, it loads or it is refused in one sentence: no other exception leaves the loader."""

import yaml
from hypothesis import given
from hypothesis import strategies as st
from scenario_texts import EVERY_KEY, HSTU

from simulator.errors import ScenarioError
from simulator.scenario.loader import _build, scenario_from
from simulator.scenario.source import parse_yaml

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 130)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ("none", "topk", "powersgd", "zipf", "kind", "item", "gpt", "llama", "hstu", "bf16", "row_wise", "auto", "x")
    )
)
keys = st.sampled_from(
    ("kind", "method", "alpha", "rows", "name", "dim", "preset", "nodes", "rank", "item", "")
) | st.text(max_size=5)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from paths(part, (*path, key))


STARTS = [yaml.safe_load(EVERY_KEY), yaml.safe_load(HSTU)]
PLACES = [(start, path) for start in STARTS for path in paths(start) if path]


def one_sentence(error):
    said = str(error)
    assert said.isprintable() and "pydantic" not in said and len(said) < 1500
    return said


@given(st.sampled_from(PLACES), anything)
def test_any_value_in_any_place_is_taken_or_refused_in_one_sentence(place, value):
    start, path = place
    data = yaml.safe_load(yaml.safe_dump(start))
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    try:
        scenario_from(data)
    except ScenarioError as error:
        one_sentence(error)


@given(st.lists(st.tuples(st.sampled_from([path for _, path in PLACES]), plain), min_size=1, max_size=4))
def test_any_overrides_are_taken_or_refused_in_one_sentence(overrides):
    sets = [f"{'.'.join(map(str, path))}={value}" for path, value in overrides]
    try:
        scenario_from(STARTS[1], sets)
    except ScenarioError as error:
        one_sentence(error)


@given(st.text(alphabet="abk:-[]{}#&*!|>'\"%@`,? \n\t\\1.e<\x00\x85\ufeff~", max_size=60))
def test_any_text_is_taken_or_refused_in_one_sentence(text):
    try:
        _build(parse_yaml(text, "f"), (), "")
    except ScenarioError as error:
        one_sentence(error)
    else:
        raise AssertionError("such a text is no scenario")

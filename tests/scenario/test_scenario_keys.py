"""Unknown keys: any typo of any key is caught, on its line, with the key that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_texts import EVERY_KEY, GPT3

from simulator.errors import ScenarioError
from simulator.scenario.keys import _edits, homes, keys_at, nearest
from simulator.scenario.loader import _build
from simulator.scenario.source import parse_yaml

LINES = EVERY_KEY.splitlines()
KEYED = [(number, line.strip().removeprefix("- ").partition(":")[0]) for number, line in enumerate(LINES, 1)]


def _refusal(text):
    with pytest.raises(ScenarioError) as caught:
        _build(parse_yaml(text, "f.yaml"), (), "")
    return caught.value


def test_every_key_of_the_format_loads_and_none_is_missing_from_the_text():
    _build(parse_yaml(EVERY_KEY, "f.yaml"), (), "")
    written = {key for _, key in KEYED}
    known = {key for path in _sections() for key in keys_at(path)} - {"groups", "devices", "links"}
    assert known <= written


def _sections():
    yield ()
    for path in ("model", "model.trunk", "model.tables.0", "model.head", "model.dense", "precision", "software",
                 "cluster", "plan", "plan.aggregation", "plan.overlap", "plan.sync", "plan.compression",
                 "plan.balancer", "data", "data.lengths", "faults", "serving"):  # fmt: skip
        yield tuple(int(part) if part.isdecimal() else part for part in path.split("."))


@st.composite
def typos(draw):
    number, key = draw(st.sampled_from(KEYED))
    place = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz_"))
    kind = draw(st.sampled_from(("drop", "double", "change", "add", "swap")))
    typo = {
        "drop": key[:place] + key[place + 1 :],
        "double": key[:place] + key[place] + key[place:],
        "change": key[:place] + letter + key[place + 1 :],
        "add": key[:place] + letter + key[place:],
        "swap": key[: place - 1] + key[place : place + 1] + key[place - 1 : place] + key[place + 1 :] if place else key,
    }[kind]
    return number, key, typo


@given(typos())
def test_one_wrong_letter_in_any_key_is_caught_with_the_key_that_was_meant(case):
    number, key, typo = case
    line = LINES[number - 1]
    indent = len(line) - len(line.lstrip(" -"))
    if typo in {other for _, other in KEYED} or len(typo) < 2 or typo in ("on", "no"):
        return
    text = "\n".join([*LINES[: number - 1], line[:indent] + typo + line[indent + len(key) :], *LINES[number:]])
    error = _refusal(text)
    assert error.line == number and error.key.endswith(typo)
    section = error.key.split(".")[:-1]
    siblings = keys_at(tuple(int(part) if part.isdecimal() else part for part in section))
    as_near = [other for other in siblings if _edits(typo, other) <= 1]  # "dis" may be ids or dim
    assert key in as_near
    assert error.message in [f"no such key; did you mean {other}?" for other in as_near]


def test_a_key_in_the_wrong_section_is_told_its_home():
    error = _refusal(GPT3 + "global_batch: 3\n")
    assert (
        str(error)
        == "f.yaml line 12, global_batch: no such key in a scenario; global_batch belongs at plan.global_batch"
    )
    assert homes("rows") == ("model.tables[].rows",)


def test_a_word_like_nothing_gets_the_list_of_valid_keys():
    error = _refusal(GPT3 + "zzzzzz: 3\n")
    assert "the nearest of the valid keys is" in error.message and "schema_version, name, model" in error.message


def test_a_typo_comes_before_the_missing_key_that_it_causes():
    assert _refusal(GPT3.replace("microbatch:", "microbach:")).message == "no such key; did you mean microbatch?"


def test_nearest_counts_two_swapped_letters_as_one_slip():
    assert nearest("nmae", ("name", "seed", "plan")) == "name"
    assert nearest("ba", ("ab", "xyz")) == "ab"
    assert nearest("xq", ("name", "seed")) is None

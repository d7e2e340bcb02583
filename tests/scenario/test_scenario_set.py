"""`--set`: one value replaced, typed as YAML, checked as if it stood in the file."""

import pytest
from scenario_texts import GPT3, HSTU


def test_set_replaces_one_value_and_leaves_the_rest(load):
    scenario = load(GPT3, "plan.pipeline=4", "plan.tensor=16", "name=other")
    assert (scenario.plan.pipeline, scenario.plan.tensor, scenario.name) == (4, 16, "other")
    assert scenario.plan.recompute == "selective"


def test_the_last_set_of_a_key_wins(load):
    assert load(GPT3, "seed=1", "seed=2").seed == 2


def test_set_makes_the_sections_on_its_way(load):
    assert load(GPT3, "plan.overlap.pipeline=false").plan.overlap.pipeline is False


def test_set_reaches_into_a_presets_trunk_and_tables(load):
    assert load(GPT3, "model.trunk.layers=48").model.trunk.num_layers == 48
    scenario = load(HSTU, "model.tables.1.rows=1e6")
    assert [table.rows for table in scenario.model.tables] == [50_000_000, 1_000_000]


def test_set_changes_the_preset_before_anything_inside_it(load):
    scenario = load(GPT3, "model.trunk.layers=16", "model.preset=llama3_8b")
    assert (scenario.model.trunk.block, scenario.model.trunk.num_layers) == ("llama", 16)


def test_set_takes_mappings_and_null(load):
    assert load(GPT3, "plan.data=null").plan.data == 1
    assert load(GPT3, "plan.overlap={pipeline: false}").plan.overlap.pipeline is False


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("plan.tensr=8", "plan.tensr: no such key; did you mean tensor?"),
        ("plan.tensor", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("plan..tensor=3", "write it as key=value"),
        ("plan.tensor.x=3", "plan.tensor is 8, which has no keys; set plan.tensor itself"),
        ("plan.tensor=[", "not valid YAML"),
        ("model.tables.0.rows=3", "model.tables is not there, so it has no item 0"),
        ("tensor=8", "tensor belongs at plan.tensor"),
        ("plan.tensor=eight", "'eight' does not fit; it must be a whole number"),
    ],
)
def test_a_bad_set_names_itself_and_the_way_out(refused, override, words):
    said = refused(GPT3, override)
    assert said.startswith(f"--set {override}") and words in said


def test_a_list_index_that_is_not_there_says_how_many_there_are(refused):
    assert "model.tables is a list of 2; use an index from 0 to 1" in refused(HSTU, "model.tables.2.rows=5")
    assert "use an index from 0 to 1" in refused(HSTU, "model.tables.item.rows=5")

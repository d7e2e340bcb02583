"""The CPU example that ships: measured, whole, without samples, and enough for a scenario of its kind."""

import json

import pytest
from journals import context, journal

from calibration import files
from calibration.build import build
from calibration.example import example
from simulator.costs.profile import load_profile, profile_from_record
from simulator.errors import ScenarioError
from simulator.registry import profile_path
from simulator.scenario.loader import scenario_from
from simulator.simulation import simulate

NAME = "cpu_epyc_2core"


def scenario(block: str):
    return scenario_from({
        "schema_version": 1, "name": "cpu",
        "model": {"trunk": {"block": block, "layers": 2, "hidden": 128, "heads": 4, "vocab": 1000, "seq": 64}},
        "dtype": "fp32", "cluster": {"preset": "cpu_host", "gpus_per_node": 2}, "profile": NAME,
        "plan": {"data": 2, "microbatch": 8, "global_batch": 32},
    })  # fmt: skip


def test_an_example_is_the_profile_without_its_samples():
    record = build(journal(), context())
    made = example(record, "other")
    assert made["name"] == "other" and "journal" not in made
    assert {key: value for key, value in made.items() if key not in ("name", "checksum")} == {
        key: value for key, value in record.items() if key not in ("name", "checksum", "journal")
    }
    assert profile_from_record(made).name == "other"


def test_a_calibration_cannot_go_on_with_an_example(tmp_path):
    path = tmp_path / "p.json"
    files.write(example(build(journal(), context()), "other"), path)
    with pytest.raises(ScenarioError, match="was not written by calibrate"):
        files.resume(path, {})


@pytest.mark.parametrize("block", ["sasrec", "llama"])
def test_a_scenario_of_its_kind_is_priced_by_measurements(block):
    found = simulate(scenario(block)).to_dict()["provenance"]
    assert found["measured"] + found["interpolated"] + found["extrapolated"] == pytest.approx(1.0)
    assert found["measured"] + found["interpolated"] >= 0.5


def test_it_says_where_it_comes_from_and_how_well_it_holds():
    profile, record = load_profile(profile_path(NAME)), json.loads(profile_path(NAME).read_text(encoding="utf-8"))
    assert record["machine"]["processor"] and record["machine"]["measured_until"] and "journal" not in record
    assert {source.kind for key, source in profile.sources.items() if key != "datasheet"} == {"measured"}
    assert all("calibrate" in source.command for source in profile.sources.values())
    assert record["fits"]["gemm.fp32"]["points"] > 20 and record["fits"]["machine"]["error"] < 0.05

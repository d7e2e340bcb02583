"""Same file, profile, version and seed: same digests, in any process, from any folder, in any order of keys."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from road_scenarios import BASES, GPT, LLAMA, answer, scenario

from simulator import simulate
from simulator.units import ns_to_seconds

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from simulator import load_scenario, simulate
for path in sys.argv[2:]:
    found = simulate(load_scenario(path), samples=3).to_dict()
    print(json.dumps([found[key] for key in ("run_id", "program_digest", "timeline_digest", "step_time_s")]))
"""


def reversed_keys(value):
    """The same mapping, keys in the opposite order, all the way down."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_fresh_processes_agree_whatever_the_hash_seed_folder_and_key_order(tmp_path):
    names = ("gpt", "llama", "hstu")
    for name in names:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(BASES[name], sort_keys=False))
        (tmp_path / f"{name}-again.yaml").write_text(yaml.safe_dump(reversed_keys(BASES[name]), sort_keys=False))
    paths = [str(tmp_path / f"{name}.yaml") for name in names]
    again = [f"{name}-again.yaml" for name in names]

    def run(hash_seed, folder, files):
        environment = {"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(ROOT), *files],
            capture_output=True, text=True, cwd=folder, env=environment, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("0", ROOT, paths)
    assert run("1", ROOT, paths) == first
    assert run("4242", tmp_path, again) == first
    here = [simulate(scenario(name), samples=3).to_dict() for name in names]
    keys = ("run_id", "program_digest", "timeline_digest", "step_time_s")
    assert [json.loads(line) for line in first.splitlines()] == [[found[key] for key in keys] for found in here]


def test_the_run_id_is_of_what_is_said_not_of_how(tmp_path):
    """A default written out, a preset's own keyword and a number written another way are the same scenario."""
    plain = answer("gpt").run_id
    assert answer("gpt", "plan.schedule=1f1b", "cluster.gpus_per_node=8", "plan.bucket_mib=25.0").run_id == plain
    assert answer("gpt", "dtype=bf16", "precision.reduce=fp32", "steps=1").run_id == plain


@pytest.mark.parametrize("change", ["seed=1", "name=other", "plan.microbatch=2", "cluster.nic_gbit_per_s=100"])
def test_the_run_id_tells_scenarios_apart(change):
    assert answer("gpt", change).run_id != answer("gpt").run_id


def test_a_file_and_the_same_data_are_the_same_run(tmp_path):
    from simulator import load_scenario

    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(GPT))
    assert simulate(load_scenario(path)).run_id == answer("gpt").run_id


def test_simulating_twice_in_one_process_is_the_same():
    first, second = simulate(scenario("llama")), simulate(scenario("llama"))
    assert first.timeline.to_text() == second.timeline.to_text()
    assert {**first.to_dict(), "wall_s": 0} == {**second.to_dict(), "wall_s": 0}


@cache
def sampled(samples, *sets):
    return simulate(scenario("hstu", *sets), samples=samples)


def test_64_samples_are_the_same_64_samples_again():
    first, second = sampled(64), simulate(scenario("hstu"), samples=64)
    assert first.samples_ns == second.samples_ns and len(set(first.samples_ns)) > 32
    assert {**first.to_dict(), "wall_s": 0} == {**second.to_dict(), "wall_s": 0}


def test_the_answer_is_the_lower_median_sample_and_percentiles_are_nearest_rank():
    result = sampled(64)
    ordered = sorted(result.samples_ns)
    assert result.timeline.step_ns == ordered[31]
    found = result.to_dict()
    assert found["step_time_s"] == ns_to_seconds(ordered[31])
    assert found["step_time_s_p5"] == ns_to_seconds(ordered[3])  # ceil(0.05 * 64) = 4th
    assert found["step_time_s_p95"] == ns_to_seconds(ordered[60])  # ceil(0.95 * 64) = 61st
    assert found["step_time_s_p5"] < found["step_time_s"] < found["step_time_s_p95"]
    assert abs(sum(found["breakdown_s"].values()) - found["step_time_s"]) < 1e-9


@pytest.mark.parametrize("samples, place", [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_of_an_even_number_the_lower_of_the_two_in_the_middle(samples, place):
    result = sampled(samples)
    assert result.timeline.step_ns == sorted(result.samples_ns)[place]
    assert result.percentile_s(5) <= result.step_time_s <= result.percentile_s(95)


def test_more_samples_keep_the_first_ones():
    assert sampled(8).samples_ns[:3] == sampled(3).samples_ns


def test_the_seed_changes_the_draws_and_nothing_else():
    assert sampled(8, "seed=1").samples_ns != sampled(8).samples_ns
    one, other = answer("hstu").to_dict(), answer("hstu", "seed=1").to_dict()
    differs = {key for key in one if one[key] != other[key]}
    assert differs <= {"run_id", "seed", "wall_s"} and {"run_id", "seed"} <= differs


def test_without_samples_there_is_no_interval():
    found = answer("llama").to_dict()
    assert found["step_time_s_p5"] == found["step_time_s"] == found["step_time_s_p95"]
    assert answer("llama").samples_ns == (answer("llama").timeline.step_ns,)


def test_samples_scatter_around_the_prediction():
    """Errors are log-normal around the profile's median, so the middle of many samples stays near it."""
    result = sampled(64)
    assert result.step_time_s == pytest.approx(answer("hstu").step_time_s, rel=0.15)


def test_loading_does_not_change_what_it_is_given():
    before = json.dumps(LLAMA)
    scenario("llama", "plan.microbatch=2")
    assert json.dumps(LLAMA) == before

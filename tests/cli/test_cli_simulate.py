"""`simulate` and `trace`: what goes where, in which order, with which exit code."""

import gzip
import json

import pytest
from scenario_texts import GPT3, TINY

from simulator.scenario.presets import PRESETS

BREAKDOWN = ("compute", "recompute", "tensor_comm", "context_comm", "pipeline_comm", "data_comm", "embedding_comm",
             "compression", "optimizer", "straggler_wait", "bubble", "other")  # fmt: skip


def test_json_is_one_object_a_line_in_the_order_given_and_a_bad_file_keeps_its_place(rehearse, write):
    good, bad = write(TINY, "good.yaml"), write(TINY.replace("data: 4", "dat: 4"), "bad.yaml")
    code, out, err = rehearse("simulate", good, bad, good, "nowhere.yaml", "--json")
    first, second, third, fourth = map(json.loads, out.splitlines())
    assert (code, err) == (2, "")
    assert (
        first["name"] == third["name"] == second["name"] == "tiny"
        and first["timeline_digest"] == third["timeline_digest"]
    )
    assert second["error"]["kind"] == "bad_input" and "did you mean data?" in second["error"]["message"]
    assert fourth["name"] == "nowhere.yaml" and "there is no such file" in fourth["error"]["message"]


def test_json_has_every_key_of_the_contract_and_sums_to_the_step(rehearse, write):
    code, out, _ = rehearse("simulate", write(GPT3), "--json")
    result = json.loads(out)
    assert code == 0
    assert {
        "name", "run_id", "program_digest", "timeline_digest", "engine", "seed", "feasible", "reason", "step_time_s",
        "step_time_s_p5", "step_time_s_p95", "samples_per_s", "tokens_per_s", "model_flops_per_gpu_per_s", "mfu",
        "hardware_flops_per_gpu_per_s", "hfu", "utilization", "breakdown_s", "memory_bytes",
        "cost_usd_per_million_samples", "ops", "ranks", "ranks_simulated", "wall_s", "provenance",
    } <= set(result)  # fmt: skip
    assert set(result["breakdown_s"]) == set(BREAKDOWN)
    assert sum(result["breakdown_s"].values()) == pytest.approx(result["step_time_s"], abs=1e-9)
    assert (result["ranks"], result["ranks_simulated"], len(result["run_id"])) == (64, 8, 16)


def test_set_changes_every_file_and_the_run_id(rehearse, write):
    path = write(TINY)
    _, plain, _ = rehearse("simulate", path, "--json")
    _, changed, _ = rehearse("simulate", path, "--json", "--set", "plan.global_batch=16", "--set", "name=other")
    plain, changed = json.loads(plain), json.loads(changed)
    assert changed["name"] == "other" and changed["step_time_s"] > plain["step_time_s"]
    assert changed["run_id"] != plain["run_id"]


def test_a_dash_is_standard_input(process):
    done = process("simulate", "-", "--json", input=TINY)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["name"] == "tiny"


def test_the_table_is_data_and_progress_is_not(rehearse, write):
    code, out, err = rehearse("simulate", write(TINY, "a.yaml"), write(TINY.replace("tiny", "small"), "b.yaml"))
    assert code == 0
    assert "tiny" in out and "small" in out and "simulate" not in out
    assert err.splitlines() == ["simulate 1/2: tiny", "simulate 2/2: small"]


def test_a_bad_file_does_not_cost_the_table_of_the_others(rehearse, write):
    code, out, err = rehearse("simulate", write("- x", "a.yaml"), write(TINY, "b.yaml"))
    assert code == 2 and "tiny" in out and "a.yaml" in err


def test_an_infeasible_scenario_is_an_answer(rehearse, write):
    code, out, _ = rehearse("simulate", write(GPT3), "--json", "--set", "plan.pipeline=1", "--set", "cluster.nodes=1")
    result = json.loads(out)
    assert code == 0 and result["feasible"] is False and result["reason"] and result["step_time_s"] > 0


def test_report_and_trace_are_files(rehearse, write, tmp_path):
    report, trace = tmp_path / "r.html", tmp_path / "t.json.gz"
    code, _, _ = rehearse("simulate", write(TINY), "--report", report, "--trace", trace)
    assert code == 0 and "<html" in report.read_text()[:500].lower()
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    again = tmp_path / "again.json"
    code, out, err = rehearse("trace", write(TINY), "--out", again)
    assert (code, out) == (0, "") and "open it in ui.perfetto.dev" in err
    assert json.loads(again.read_text())["traceEvents"]


@pytest.mark.parametrize("preset", PRESETS)
def test_init_then_simulate_runs_and_fits(rehearse, tmp_path, preset):
    path = tmp_path / "start.yaml"
    code, out, err = rehearse("init", preset, "--out", path)
    assert (code, out) == (0, "") and "run it with `rehearse simulate" in err
    code, out, _ = rehearse("simulate", path, "--json")
    result = json.loads(out)
    assert code == 0 and result["feasible"], result
    assert 0 < result["step_time_s"] < 1000


def test_init_refuses_to_overwrite_unless_forced(rehearse, tmp_path):
    path = tmp_path / "start.yaml"
    path.write_text("mine")
    code, _, err = rehearse("init", "bert4rec", "--out", path)
    assert code == 2 and "is already there; give another name, or --force to overwrite it" in err
    assert path.read_text() == "mine"
    assert rehearse("init", "bert4rec", "--out", path, "--force")[0] == 0
    assert path.read_text().startswith("# BERT4Rec")
    code, out, _ = rehearse("init", "bert4rec")
    assert code == 0 and out == path.read_text()

"""`rehearse compare` as it is typed: runs two real processes, or says why it cannot."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from simulator import compare, load_scenario
from simulator.errors import ScenarioError

ROOT = Path(__file__).parents[2]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="runs need torch")
SCENARIO = """
schema_version: 1
name: tiny
model:
  trunk: {block: sasrec, layers: 2, hidden: 16, heads: 2, seq: 8}
  tables: [{name: item, rows: 53, dim: 16}]
  head: {kind: full_softmax, table: item}
dtype: fp32
cluster: {preset: cpu_host, gpus_per_node: 2}
plan: {data: 2, microbatch: 2, global_batch: 8}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    return str(path)


def rehearse(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "simulator.cli.main", *words], cwd=cwd, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@needs_torch
def test_compare_prints_one_object_and_writes_report_and_trace(file, tmp_path):
    done = rehearse("compare", file, "--steps", "3", "--samples", "4", "--json", "--report", "r.html", "--trace",
                    "t.json.gz", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    numbers = json.loads(done.stdout)
    assert numbers["steps"] == 3 and numbers["samples"] == 4 and numbers["ranks"] == 2
    assert numbers["measured_s"] > 0 and numbers["predicted_s"] > 0
    assert len(numbers["losses"]) == 3 + numbers["warmup_steps"]
    assert {"forward", "backward", "optimizer", "gradient reduce"} <= {row["action"] for row in numbers["actions"]}
    assert "Error by kind of action" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "t.json.gz").stat().st_size > 0


@needs_torch
def test_a_plan_that_does_not_run_is_refused_before_anything_is_simulated(file, monkeypatch):
    monkeypatch.setattr("simulator.simulation.simulate", lambda *args, **keys: pytest.fail("was simulated"))
    with pytest.raises(ScenarioError, match="times without weights, so there is nothing to execute"):
        layer = "{forward_s: 0.001, backward_s: 0.002, parameters: 10, activation_bytes: 8}"
        compare(load_scenario(file, (f"model={{trunk: {{block: profiled, layers: [{layer}]}}}}",)))


def test_without_torch_compare_says_what_to_install(file, monkeypatch, capsys):
    import importlib.util

    from simulator.cli.main import run

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["compare", file]) == 2
    assert "compare needs torch, which is not installed" in capsys.readouterr().err


def test_compare_under_torchrun_is_refused(file, monkeypatch, capsys):
    pytest.importorskip("torch")
    from simulator.cli.main import run

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    assert run(["compare", file]) == 2
    assert "without torchrun" in capsys.readouterr().err

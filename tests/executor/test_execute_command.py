"""`rehearse execute`: what is printed, what is written, what is refused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_scenarios import MODELS

from simulator.errors import ScenarioError
from simulator.executor import execution
from simulator.executor.executable import check_executable
from simulator.executor.job import Job
from simulator.program.lowering import lower
from simulator.scenario.loader import load_scenario

ROOT = Path(__file__).parents[2]


def write(tmp_path: Path, model: str = "llama", ranks: int = 2, **changes) -> Path:
    file = tmp_path / "scenario.yaml"
    plan = {"microbatch": 1, "global_batch": 8} | changes.pop("plan", {"data": ranks})
    stated = {"schema_version": 1, "name": "small", "model": MODELS[model], "dtype": "fp32",
              "cluster": {"preset": "cpu_host", "gpus_per_node": ranks}, "plan": plan, **changes}  # fmt: skip
    file.write_text(yaml.safe_dump(stated))
    return file


def rehearse(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "simulator.cli.main", *words], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_json_and_trace(tmp_path):
    file, trace = write(tmp_path, dtype="bf16", plan={"tensor": 2, "data": 1}), tmp_path / "trace.json.gz"
    done = rehearse("execute", str(file), "--steps", "3", "--json", "--trace", str(trace))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    found = json.loads(line, parse_constant=lambda text: pytest.fail(f"{text} is no number"))
    assert found["source"] == "measured"
    assert found["program_digest"] == lower(load_scenario(str(file))).digest()
    assert len(found["step_times_s"]) == found["steps"] == 3
    assert sorted(found["step_times_s"])[1] == found["step_time_s"]
    assert found["step_time_s_p5"] <= found["step_time_s"] <= found["step_time_s_p95"]
    assert abs(sum(found["breakdown_s"].values()) - found["step_time_s"]) < 1e-9
    assert found["breakdown_s"]["tensor_comm"] > 0
    assert len(found["losses"]) == found["steps"] + found["warmup_steps"]
    assert found["losses"][-1] < found["losses"][0]
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert {event["pid"] for event in events} == {1, 2}
    assert [path.name for path in tmp_path.iterdir() if "trace" in path.name] == ["trace.json.gz"]


def test_torchrun(tmp_path):
    torchrun = shutil.which("torchrun", path=str(Path(sys.executable).parent))
    if torchrun is None:
        pytest.skip("torchrun is not beside this Python")
    file = write(tmp_path)
    done = subprocess.run(
        [torchrun, "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m",
         "simulator.cli.main", "execute", str(file), "--steps", "1", "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
        env=os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["ranks"] == 2


def test_under_torchrun_a_process_is_the_rank_that_is_placed_on_its_device(tmp_path, monkeypatch):
    from simulator.executor import launched

    found = []

    def meets(backend, timeout, rank, world_size):
        found.append((rank, world_size))
        raise InterruptedError

    monkeypatch.setattr(launched.dist, "init_process_group", meets)
    for device, rank in ((0, 1), (1, 0)):
        for key, value in (("RANK", device), ("LOCAL_RANK", device), ("WORLD_SIZE", 2)):
            monkeypatch.setenv(key, str(value))
        plan = "plan.balancer={kind: static, placement: [1, 0]}"
        scenario = load_scenario(str(write(tmp_path)), [plan, "plan.partition=balanced"])
        with pytest.raises(InterruptedError):
            launched.run_launched(Job(scenario, lower(scenario)))
        assert found.pop() == (rank, 2)


@pytest.mark.parametrize(("algorithm", "said"), [
    ("auto", []), ("ring", ["Gloo chooses its own algorithm; plan.aggregation.algorithm ring prices the run only"]),
])  # fmt: skip
def test_gloo_says_that_it_chooses_its_own_algorithm(tmp_path, monkeypatch, algorithm, said):
    monkeypatch.setattr(execution, "launch", lambda jobs, ranks, timeout_s: [[]])
    told: list[str] = []
    scenario = load_scenario(str(write(tmp_path)), [f"plan.aggregation.algorithm={algorithm}"])
    execution.execute(scenario, progress=told.append)
    assert told[1:] == said


def test_wrong_number_of_ranks_prints_the_line_that_fits(tmp_path):
    file = write(tmp_path, ranks=4, plan={"data": 2, "pipeline": 2})
    for ranks, fits in ((2, "plan.data=1"), (3, "plan.pipeline=1"), (6, "plan.data=3"), (8, "plan.data=4")):
        scenario = load_scenario(str(file))
        with pytest.raises(ScenarioError) as caught:
            check_executable(scenario, ranks, "gloo")
        sentence = str(caught.value)
        assert f"{ranks} ranks cannot run tensor 1 * data 2 * pipeline 2 = 4" in sentence
        sets = sentence.split("use ")[1].split(", or")[0].split("--set ")[1:]
        assert any(fits in line for line in sets)
        changed = load_scenario(str(file), [line.strip() for line in sets])
        check_executable(changed, ranks, "gloo")


def test_the_line_for_another_cluster_fits_too(tmp_path):
    file = write(tmp_path, ranks=8, cluster={"preset": "dgx_a100"})
    with pytest.raises(ScenarioError) as caught:
        check_executable(load_scenario(str(file)), 2, "gloo")
    sets = str(caught.value).split("use ")[1].split(", or")[0].split("--set ")[1:]
    lines = [line.strip().replace("'", "") for line in sets]
    check_executable(load_scenario(str(file), lines), 2, "gloo")


def test_a_model_that_fills_the_machine_is_refused(tmp_path):
    done = rehearse("execute", str(write(tmp_path, ranks=8, cluster={"preset": "dgx_a100"}, dtype="bf16",
                                         model="llama", plan={"data": 8})), "--set", "model.trunk.hidden=65536",
                    "--set", "model.trunk.head_dim=16384", "--set", "model.trunk.ffn=262144")  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "model: 8 processes need" in done.stderr and "this machine has" in done.stderr


def test_another_backend_is_refused(tmp_path):
    done = rehearse("execute", str(write(tmp_path)), "--backend", "mpi")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'mpi' is not a backend; use gloo or nccl" in done.stderr

"""Under torchrun the first process leads and the others measure what it asks for; none outlives the run."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

from simulator.costs.profile import load_profile

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]


def test_two_processes_of_torchrun_write_one_profile_of_groups_of_two(tmp_path):
    out = tmp_path / "p.json"
    command = [*TORCHRUN, "-m", "simulator.cli.main", "calibrate", "--device", "cpu", "--budget", "14",
               "--out", str(out)]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.count("checksum") == 1 and "Traceback" not in run.stderr
    profile = load_profile(out)
    groups = {ranks for (_, _, ranks), curve in profile.collectives.items() if curve.source.kind == "measured"}
    assert groups <= {2} and any(table.source.kind == "measured" for table in profile.kernels.values())


def test_more_processes_than_gpus_are_refused_with_the_number_that_fits(monkeypatch):
    from calibration import calibrate, machine
    from simulator.errors import ScenarioError

    monkeypatch.setattr(machine, "num_gpus", lambda: 2)
    for key, value in {"TORCHELASTIC_RUN_ID": "r", "RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ScenarioError, match="--nproc-per-node 2"):
        calibrate.follows("cuda")

"""The study as a user runs it: killed at any moment it leaves no process and no torn file, and goes on afterwards."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest
from interrupts import hears_ctrl_c

from simulator.errors import RehearseError
from simulator.executor.executable import check_executable
from simulator.program.lowering import lower
from studies.predict_then_run import stages
from studies.predict_then_run.plans import ALL_PLANS, PLANS, RANKS, scenario

ROOT = Path(__file__).parents[2]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="runs need torch")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are found in /proc")
MARK = "REHEARSE_TEST_OF_STUDY"


@pytest.mark.parametrize("name", ALL_PLANS)
def test_every_plan_can_be_run_on_two_ranks(name):
    made = scenario(name)
    assert made.layout.ranks == RANKS
    assert made.plan.global_batch == 64
    check_executable(made, None, "gloo")
    lower(made)


def test_plans_are_all_different_programs():
    assert len({lower(scenario(name)).digest() for name in ALL_PLANS}) == len(ALL_PLANS) == 20
    assert list(ALL_PLANS)[: len(PLANS)] == list(PLANS)


def test_the_intervals_are_counted_and_measured():
    from types import SimpleNamespace

    from studies.predict_then_run.study import interval_sentence

    def one(low: float, measured_s: float, high: float):
        bounds = {5: low, 95: high}
        return SimpleNamespace(measured_s=measured_s, result=SimpleNamespace(percentile_s=bounds.__getitem__))

    said = interval_sentence([one(0.9, 1.0, 1.1), one(1.8, 2.4, 2.2), one(0.5, 1.0, 1.5)])
    assert said.startswith("2 of 3 measured p50 steps") and "20.0 % of its step" in said


def test_names_become_parts_of_paths():
    names = [stages.file_name(name) for name in ALL_PLANS]
    assert len(set(names)) == len(names)
    assert names[2] == "data-2-top-k-1"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "answers.json"
    stages.write_whole(path, b"old")
    monkeypatch.setattr(stages.os, "fsync", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stages.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_fingerprint_holds(monkeypatch):
    pytest.importorskip("torch")
    one = stages.fingerprint("plan")
    assert one == stages.fingerprint("plan") != stages.fingerprint("other plan")
    monkeypatch.setattr(stages, "num_cores", lambda: 1024)
    assert one != stages.fingerprint("plan")


def test_without_real_data_the_generator_is_used_and_said(monkeypatch):
    def fails(say):
        raise RehearseError("there is no network")

    monkeypatch.setattr(stages.movielens, "fetch", fails)
    histories, source, where = stages.data(0, lambda line: None)
    assert histories.source == "zipf"
    assert source is stages.next_item.generated_batches
    assert where == "seeded Zipf histories, because there is no network"


class Study:
    """Starts the study with everything as short as it can be; its processes are known by their environment."""

    def __init__(self, folder: Path):
        self.folder, self.mark = folder / "out", uuid.uuid4().hex
        self.environment = os.environ | {
            MARK: self.mark, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"),
            "PIP_ARGS": "--no-index", "TMPDIR": str(folder),
        }  # fmt: skip

    def start(self, *plans: str, profile: Path | None = None) -> subprocess.Popen:
        only = [word for plan in plans for word in ("--only", plan)] + (["--profile", str(profile)] if profile else [])
        return subprocess.Popen(
            [sys.executable, "-m", "studies.predict_then_run.run", "--folder", str(self.folder), "--budget", "4",
             "--steps", "2", *only],
            cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=hears_ctrl_c,
        )  # fmt: skip

    def processes(self) -> list[str]:
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                if self.mark in Path(f"/proc/{process}/environ").read_text():
                    found.append(Path(f"/proc/{process}/cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def check_nothing_is_left(self) -> None:
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, left
        for path in self.folder.rglob("*"):
            if path.suffix in (".json", ".yaml") and path.is_file():
                json.loads(path.read_text())

    def kill(self, process: subprocess.Popen, after_s: float, how: signal.Signals) -> None:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said, said
        if how != signal.SIGKILL and process.returncode:
            assert "interrupted; what was measured is kept" in said
        self.check_nothing_is_left()

    def finish(self, *plans: str, profile: Path | None = None) -> tuple[str, str]:
        process = self.start(*plans, profile=profile)
        out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        self.check_nothing_is_left()
        return out, said


@needs_torch
@needs_proc
def test_a_killed_study_goes_on_and_a_second_one_reuses_all(tmp_path):
    study = Study(tmp_path)
    study.kill(study.start("data 2"), 3.0, signal.SIGKILL)
    study.kill(study.start("data 2"), 5.0, signal.SIGINT)
    out, said = study.finish("data 2")
    assert "data 2: running 2 steps" in said
    assert "NDCG@10 before" in out and "seeded Zipf histories, because pip could not bring" in out
    answers = json.loads((study.folder / "answers.json").read_text())
    assert answers["plans"][0]["name"] == "data 2"
    again, said = study.finish("data 2")
    assert again == out
    assert "calibrated on this machine before" in said and "using the run that is kept" in said


@pytest.mark.full
@needs_torch
@needs_proc
def test_a_study_killed_at_twenty_moments(tmp_path):
    study, moments = Study(tmp_path), random.Random(0)
    for _ in range(20):
        how = moments.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
        study.kill(study.start("data 2", "tensor 2"), moments.uniform(0.2, 25.0), how)
    study.finish("data 2", "tensor 2")


def test_plans_run_a_handful_at_a_time_all_of_them_in_their_order():
    from studies.predict_then_run.kept import AT_ONCE
    from studies.predict_then_run.kept import Study as Kept

    for count in (1, 8, 9, 20):
        plans = list(ALL_PLANS)[:count]
        handfuls = Kept(Path("folder"), plans, 1, None, None, None).handfuls
        assert [name for names in handfuls for name in names] == plans
        sizes = [len(names) for names in handfuls]
        assert max(sizes) <= AT_ONCE and max(sizes) - min(sizes) <= 1 and len(sizes) == -(-count // AT_ONCE)


def test_the_age_of_a_profile_is_counted_to_the_runs():
    from studies.predict_then_run.kept import Ran, age_sentence

    record = {"machine": {"measured_until": "2026-11-25T10:00:00+00:00"}, "sources": {}}
    ended_s = 1_795_600_800.0 + 2 * 3600  # 2026-11-25 10:00 UTC, and two hours
    assert "2.0 h before the runs" in age_sentence(record, [Ran(None, 0.0, ended_s)])
    assert "beside the runs" in age_sentence(record, [Ran(None, 0.0, ended_s - 3 * 3600)])
    old = {"machine": {}, "sources": {"together": {"date": "2026-11-22"}}}
    assert "of 2026-11-22" in age_sentence(old, [Ran(None, 0.0, ended_s)])


@needs_torch
@needs_proc
def test_a_profile_of_another_time_is_judged_by_runs_that_are_kept_or_made(tmp_path):
    study = Study(tmp_path)
    study.finish("data 2")
    old = tmp_path / "old.json"
    old.write_text((study.folder / "profile.json").read_text())
    out, said = study.finish("data 2", profile=old)
    assert "The profile was measured until" in out
    assert "using the run that is kept" in said and "calibrating" not in said
    assert "running 2 steps" not in said
    study.folder = tmp_path / "another"
    _, said = study.finish("data 2", profile=old)
    assert "running 2 steps" in said and "calibrating" not in said
    assert {path.name for path in (study.folder / "plans").iterdir()} == {"data-2.yaml", "data-2.trace.json.gz"}

"""Whatever dies, and whenever: one sentence, no orphan, nothing left behind."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import bad_sources
import pytest
from interrupts import hears_ctrl_c
from small_scenarios import MODELS, scenario

from simulator.executor.execution import execute
from simulator.executor.launcher import ExecutionFailed, _failure
from simulator.executor.worker import _meet

FULL = os.environ.get("REHEARSE_FULL") == "1"
KILLS = 20 if FULL else 2
LONGEST_S = 6.0
"""Kills fall into this time: processes start, import torch, connect, and train."""

ROOT = Path(__file__).parents[2]
ENDLESS = 10**9


def two_replicas():
    return scenario("sasrec", data=2)


def workers(text: str = "simulator.executor.worker") -> list[int]:
    """Processes that run a rank and were started by this test, directly or not."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if text in words and state != "Z" and MARK in _environment(folder):
                found.append(int(folder.name))
    return sorted(found)


def _environment(folder: Path) -> str:
    try:
        return (folder / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


MARK = f"REHEARSE_TEST={os.getpid()}"


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch, tmp_path):
    monkeypatch.setenv(*MARK.split("="))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    assert _gone(10), f"left behind: {workers()}"


def _gone(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not workers()


def test_the_first_failing_rank_tells_its_story():
    with pytest.raises(ExecutionFailed) as caught:
        execute(two_replicas(), source=bad_sources.fails_on_replica_1)
    sentence, path = str(caught.value).split("; see ")
    assert sentence == "rank 1 failed (ValueError: sample 7 has no items)"
    assert "fails_on_replica_1" in Path(path).read_text()
    assert workers() == []


def story(folder: Path, rank: int, when_ns: int, text: str, blames_peer: bool) -> None:
    told = {"rank": rank, "when_ns": when_ns, "kind": "RuntimeError", "text": text, "blames_peer": blames_peer,
            "traceback": f"Traceback of rank {rank}"}  # fmt: skip
    (folder / f"story.{rank}").write_bytes(pickle.dumps(told))


def test_the_first_cause_is_told(tmp_path):
    """A killed rank before any story, a cause before its effects on peers, then whoever was first."""
    story(tmp_path, 0, 10, "Connection closed by peer", True)
    assert str(_failure([1, -9], tmp_path)).startswith("rank 1 was killed by SIGKILL")
    assert str(_failure([-11, 1], tmp_path)) == "rank 0 was killed by SIGSEGV; all ranks were stopped"
    assert str(_failure([1, None], tmp_path)).startswith("rank 1 stands still: rank 0 waited for it in vain")
    story(tmp_path, 2, 30, "no items", False)
    story(tmp_path, 1, 20, "no memory", False)
    assert str(_failure([1, 1, 1], tmp_path)).startswith("rank 1 failed (RuntimeError: no memory); see ")


def test_a_rank_without_a_story_has_a_log(tmp_path):
    assert str(_failure([0, 3], tmp_path)) == f"rank 1 ended with code 3; see {tmp_path / 'rank1.log'}"


def test_the_traceback_is_that_ranks_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("REHEARSE_TRACEBACK", "1")
    story(tmp_path, 0, 10, "Connection closed by peer", True)
    story(tmp_path, 1, 20, "no items", False)
    assert str(_failure([1, 1], tmp_path)) == "rank 1 failed (RuntimeError: no items)\nTraceback of rank 1"


def test_a_rank_that_starts_late_is_waited_for_whatever_the_runs_timeout(tmp_path):
    """Importing torch on a busy machine takes longer than a collective may: the run's time counts once all are here."""
    met: list[str] = []
    first = threading.Thread(target=lambda: met.append(_meet(tmp_path / "store", 0, 2).get("rank 1").decode()))
    first.start()
    time.sleep(0.5)
    assert first.is_alive() and met == []
    assert _meet(tmp_path / "store", 1, 2).get("rank 0") == b"here"
    first.join(timeout=30)
    assert met == ["here"]


def test_a_rank_that_stands_still_is_named(monkeypatch):
    monkeypatch.setattr("simulator.executor.launcher.START_S", 60.0)
    with pytest.raises(ExecutionFailed, match="rank 1 stands still: rank 0 waited for it in vain"):
        execute(two_replicas(), source=bad_sources.stands_still_on_replica_1, timeout_s=2.0)


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_rank_ends_the_run(seed):
    moment = random.Random(seed).uniform(0.2, LONGEST_S)
    victim = random.Random(seed).randrange(2)

    def kill():
        deadline = time.monotonic() + 60
        while len(found := workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(found[victim], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        ExecutionFailed,
        match=r"^rank [01] was killed by SIGKILL; all ranks were stopped; if nobody did",
    ):
        execute(two_replicas(), steps=ENDLESS)
    killer.join()
    assert workers() == []


def command(tmp_path: Path) -> subprocess.Popen:
    import yaml

    file = tmp_path / "scenario.yaml"
    stated = {"schema_version": 1, "name": "endless", "model": MODELS["sasrec"], "dtype": "fp32",
              "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
              "plan": {"data": 2, "microbatch": 1, "global_batch": 8}}  # fmt: skip
    file.write_text(yaml.safe_dump(stated))
    words = ["execute", str(file), "--steps", str(ENDLESS), "--trace", str(tmp_path / "trace.json.gz")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "simulator.cli.main", *words], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears_ctrl_c,
    )  # fmt: skip


def _started(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while len(workers()) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(workers()) == 2


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_parent_leaves_no_orphan(tmp_path, seed):
    process = command(tmp_path)
    _started(process)
    time.sleep(random.Random(100 + seed).uniform(0.0, LONGEST_S))
    process.kill()
    process.communicate(timeout=30)
    assert _gone(10)
    assert not list(tmp_path.glob("*trace*")), "a trace appears whole or not at all"
    assert not list(tmp_path.glob("rehearse-execute-*")), "the ranks' folder goes with them"


def test_ctrl_c_is_clean(tmp_path):
    process = command(tmp_path)
    _started(process)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "rehearse: interrupted"
    assert "Traceback" not in err
    assert _gone(10)
    assert not list(tmp_path.glob("rehearse-execute-*"))

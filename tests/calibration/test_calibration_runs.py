"""Real measurements, real processes, small budgets: whether it works, never how fast this machine is."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from interrupts import hears_ctrl_c

pytest.importorskip("torch")

from calibration.calibrate import calibrate, calibrating
from calibration.journal import ALONE, TOGETHER
from calibration.measure.fleet import Fleet, MeasuringFailed, PointFailed
from calibration.pieces import jobs_of_scenario
from calibration.points import COLLECTIVE, KERNEL, OVERLAP, Point
from calibration.report import report_lines
from calibration.session import plan_visits
from simulator.costs.pricer import Pricer
from simulator.costs.profile import load_profile
from simulator.registry import topology
from simulator.scenario.loader import load_scenario
from simulator.simulation import simulate

BUDGET_S = 9.0
SCENARIO = """
schema_version: 1
name: small
model:
  trunk: {block: sasrec, layers: 2, hidden: 32, heads: 2, ffn: 32, vocab: 0, seq: 16, causal: true}
  tables: [{name: item, rows: 200, dim: 32, pooling: none, optimizer: adam, dtype: fp32}]
  head: {kind: full_softmax, table: item, tied: true}
dtype: fp32
cluster: {preset: cpu_host, gpus_per_node: 2}
profile: PROFILE
plan: {data: 2, microbatch: 4, global_batch: 16}
"""


def children(process: int) -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as file:
                if name.isdigit() and int(file.read().rpartition(")")[2].split()[1]) == process:
                    found.append(int(name))
        except (OSError, ValueError):
            continue
    return found


def is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    path = folder / "small.yaml"
    path.write_text(SCENARIO.replace("PROFILE", str(folder / "p.json")))
    return path


@pytest.fixture(scope="module")
def calibrated(scenario):
    out = scenario.parent / "p.json"
    record, path = calibrate("cpu", budget_s=BUDGET_S, out=str(out), missing=[str(scenario)])
    return record, path


def test_a_calibrated_profile_prices_the_scenario_it_was_made_for(calibrated, scenario):
    result = simulate(load_scenario(scenario)).to_dict()
    assert result["step_time_s"] > 0 and result["provenance"]["measured"] > 0


def test_every_measured_entry_has_whole_samples_and_its_own_price(calibrated):
    record, path = calibrated
    profile = load_profile(path)
    prices = Pricer(profile, topology("cpu_host", gpus_per_node=2))
    for piece in profile.pieces:
        assert (
            piece.count >= 1 and len(piece.quantiles_s) == 21 and list(piece.quantiles_s) == sorted(piece.quantiles_s)
        )
        if piece.source_key == TOGETHER:
            found = prices.piece(piece.kernels, piece.name)
            assert {price.source for price in found} == {"measured"}
            assert sum(price.duration_ns for price in found) * 1e-9 == pytest.approx(piece.median_s, rel=0.01)
    for table in profile.kernels.values():
        if table.source.kind == "measured":
            assert (table.count >= 1).all() and table.quantiles_s.shape[1] == 21
    assert record["machine"]["processor"] and record["sources"]["together"]["date"]


def test_nothing_is_left_running(calibrated):
    assert [child for child in children(os.getpid()) if is_alive(child)] == []


def test_the_report_names_what_was_measured_and_what_was_not(calibrated):
    text = "\n".join(report_lines(*calibrated))
    for word in ("held out", "sentinel drift", "checksum", "schema 1", calibrated[1]):
        assert word in text


def test_a_second_run_goes_on_where_the_first_stopped(calibrated, scenario):
    record, path = calibrated
    before = record["journal"]
    again, _ = calibrate("cpu", budget_s=6.0, out=path, missing=[str(scenario)])
    after = again["journal"]
    assert set(after["samples"]) >= set(before["samples"]) and set(after["pieces"]) >= set(before["pieces"])
    assert visits(after["pieces"]) + visits(after["samples"]) > visits(before["pieces"]) + visits(before["samples"])


def visits(part: dict) -> int:
    return sum(count for found in part.values() for count, _, _ in found.values())


def test_a_killed_calibration_leaves_a_whole_profile_and_no_process(tmp_path):
    out = tmp_path / "p.json"
    command = [sys.executable, "-m", "simulator.cli.main", "calibrate", "--budget", "19", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not out.exists() and time.monotonic() < end:
        time.sleep(0.05)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers and load_profile(out).kernels
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


def test_ctrl_c_writes_what_was_measured(tmp_path):
    out = tmp_path / "p.json"
    command = [sys.executable, "-m", "simulator.cli.main", "calibrate", "--budget", "19", "--out", str(out)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    )
    while "round 1" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "checksum" in said and "Traceback" not in errors
    assert load_profile(out).kernels


def test_a_dead_measuring_process_is_named_and_the_others_are_reaped():
    with Fleet(2) as fleet:
        os.kill(fleet.members[1].process.pid, signal.SIGKILL)
        with pytest.raises(MeasuringFailed, match="measuring process 1"):
            fleet.kernel(Point(KERNEL, "elementwise", "fp32", (1024, 8192)), 2, 1_000_000)
    assert [child for child in children(os.getpid()) if is_alive(child)] == []


def test_every_family_and_every_collective_can_be_measured():
    from calibration import grid

    smallest = {}
    for point in grid.kernel_points("fp32"):
        smallest.setdefault(point.op, point)
    collectives = [Point(COLLECTIVE, op, "fp32", (2, 4096)) for op in grid.COLLECTIVE_OPS]
    with Fleet(2) as fleet:
        for point in smallest.values():
            assert all(ns > 0 for ns, _ in fleet.kernel(point, 1, 100_000)[0]), point
        for point in collectives:
            spans = fleet.collective(point, 2)
            assert len(spans) == 2 and all(start < end for member in spans for start, end in member), point
        beside = fleet.overlap(Point(OVERLAP, "all_reduce", "fp32", (2, 2**22)), 2)
        assert any(slowdown > 0 for member in beside for _, _, slowdown in member)
        with pytest.raises(PointFailed, match="KeyError"):
            fleet.kernel(Point(KERNEL, "no such op", "fp32", (8, 8)), 1, 100_000)


def test_a_round_visits_kernels_and_pieces_together_and_alone(scenario):
    jobs = jobs_of_scenario(load_scenario(scenario, ["profile=null"]))
    points = [*jobs, Point(KERNEL, "copy", "fp32", (8, 64)), Point(COLLECTIVE, "send", "fp32", (2, 1024))]
    planned = plan_visits(points, 2)
    assert [visit.what for visit in planned] == points + points[:-1]  # a collective has no meaning alone
    assert [visit.condition for visit in planned] == [TOGETHER] * len(points) + [ALONE] * (len(points) - 1)
    assert json.loads(json.dumps(jobs[0].to_record()))["num_pieces"] == 2


def test_a_session_that_was_interrupted_at_once_has_nothing_to_write(tmp_path):
    with calibrating("cpu", budget_s=5.0, out=str(tmp_path / "p.json")) as session:
        assert not session.has_measured
        with pytest.raises(ValueError, match="no kernel"):
            session.flush()
        session._measure(next(visit for visit in session.visits if visit.what.what == KERNEL))
        assert session.has_measured and session.flush()["kernels"]

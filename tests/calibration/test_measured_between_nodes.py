"""A calibration of several nodes: who is in which group, what a repeat took, and what the profile makes of it."""

import json
import os
import socket
import subprocess
import sys

import pytest
from journals import context, journal

from calibration import grid
from calibration.build import build
from calibration.journal import TOGETHER
from calibration.measure.groups import lie_of, lies, members
from calibration.points import COLLECTIVE, Point
from calibration.report import report_lines
from calibration.session import _own_clocks_ns
from calibration.sizes import CPU
from simulator.costs.profile import load_profile, profile_from_record
from simulator.errors import ScenarioError


def test_groups_are_of_the_first_node_and_of_the_same_places_of_several():
    assert lies(4, 4) == [(2, 1), (3, 1), (4, 1)]
    assert lies(6, 2) == [(2, 1), (2, 2), (4, 2), (3, 3), (6, 3)]
    assert members((3, 3), 2) == [0, 2, 4] and members((4, 2), 2) == [0, 1, 2, 3] and members((2, 1), 2) == [0, 1]


def test_every_group_between_nodes_is_measured_with_every_collective():
    points = grid.between_points(16, 8, CPU)
    assert {lie_of(point.shape) for point in points} == {(2, 2), (16, 2)}
    sent = {point.op for point in points if lie_of(point.shape) == (2, 2)}
    assert sent == set(grid.COLLECTIVE_OPS)
    assert {point.op for point in points if lie_of(point.shape) == (16, 2)} == sent - {"send"}
    assert grid.between_points(8, 8, CPU) == []


def test_the_member_that_came_last_says_how_long_it_took_whatever_the_clocks():
    early, late = [1_000, 9_000], [900_000_500, 900_003_500]  # of two clocks
    assert _own_clocks_ns("all_reduce", (early, late)) == 3_000


def test_a_message_has_arrived_when_its_receiver_says_so():
    sender, receiver = [1_000, 1_200], [900_000_500, 900_003_500]
    assert _own_clocks_ns("send", (sender, receiver)) == 3_000


def test_what_was_measured_between_nodes_is_a_curve_of_its_own():
    made = journal()
    for size in (2**10, 2**16, 2**22):
        made.add(Point(COLLECTIVE, "all_reduce", "fp32", (2, size, 2)), TOGETHER, [[100 * size, 0]] * 3)
    record = build(made, context())
    curve = profile_from_record(record).collectives["all_reduce", "inter_node.2", 2]
    assert (curve.nodes, curve.tier) == (2, "inter_node") and curve.median_s[0] == pytest.approx(100 * 2**10 * 1e-9)
    assert profile_from_record(record).collectives["all_reduce", "intra_node", 2].nodes == 1
    assert record["fits"]["timed.collective.inter_node.all_reduce"]["points"] == 1
    assert any(line.startswith("all_reduce over 2 on 2 nodes") for line in report_lines(record, "p.json"))


def test_nodes_that_hold_unlike_numbers_of_processes_are_refused(monkeypatch):
    from calibration.measure import launched

    monkeypatch.setenv("WORLD_SIZE", "7")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ScenarioError, match="7 processes do not lie evenly on nodes of 4"):
        launched.whole_world()


def test_what_a_simulation_missed_between_nodes_is_measured_where_there_are_such(monkeypatch, tmp_path):
    from calibration import calibrate

    path = tmp_path / "m.json"
    rows = [{"op": "all_reduce", "ranks": 4, "nodes": 2, "bytes": 1024}, {"op": "gemm", "shape": [64, 64, 64]}]
    path.write_text(json.dumps(rows))
    found, _ = calibrate._points("cpu", 0, [str(path)], 90.0)
    assert [point.op for point in found] == ["gemm"]
    for key, value in {"TORCHELASTIC_RUN_ID": "r", "RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(key, value)
    found, _ = calibrate._points("cpu", 0, [str(path)], 90.0)
    assert [point.shape for point in found if point.op == "all_reduce"] == [(4, 1024, 2)]


def test_two_nodes_of_torchrun_write_one_profile_with_curves_between_them(tmp_path):
    pytest.importorskip("torch")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank",
             str(node), "--master-addr", "127.0.0.1", "--master-port", port, "-m", "simulator.cli.main", "calibrate",
             "--device", "cpu", "--budget", "8", "--out", str(tmp_path / f"{node}.json")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
        )
        for node in (0, 1)
    ]  # fmt: skip
    said = [run.communicate(timeout=240) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert "checksum" in said[0][0] and "checksum" not in said[1][0] and not (tmp_path / "1.json").exists()
    curves = [curve for curve in load_profile(tmp_path / "0.json").collectives.values() if curve.nodes == 2]
    assert curves and all(curve.group_size == 2 and curve.source.kind == "measured" for curve in curves)

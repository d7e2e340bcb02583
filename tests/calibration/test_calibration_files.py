"""Profiles on disk: whole at every moment, continued by the same machine only."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from journals import context, journal

from calibration import files
from calibration.build import build
from calibration.points import FORWARD, KERNEL, WEIGHT_GRADIENT, Point, merged
from calibration.scenarios import wanted_by
from simulator.costs.profile import load_profile, sealed
from simulator.errors import ScenarioError

WRITER = """
import sys
sys.path.insert(0, {here!r})
from journals import context, journal
from calibration import files
from calibration.build import build
record = build(journal(), context())
print("ready", flush=True)
while True:
    files.write(record, {path!r})
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_profile(tmp_path):
    path = tmp_path / "p.json"
    files.write(build(journal(), context()), path)
    code = WRITER.format(here=str(Path(__file__).parent), path=str(path))
    chance = random.Random(5)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(chance.uniform(0.01, 0.1))
            process.send_signal(signal.SIGKILL)
        assert load_profile(path).kernels


def test_writing_leaves_nothing_beside_the_profile(tmp_path):
    files.write(build(journal(), context()), tmp_path / "p.json")
    assert os.listdir(tmp_path) == ["p.json"]


def test_what_a_killed_writer_left_beside_is_cleared_away(tmp_path):
    (tmp_path / ".p.json.4711.tmp").write_text("half a prof")
    files.resume(tmp_path / "p.json", context().machine)
    assert os.listdir(tmp_path) == []


def test_the_same_machine_goes_on_with_its_samples(tmp_path):
    path, machine = tmp_path / "p.json", context().machine
    assert files.resume(path, machine).num_samples == 0
    files.write(build(journal(), context()), path)
    assert files.resume(path, machine).num_samples == journal().num_samples


@pytest.mark.parametrize("key, value", [("processor", "another"), ("torch", "2.11.0"), ("cores", 64)])
def test_another_machine_is_refused(tmp_path, key, value):
    files.write(build(journal(), context()), tmp_path / "p.json")
    with pytest.raises(ScenarioError, match=f"measured with {key}"):
        files.resume(tmp_path / "p.json", context().machine | {key: value})


def test_a_profile_that_calibrate_did_not_write_is_refused(tmp_path):
    record = {key: value for key, value in build(journal(), context()).items() if key not in ("journal", "checksum")}
    from simulator.costs.profile import sealed

    files.write(sealed(record), tmp_path / "p.json")
    with pytest.raises(ScenarioError, match="not written by calibrate"):
        files.resume(tmp_path / "p.json", context().machine)


@pytest.mark.parametrize("journal_is", [None, [], {"format": 2}, {"format": 2, "sentinel_ns": [], "failed": {},
                                                                    "samples": [], "pieces": {}}])  # fmt: skip
def test_samples_that_are_no_samples_are_refused(tmp_path, journal_is):
    path = tmp_path / "p.json"
    record = {key: value for key, value in build(journal(), context()).items() if key != "checksum"}
    files.write(sealed(record | {"journal": journal_is}), path)
    with pytest.raises(ScenarioError, match="give another --out or remove the file"):
        files.resume(path, record["machine"])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 9}', "\x00\x01"])
def test_what_is_no_profile_is_not_written_over(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match="or give another --out, or remove the file"):
        files.resume(path, {})
    assert path.read_text() == text


def test_two_calibrations_at_once_do_not_write_one_profile(tmp_path):
    with files.held(tmp_path / "p.json"):
        with files.held(tmp_path / "other.json"):
            pass
        with pytest.raises(ScenarioError, match="another calibration is writing"), files.held(tmp_path / "p.json"):
            pass
    with files.held(tmp_path / "p.json"):
        pass


def test_samples_of_another_version_are_refused(tmp_path):
    from simulator.costs.profile import sealed

    record = {key: value for key, value in build(journal(), context()).items() if key != "checksum"}
    record["journal"] = {key: value for key, value in record["journal"].items() if key != "format"}
    files.write(sealed(record), tmp_path / "p.json")
    with pytest.raises(ScenarioError, match="another version's"):
        files.resume(tmp_path / "p.json", context().machine)


def test_a_point_is_known_by_its_key():
    point = Point(KERNEL, "gemm", "fp32", (64, 128, 256), (FORWARD, WEIGHT_GRADIENT))
    assert Point.of_key(point.key) == point
    assert Point.from_record(json.loads(point.to_json())) == point


def test_products_of_one_shape_are_measured_in_all_their_layouts():
    found = merged([Point(KERNEL, "gemm", "fp32", (8, 8, 8), (one,)) for one in (WEIGHT_GRADIENT, FORWARD, FORWARD)])
    assert [point.layouts for point in found] == [(FORWARD, WEIGHT_GRADIENT)]


def test_missing_kernels_are_read_and_bad_lists_refused(tmp_path):
    path = tmp_path / "kernels.json"
    path.write_text('[{"op": "gemm", "shape": [8, 16, 32], "dtype": "fp32"}]')
    assert [point.shape for point in wanted_by(str(path))] == [(8, 16, 32)]
    for text in ("[{", '[{"op": "gemm"}]', '{"op": 1}'):
        path.write_text(text)
        with pytest.raises(ScenarioError, match=r"kernels\.json is not a JSON list of kernels"):
            wanted_by(str(path))


def test_a_disk_that_is_full_is_said_with_the_profiles_name(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "p.json"
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*p\.json"):
        files.write({"name": "new"}, path)
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["p.json"]


def test_the_table_at_the_end_says_what_stays_extrapolated():
    from calibration.report import report_lines

    lines = report_lines(build(journal(), context()), "p.json")
    place = next(number for number, line in enumerate(lines) if line.startswith("measured between"))
    assert "extrapolated" in lines[place]
    ranges = {" ".join(line.split()[:2]): line for line in lines[place + 1 :]}
    assert "m 64..1024, n 64..256, k 64..256" in ranges["gemm fp32"]
    assert any(line.startswith("all_reduce over 4") and "bytes 1KiB..16MiB" in line for line in lines[place:])

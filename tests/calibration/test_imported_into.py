"""What an import goes into where nobody says it: the device that the file names, else this machine."""

import json
from pathlib import Path

import pytest

from calibration import machine
from calibration.imports.command import import_file
from simulator.costs.profile import load_profile
from simulator.errors import ScenarioError

CSV = "op,dtype,shape,ranks,bytes,time_us\ngemm,fp32,64x64x64,,,12\nall_reduce,,,2,1024,50\n"
LOG = """#  Rank  0 Group  0 Pid  1 on  node1 device  0 [0x01] {device}
#  Rank  1 Group  0 Pid  2 on  node1 device  1 [0x02] {device}
#       size         count      type   redop    root     time   algbw   busbw #wrong
     1048576        262144     float     sum      -1    50.0    20.0    20.0      0
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(kind, name, text, **how):
        (tmp_path / name).write_text(text)
        return import_file(kind, name, **({"onto": None, "out": "p.json", "command": ""} | how))

    return run


def test_a_file_that_names_no_device_goes_into_what_is_known_of_this_machine(imported, monkeypatch):
    monkeypatch.setattr(machine, "num_gpus", lambda: 0)
    said = imported("csv", "t.csv", CSV)
    assert any("what is known of cpu_rank" in line for line in said)
    assert load_profile("p.json").kernels["gemm@imported", "fp32"].median_s == pytest.approx([12e-6])
    said = imported("csv", "t.csv", CSV.replace("12", "13"))  # and into the same file again
    assert not any("what is known of" in line for line in said)
    assert load_profile("p.json").kernels["gemm@imported", "fp32"].median_s == pytest.approx([13e-6])


@pytest.mark.parametrize(
    ("device", "known"),
    [("NVIDIA H100 80GB HBM3", "h100_sxm5_80gb"), ("NVIDIA A100-SXM4-40GB", "a100_sxm4_40gb"),
     ("NVIDIA B200", "b200_sxm_180gb")],
)  # fmt: skip
def test_a_file_that_names_its_device_goes_into_its_profile_or_its_datasheet(imported, device, known):
    imported("nccl-tests", "all_reduce.log", LOG.format(device=device))
    record = json.loads(Path("p.json").read_text())
    assert record["device"]["name"] == known
    rows = [row for row in record["collectives"] if row["source"].startswith("imported ")]
    assert [(row["group_size"], row["median_ns"]) for row in rows] == [(2, [50_000.0])]


def test_a_device_that_nobody_knows_is_asked_for(imported, tmp_path):
    with pytest.raises(ScenarioError, match="'NVIDIA Q9000', which is not known; say what it goes into: --onto"):
        imported("nccl-tests", "all_reduce.log", LOG.format(device="NVIDIA Q9000"))
    assert not (tmp_path / "p.json").exists()

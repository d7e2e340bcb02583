"""What nobody has checked on a GPU says so, in the profile and in the table that ends a calibration."""

from dataclasses import replace

from journals import context, journal

from calibration import machine
from calibration.build import build
from calibration.report import report_lines


def test_a_gpu_is_described_as_unconfirmed_and_a_cpu_is_not():
    assert machine.describe("cuda", {}, 8)["unconfirmed"] == machine.UNCONFIRMED
    alone = machine.describe("cuda", {}, 1)["unconfirmed"]
    assert machine.UNCONFIRMED in alone and machine.ONE_GPU in alone  # no collective was measured
    assert "unconfirmed" not in machine.describe("cpu", {}, 1)


def test_the_last_lines_of_a_calibration_say_it():
    plain = context()
    told = replace(plain, machine=plain.machine | {"unconfirmed": machine.UNCONFIRMED})
    for made, said in ((plain, False), (told, True)):
        record = build(journal(), made)
        assert any(machine.UNCONFIRMED in line for line in report_lines(record, "p.json")) == said
        assert ("unconfirmed" in record["machine"]) == said

"""Profiles that a file was imported into: what they price by it, what as before, and what they say of it."""

import json

import pytest
from journals import context, journal

from calibration import files
from calibration.build import build
from calibration.imports.command import import_file
from calibration.imports.merging import carried
from simulator.costs.pricer import Pricer
from simulator.costs.profile import load_profile
from simulator.errors import ScenarioError
from simulator.model.work import Kernel
from simulator.registry import topology

HEADER = "op,dtype,shape,ranks,bytes,time_us"
GEMM = Kernel("gemm", (4096, 4096, 1024), "bf16")
BETWEEN, BEYOND = Kernel("gemm", (4096, 4096, 2048), "bf16"), Kernel("gemm", (8192, 4096, 8192), "bf16")
ROWS = ["gemm,bf16,4096x4096x1024,,,500", "gemm,bf16,4096x4096x4096,,,2000"]


@pytest.fixture
def imported(tmp_path):
    def run(*rows: str, onto: str | None = "a100_sxm4_80gb", name: str = "t.csv") -> tuple[Pricer, dict]:
        (tmp_path / name).write_text("\n".join((HEADER, *rows)))
        out = tmp_path / "p.json"
        import_file("csv", str(tmp_path / name), onto=onto, out=str(out), command="rehearse calibrate --import csv")
        cluster = topology("dgx_a100")
        return Pricer(load_profile(out), cluster), json.loads(out.read_text())

    return run


def test_an_imported_shape_costs_what_it_took_and_others_as_before(imported, pricers_before):
    prices, _ = imported(*ROWS)
    price = prices.kernel(GEMM)
    assert (price.duration_ns, price.source, price.op_class) == (500_000, "measured", "imported.gemm.bf16")
    for kernel in (BETWEEN, BEYOND):  # the published table has thousands of products, the file has two
        assert prices.kernel(kernel) == pricers_before.kernel(kernel)


@pytest.fixture
def pricers_before():
    from simulator.registry import profile_path

    return Pricer(load_profile(profile_path("a100_sxm4_80gb")), topology("dgx_a100"))


def test_where_nobody_timed_the_op_shapes_between_imported_ones_are_read_from_them(imported):
    prices, _ = imported(*ROWS, onto="dgx_a100")
    assert prices.kernel(BETWEEN).source == "interpolated"
    assert prices.kernel(BETWEEN).duration_ns == pytest.approx(1_000_000, rel=0.05)
    assert prices.kernel(BEYOND).source == "datasheet"


def test_an_imported_curve_takes_the_place_of_that_group_alone(imported, pricers_before):
    prices, _ = imported("all_reduce,,,4,1048576,77", "all_reduce,,,4,16777216,300")
    cluster = topology("dgx_a100")
    four, eight = cluster.span(range(4)), cluster.span(range(8))
    price = prices.collective("all_reduce", 1048576, four)
    assert (price.duration_ns, price.source) == (77_000, "measured")
    assert prices.collective("all_reduce", 1048576, eight).duration_ns == pricers_before.collective(
        "all_reduce", 1048576, eight
    ).duration_ns  # fmt: skip
    assert prices.collective("all_reduce", 1048576, eight).source != "measured"


def test_an_imported_curve_drives_out_assumed_ones(imported):
    """So that a larger group is the formula's, led on from what was timed."""
    _, record = imported("all_reduce,,,4,1048576,77", onto="dgx_a100")
    assert [row["group_size"] for row in record["collectives"] if row["op"] == "all_reduce"] == [4]


def test_the_file_and_its_checksum_are_in_the_profile(imported, tmp_path):
    import hashlib

    _, record = imported(*ROWS)
    sha = hashlib.sha256((tmp_path / "t.csv").read_bytes()).hexdigest()
    (source,) = [row for key, row in record["sources"].items() if key.startswith("imported ")]
    assert source["citation"] == f"imported: t.csv (csv, sha256 {sha})"
    assert source["kind"] == "measured" and source["command"] and source["date"]


def test_a_second_file_adds_and_takes_over_what_both_hold(imported):
    imported(*ROWS)
    prices, record = imported(ROWS[0].replace("500", "600"), onto=None, name="u.csv")
    (table,) = [row for row in record["kernels"] if row["op"] == "gemm@imported"]
    assert sorted(table["median_ns"]) == [600_000, 2_000_000]
    cited = record["sources"][table["source"]]["citation"]
    assert "t.csv" in cited and "u.csv" in cited
    assert prices.kernel(GEMM).duration_ns == 600_000


def test_held_out_errors_of_what_was_imported_reach_its_prices(imported):
    rows = [f"gemm,bf16,{m}x4096x1024,,,{us}" for m, us in ((1024, 100), (2048, 300), (4096, 350), (8192, 900))]
    prices, record = imported(*rows)
    error = record["fits"]["imported.gemm.bf16"]["error"]
    assert error > 0.05  # the times jump about, so none is foretold by the others
    assert prices.kernel(Kernel("gemm", (2048, 4096, 1024), "bf16")).fit_error == error


def test_measuring_on_keeps_what_was_imported(tmp_path):
    path = tmp_path / "p.json"
    files.write(build(journal(), context()), path)
    (tmp_path / "t.csv").write_text(f"{HEADER}\ngemm,fp32,64x64x48,,,9\nall_reduce,,,2,2048,50\n")
    import_file("csv", str(tmp_path / "t.csv"), onto=None, out=str(path), command="")
    before = json.loads(path.read_text())
    again = carried(build(journal(), context()), before)
    assert {row["op"] for row in again["kernels"]} == {row["op"] for row in before["kernels"]}
    (curve,) = [row for row in again["collectives"] if row["op"] == "all_reduce" and row["group_size"] == 2]
    assert curve["median_ns"] == [50_000]
    assert again["fits"] == before["fits"]
    untouched = build(journal(), context())
    assert carried(untouched, untouched) is untouched


def test_a_file_of_another_device_is_warned_about():
    from calibration.imports.command import _other_device

    assert _other_device("", "a100_sxm4_80gb") == []
    assert _other_device("NVIDIA A100-SXM4-80GB", "a100_sxm4_80gb") == []
    assert _other_device("NVIDIA Q9000", "a100_sxm4_80gb") == []
    (line,) = _other_device("NVIDIA H100 80GB HBM3", "a100_sxm4_80gb")
    assert "into one of h100_sxm5_80gb" in line


def test_a_group_that_its_switch_added_up_for_is_taken_to_do_so_still(imported):
    _, record = imported("all_reduce,,,8,1048576,77", "all_gather,,,8,1048576,50", onto="h100_sxm5_80gb")
    rows = {row["op"]: row for row in record["collectives"] if row["source"].startswith("imported ")}
    assert {op: row["algorithm"] for op, row in rows.items()} == {"all_reduce": "in_switch", "all_gather": "ring"}


def test_it_is_said_what_a_file_goes_into(tmp_path, imported):
    imported(*ROWS)
    with pytest.raises(ScenarioError, match="is there already"):
        imported(*ROWS)
    with pytest.raises(ScenarioError, match="use one of nccl-tests, kineto, csv"):
        import_file("xml", "t.xml", onto="a100_sxm4_80gb", out=None, command="")
    with pytest.raises(ScenarioError, match=r"cannot read .*nowhere\.csv"):
        import_file("csv", "nowhere.csv", onto="a100_sxm4_80gb", out=str(tmp_path / "n.json"), command="")
    assert not (tmp_path / "n.json").exists()


def test_a_session_that_goes_on_keeps_what_was_imported(tmp_path):
    from calibration.session import Session

    path = tmp_path / "p.json"
    files.write(build(journal(), context()), path)
    (tmp_path / "t.csv").write_text(f"{HEADER}\ngemm,fp32,64x64x48,,,9\n")
    import_file("csv", str(tmp_path / "t.csv"), onto=None, out=str(path), command="")
    how = {"ranks": 2, "out": str(path), "say": lambda *said: None}
    session = Session(None, journal(), context(), [], before=files.carried_on(path), **how)
    assert "gemm@imported" in {row["op"] for row in session.flush()["kernels"]}
    assert load_profile(path).kernels["gemm@imported", "fp32"].median_s == pytest.approx([9e-6])

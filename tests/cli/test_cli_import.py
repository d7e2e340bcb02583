"""`calibrate --import` on the command line: a file in, a profile out that `simulate` prices from."""

import json

from scenario_texts import GPT3

ROWS = "op,dtype,shape,ranks,bytes,time_us\nall_reduce,,,8,1048576,41.0\ngemm,bf16,2048x2048x2048,,,500\n"


def test_a_file_becomes_a_profile_that_scenarios_use(rehearse, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table, scenario = write(ROWS, "t.csv"), write(GPT3)
    code, out, err = rehearse("calibrate", "--import", "csv", table, "--onto", "a100_sxm4_80gb", "--out", "p.json")
    assert (code, err) == (0, "")
    assert "t.csv (csv), sha256" in out and "p.json" in out
    code, printed, _ = rehearse("simulate", scenario, "--set", "profile=p.json", "--json")
    assert code == 0 and json.loads(printed)["feasible"]


def test_a_wrong_row_leaves_the_profile_as_it_was(rehearse, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rehearse("calibrate", "--import", "csv", write(ROWS, "t.csv"), "--onto", "a100_sxm4_80gb", "--out", "p.json")
    before = (tmp_path / "p.json").read_bytes()
    code, out, err = rehearse(
        "calibrate", "--import", "csv", write(ROWS + "gemm,bf16,1,,,1\n", "u.csv"), "--out", "p.json"
    )
    assert (code, out) == (2, "")
    assert "u.csv, line 4: '1' is not the shape of gemm" in err
    assert (tmp_path / "p.json").read_bytes() == before

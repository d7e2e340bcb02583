"""`data.lengths`: where lengths come from, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scenario_texts import HSTU

from simulator import files, simulate
from simulator.datasets import movielens
from simulator.datasets.histories import Histories


def test_a_file_is_found_from_where_the_scenario_is(load, tmp_path):
    (tmp_path / "lengths.txt").write_text("3\n\n5\n9000\n")
    scenario = load(HSTU, "data.lengths={kind: file, path: lengths.txt}")
    assert scenario.observed_lengths == (3, 5, 9000)
    assert set(scenario.lengths()) == {3, 5, scenario.model.trunk.seq}
    assert scenario.data.lengths.layout == "packed"


@pytest.mark.parametrize("text, why", [
    ("3\n0\n", "line 2: '0' is not a length; write one whole number of at least 1 a line"),
    ("3 4\n", "line 1: '3 4' is not a length"),
    ("\n", "holds no length; write one whole number of at least 1 a line"),
])  # fmt: skip
def test_a_file_that_holds_something_else_is_refused(refused, tmp_path, text, why):
    (tmp_path / "lengths.txt").write_text(text)
    assert why in refused(HSTU, "data.lengths={kind: file, path: lengths.txt}")


def test_a_file_that_is_not_there_is_refused(refused):
    said = refused(HSTU, "data.lengths={kind: file, path: nowhere.txt}")
    assert "data.lengths.path: " in said and "cannot be read (no such file or directory); give a text file" in said


def test_the_data_set_is_fetched_and_its_histories_are_the_lengths(load, monkeypatch):
    histories = Histories("ml-100k", 5, tuple(np.arange(n) for n in (20, 30, 40)))
    monkeypatch.setattr(movielens, "fetch", lambda: None)
    monkeypatch.setattr(movielens, "load", lambda: histories)
    scenario = load(HSTU, "data.lengths={kind: dataset, name: ml-100k}")
    assert scenario.observed_lengths == (20, 30, 40) and set(scenario.lengths()) == {20, 30, 40}


def test_without_a_network_the_way_out_is_said(refused, monkeypatch):
    def fails():
        raise movielens.NoData("pip could not bring recbole==1.2.1 (no network)")

    monkeypatch.setattr(movielens, "fetch", fails)
    said = refused(HSTU, "data.lengths={kind: dataset, name: ml-100k}")
    assert "no network); fetch it where there is a network, or use data.lengths={kind: zipf" in said


@pytest.mark.parametrize("sets, why", [
    (("data.lengths={kind: dataset, name: ml-1b}",), "'ml-1b' is not a data set that is known; use ml-100k, or a file"),
    (("data.lengths={kind: zipf, alpha: 1, max: 9}",), "alpha"),
    (("data.lengths={kind: zipf, alpha: 1.2, max: 9, layout: jagged}",), "layout"),
    (("data.lengths={kind: zipf, alpha: 1.2, max: 99999999}", "model.trunk.seq=99999999"), "16,777,216"),
    (("data.lengths={kind: zipf, alpha: 1.2, max: 9}", "plan.microbatch=1", "plan.global_batch=2000000"),
     "more than the 1,000,000 of one simulation"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(refused, sets, why):
    assert why in refused(HSTU, *sets)


def test_equal_files_with_other_lengths_are_other_runs(load, tmp_path):
    from simulator.simulation import run_id

    ids = set()
    for text in ("3\n", "4\n"):
        (tmp_path / "lengths.txt").write_text(text)
        ids.add(run_id(load(HSTU, "data.lengths={kind: file, path: lengths.txt}"), "profile"))
    assert len(ids) == 2


@pytest.mark.parametrize("sets", [
    ("plan.context=2",), ("plan.context=2", "plan.context_kind=all_to_all"),
    ("plan.tensor=2", "plan.sequence_parallel=true"),
])  # fmt: skip
def test_samples_that_differ_are_filled_up_where_equal_ones_must_divide(load, refused, sets):
    """TransformerEngine fills packed samples up to chunks; Megatron-LM asserts that its one length divides."""
    assert "the nearest seq that work are 4" in refused(HSTU, *sets)
    for layout in ("packed", "padded"):
        scenario = load(HSTU, f"data.lengths={{kind: zipf, alpha: 1.2, max: 4099, layout: {layout}}}", *sets)
        assert simulate(scenario).timeline.step_ns > 0


def test_a_device_without_an_end_is_a_file_that_is_too_large(refused, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**16)
    assert "is larger than" in refused(HSTU, "data.lengths={kind: file, path: /dev/zero}")

"""Profiles: what is refused, and with which words."""

import json

import pytest

from simulator.costs.kernels import KernelCosts
from simulator.costs.profile import SOURCE_KINDS, checksum, load_profile, profile_from_record, sealed
from simulator.errors import ProfileError
from simulator.model.work import Kernel
from simulator.registry import profile_path, topology

NAMES = ("a100_sxm4_80gb", "h100_sxm5_80gb")


@pytest.fixture
def record():
    return json.loads(profile_path("a100_sxm4_80gb").read_text(encoding="utf-8"))


def test_digest_is_the_sha256_of_the_content(record):
    profile = profile_from_record(record)
    assert profile.digest() == checksum(record) and len(profile.digest()) == 64


def test_an_edited_profile_is_refused(record):
    record["constants"]["fabric_efficiency"]["value"] = 0.99
    with pytest.raises(ProfileError, match="changed after it was written"):
        profile_from_record(record)


def test_another_schema_version_is_refused(record):
    with pytest.raises(ProfileError, match="schema version 2"):
        profile_from_record({**record, "schema_version": 2})


def test_a_file_that_is_no_profile_is_refused():
    with pytest.raises(ProfileError, match="no schema_version"):
        profile_from_record({"name": "x"})


def test_a_cut_off_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "half.json"
    path.write_text(profile_path("a100_sxm4_80gb").read_text(encoding="utf-8")[:50_000], encoding="utf-8")
    with pytest.raises(ProfileError, match="damaged at line"):
        load_profile(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="cannot read"):
        load_profile(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda record: record["kernels"][0]["median_ns"].pop(), "damaged"),
        (lambda record: record["kernels"][0]["median_ns"].__setitem__(0, -1), "not positive"),
        (lambda record: record["collectives"][0]["size_bytes"].reverse(), "do not rise"),
        (lambda record: record["sources"]["gemm"].__setitem__("kind", "guessed"), "guessed"),
        (lambda record: record.pop("constants"), "constants"),
        (lambda record: record["kernels"][0].__setitem__("source", "nowhere"), "nowhere"),
    ],
)
def test_a_damaged_entry_is_refused_even_with_a_fitting_checksum(record, damage, message):
    damage(record)
    with pytest.raises(ProfileError, match=message):
        profile_from_record(sealed(record))


def test_samples_spread_and_count_have_room(record):
    """A calibrated profile stores what published tables lack."""
    table = record["kernels"][0]
    points = len(table["median_ns"])
    table |= {"spread_ns": [1] * points, "count": [30] * points, "quantiles_ns": [[1, 2, 3]] * points}
    profile = profile_from_record(sealed(record))
    loaded = profile.kernels["gemm", "bf16"]
    assert loaded.spread_s.shape == loaded.count.shape == (points,) and loaded.quantiles_s.shape == (points, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_comes_from(name):
    profile = load_profile(profile_path(name))
    assert all(group.kind in SOURCE_KINDS and group.citation for group in profile.sources.values())
    for key, constant in profile.constants.items():
        assert constant.unit and constant.citation and constant.kind in (*SOURCE_KINDS, "fitted"), key
        assert constant.fitted_on or constant.kind != "fitted", key
        assert constant.kind in ("fitted", "transferred") or not constant.fitted_on, key
    assert all(fit.error > 0 and fit.outside_error > 0 for fit in profile.fits.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_small_and_loads_fast(name):
    import time

    path = profile_path(name)
    assert path.stat().st_size < 400_000
    best = min(_seconds(time.process_time, path) for _ in range(3))
    assert best < 0.06


def _seconds(clock, path):
    start = clock()
    load_profile(path)
    return clock() - start


def test_a_table_with_other_axes_is_no_table_of_this_kind():
    """A calibration cut short has measured some kernels in its own axes, and none in those of the published tables."""
    record = json.loads(profile_path("a100_sxm4_80gb").read_text())
    table = next(table for table in record["kernels"] if table["op"] == "attention_forward")
    table["columns"]["seq_q"] = table["columns"].pop("seq")
    record.pop("checksum")
    costs = KernelCosts(profile_from_record(sealed(record)), topology("dgx_a100").node_type.device)
    with pytest.raises(ProfileError, match="no table of attention_forward in bf16; calibrate again"):
        costs.price(Kernel("attention_forward", (4, 8, 8, 512, 512, 64, 1), "bf16", 10**9, 10**6))

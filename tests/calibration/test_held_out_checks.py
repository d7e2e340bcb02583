"""Held-out checks: measured like any point, priced like any kernel, printed, and the source of no price."""

from __future__ import annotations

import pytest
from journals import collective_seconds, context, journal, kernel, true_seconds

from calibration import checks, grid
from calibration.build import build
from calibration.journal import TOGETHER
from calibration.points import CHECK, Point
from calibration.report import report_lines
from simulator.costs.profile import profile_from_record

LOOKUP = Point(CHECK, "zipf_lookup", "fp32", (8192, 64))
UNEVEN = Point(CHECK, checks.UNEVEN, "fp32", (2, 2**22))
BURST = Point(CHECK, checks.BURST, "fp32", (2, 2**22))
LOOKUPS = [kernel("embedding_lookup_zipf", ids * 64, ids * (8 + 2 * 64 * 4)) for ids in (256, 2048, 16384, 65536)]


def with_checks(**ns: float):
    made = journal(LOOKUPS)
    for size in (2**20, 2**22, 2**24):
        seconds = collective_seconds("all_to_all", 2, size)
        made.add(Point("collective", "all_to_all", "fp32", (2, size)), TOGETHER, [[round(seconds * 1e9), 0]] * 3)
    for point in (LOOKUP, UNEVEN, BURST):
        if point.op in ns:
            made.add(point, TOGETHER, [[round(ns[point.op]), 0]] * 3)
    return made


def test_a_check_is_judged_by_the_prices_and_changes_none():
    true_ns = 1e9 * true_seconds("embedding_lookup_zipf", (8192 * 64, 8192 * (8 + 2 * 64 * 4)))
    plain, checked = (build(with_checks(**ns), context()) for ns in ({}, {"zipf_lookup": true_ns / 1.25}))
    (found,) = checked["checks"]
    assert found["error_pct"] == pytest.approx(25.0, abs=3.0)
    for section in ("kernels", "collectives", "pieces", "constants", "fits", "device"):
        assert plain[section] == checked[section]
    assert profile_from_record(checked).kernels.keys() == profile_from_record(plain).kernels.keys()


def test_an_uneven_exchange_is_priced_as_its_busiest_member():
    busiest_ns = 1e9 * collective_seconds("all_to_all", 2, round(1.5 * 2**22))
    (found,) = build(with_checks(all_to_all_uneven=busiest_ns), context())["checks"]
    assert found["error_pct"] == pytest.approx(0.0, abs=2.0)


def test_a_burst_is_priced_as_its_messages_one_after_another():
    each_ns = 1e9 * collective_seconds("all_reduce", 2, 2**22)
    (found,) = build(with_checks(all_reduce_burst=2 * each_ns), context())["checks"]  # it took half of that
    assert found["error_pct"] == pytest.approx(100.0, abs=4.0)


def test_checks_are_printed_with_their_error():
    text = "\n".join(report_lines(build(with_checks(zipf_lookup=1e6), context()), "p.json"))
    assert "zipf_lookup" in text and checks.WORDS["zipf_lookup"] in text


def test_a_family_that_was_not_reached_is_not_judged():
    made = journal()  # no table of lookups but the datasheet's
    made.add(LOOKUP, TOGETHER, [[1000, 0]])
    assert build(made, context())["checks"] == []


def test_every_check_has_words_and_what_it_is_priced_as():
    found = checks.points("fp32", (2,))
    assert {point.op for point in found} == checks.WORDS.keys() == checks.KERNELS.keys() | checks.MESSAGES.keys()
    known = {point.op for point in grid.kernel_points("fp32")}
    for point in found:
        if point.op not in checks.MESSAGES:
            assert {one.op for one in checks.KERNELS[point.op](point)} <= known
    assert [point.key for point in found] == [Point.of_key(point.key).key for point in found]


def test_lengths_of_a_jagged_check_are_spread_evenly():
    lengths = checks.jagged_lengths(16, 200)
    assert lengths == sorted(lengths) and (len(lengths), lengths[-1]) == (16, 200)
    assert sum(length**2 for length in lengths) / 16 == pytest.approx(200**2 / 3, rel=0.15)


def test_every_check_can_be_measured():
    pytest.importorskip("torch")
    from calibration.measure.fleet import Fleet

    with Fleet(2) as fleet:
        for point in checks.points("fp32", (2,)):
            if point.op in checks.MESSAGES:
                assert all(start < end for member in fleet.collective(point, 1) for start, end in member)
            else:
                assert all(ns > 0 for ns, _ in fleet.kernel(point, 1, 100_000)[0]), point


def test_products_that_warm_a_sustained_one_are_not_part_of_its_time():
    pytest.importorskip("torch")
    from calibration.measure.checks import SUSTAINED_S
    from calibration.measure.fleet import Fleet

    with Fleet(1) as fleet:
        (samples,) = fleet.kernel(Point(CHECK, checks.SUSTAINED, "fp32", (64, 64, 64)), 1, 1_000_000)
    assert max(ns for ns, _ in samples) < SUSTAINED_S * 1e9 / 2

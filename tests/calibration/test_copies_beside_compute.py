"""Copies beside compute: how much each slows the other is measured by size, kept in the profile and priced."""

import pytest
from journals import context, journal

from calibration import side_by_side
from calibration.build import build
from calibration.journal import ALONE, COMPUTE, TOGETHER
from calibration.points import OVERLAP, Point
from calibration.report import report_lines
from calibration.sizes import CPU, CUDA
from simulator.costs.pricer import Pricer
from simulator.costs.profile import profile_from_record
from simulator.units import FULL_RATE

SMALL, LARGE = 2**16, 2**24


def record(op="copy"):
    made = journal()
    for size, (compute, own) in {SMALL: (1.2, 1.5), LARGE: (1.9, 2.5)}.items():
        point = Point(OVERLAP, op, "fp32", (2, size))
        made.add(point, TOGETHER, [[round(own * size), 0]] * 3)
        made.add(point, ALONE, [[size, 0]] * 3)
        made.add(point, COMPUTE, [[round(compute * side_by_side.PER_MILLION), 0]] * 3)
    return build(made, context())


def test_rates_beside_a_copy_are_what_was_measured_at_its_size():
    prices = Pricer(profile_from_record(record()), context().cluster)
    assert prices.rates("copy", SMALL) == pytest.approx((FULL_RATE / 1.2, FULL_RATE / 1.5), rel=1e-3)
    assert prices.rates("copy", LARGE) == pytest.approx((FULL_RATE / 1.9, FULL_RATE / 2.5), rel=1e-3)
    assert prices.rates("data_comm", LARGE) == (FULL_RATE, FULL_RATE)  # no message was measured beside compute


def test_the_table_of_copies_is_printed_by_its_name():
    text = "\n".join(report_lines(record(), "p.json"))
    assert "side by side (copy)" in text and "x1.90      x2.50" in text


def test_every_device_has_copies_of_several_sizes_on_all_ranks_that_compute():
    for device, sizes, ops in (("cpu", CPU, {"copy"}), ("cuda", CUDA, {"copy_in", "copy_out"})):
        found = side_by_side.points(device, (), 1, "fp32", sizes)  # one rank: nobody to send to
        assert {point.op for point in found} == ops
        assert {point.shape for point in found} == {(1, size) for size in sizes.copied_bytes}


def test_a_copy_really_takes_its_time_beside_kernels():
    pytest.importorskip("torch")
    from calibration.measure import copies, kernels

    point = Point(OVERLAP, "copy", "fp32", (1, 2**22))
    compute = kernels.make_call(point.beside(), "cpu")
    begin = copies.make_rows(point, "cpu")
    rows = copies.take_copies(begin, compute, lambda: None, 3)
    assert len(rows) == 3
    for beside_ns, alone_ns, slowdown in rows:
        assert beside_ns > 0 and slowdown > 0
        assert 2**22 / alone_ns < 1000.0  # no memory copies a terabyte a second
    assert begin(20).taken_ns() > begin(1).taken_ns()


def test_a_kernel_beside_a_copy_is_awaited_without_the_copy(monkeypatch):
    torch = pytest.importorskip("torch")
    from types import SimpleNamespace

    from calibration.measure import clock, overlap

    waited = []
    monkeypatch.setattr(torch.cuda, "Event", lambda **how: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append("device"))
    stream = SimpleNamespace(synchronize=lambda: waited.append("stream"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    overlap.finished(lambda: waited.append("kernel"), clock.make_clock("cuda").finish)()
    assert waited == ["kernel", "stream"]

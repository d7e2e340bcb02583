"""How much a message and the kernels beside it slow each other is a table over message sizes."""

import pytest
from journals import collective_seconds, context, journal

from calibration.build import build
from calibration.journal import COMPUTE, TOGETHER
from calibration.points import OVERLAP, Point
from calibration.report import report_lines
from calibration.side_by_side import PER_MILLION
from simulator.costs.pricer import Pricer
from simulator.costs.profile import profile_from_record, sealed
from simulator.units import FULL_RATE

SMALL, LARGE = 2**16, 2**24
SLOWDOWNS = {SMALL: (1.1, 1.5), LARGE: (2.0, 1.2)}
"""Message -> how much slower (kernels, the message itself)."""


@pytest.fixture(scope="module")
def record():
    made = journal()
    for size, (compute, own) in SLOWDOWNS.items():
        point = Point(OVERLAP, "all_reduce", "fp32", (2, size))
        alone = 1e9 * collective_seconds("all_reduce", 2, size)
        made.add(point, TOGETHER, [[round(own * alone), 0]] * 3)
        made.add(point, COMPUTE, [[round(compute * PER_MILLION), 0]] * 3)
    return build(made, context())


@pytest.fixture(scope="module")
def pricer(record):
    return Pricer(profile_from_record(record), context().cluster)


@pytest.mark.parametrize("size", SLOWDOWNS)
def test_at_a_measured_size_rates_are_what_was_measured(pricer, size):
    compute, own = SLOWDOWNS[size]
    assert pricer.rates("data_comm", size) == pytest.approx((FULL_RATE / compute, FULL_RATE / own), rel=0.02)


def test_between_sizes_rates_lie_between_and_beyond_them_stay(pricer):
    small, middle, large = (pricer.rates("data_comm", size) for size in (SMALL, 2**20, LARGE))
    assert small[0] > middle[0] > large[0] and small[1] < middle[1] < large[1]
    assert pricer.rates("data_comm", 64) == small and pricer.rates("data_comm", 2**34) == large


def test_without_a_size_rates_are_the_lowest_of_any(pricer):
    rates = [pricer.rates("data_comm", size) for size in SLOWDOWNS]
    assert pricer.rates("data_comm") == tuple(map(min, zip(*rates, strict=True)))


def test_a_profile_of_one_number_has_it_at_every_size(record):
    plain = {kind: {key: row[key] for key in ("compute", "own", "source")} for kind, row in record["overlap"].items()}
    prices = Pricer(profile_from_record(sealed(record | {"overlap": plain})), context().cluster)
    assert prices.rates("data_comm", SMALL) == prices.rates("data_comm", LARGE) == prices.rates("data_comm")


def test_the_table_is_printed(record):
    text = "\n".join(report_lines(record, "p.json"))
    assert "side by side" in text and "x2.00" in text

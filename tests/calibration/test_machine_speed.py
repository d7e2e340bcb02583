"""A machine's own speed strays from one minute to the next: all of its prices share that in a sample."""

import numpy as np
import pytest
from journals import POINTS, context, journal

from calibration.build import build
from calibration.report import report_lines
from simulator.costs.pricer import Pricer
from simulator.costs.profile import MACHINE, profile_from_record, sealed
from simulator.model.work import Kernel

GEMM = Kernel("gemm", next(point.shape for point in POINTS if point.op == "gemm"), "fp32")
SENTINEL = [1000, 1050, 950, 1000, 1100, 900, 1000]


def record(sentinel):
    made = journal()
    made.sentinel = sentinel
    return build(made, context())


def factors(found, samples=200):
    """Of one kernel and one message in each sample, over their prices without one."""
    exact = {name: {**fit, "error": 0.0, "outside_error": 0.0} for name, fit in found["fits"].items()}
    exact[MACHINE] = found["fits"][MACHINE]
    prices = Pricer(profile_from_record(sealed({**found, "fits": exact})), context().cluster)
    span = context().cluster.span((0, 1))

    def both(own):
        return np.array([own.kernel(GEMM).duration_ns, own.collective("all_reduce", 2**20, span).duration_ns])

    return np.array([both(prices.sampled(0, sample)) for sample in range(samples)]) / both(prices)


def test_everything_that_was_timed_on_the_machine_is_faster_or_slower_together():
    found = factors(record(SENTINEL))
    assert found[:, 0] == pytest.approx(found[:, 1], rel=1e-3)
    strayed = 1.4826 * np.log(1.05)  # the middle one of seven distances from the median
    assert np.std(np.log(found[:, 0])) == pytest.approx(strayed, rel=0.15)


def test_a_visit_in_which_something_else_ran_widens_no_interval():
    assert record([*SENTINEL, 2500])["fits"][MACHINE]["error"] < 1.1 * record(SENTINEL)["fits"][MACHINE]["error"]


def test_a_machine_that_keeps_its_speed_adds_nothing():
    assert (factors(record([1000] * 5), samples=5) == 1.0).all()


def test_one_visit_says_nothing_of_it():
    assert MACHINE not in record([1000])["fits"]


def test_it_is_said_at_the_end():
    text = "\n".join(report_lines(record(SENTINEL), "p.json"))
    assert "its speed strayed by 7.2% from visit to visit" in text

"""Launches, copies and sustained products of a CUDA device become the constants that price its host and its clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from journals import context, journal, kernel

from calibration import checks, facts
from calibration.build import build
from calibration.journal import TOGETHER
from calibration.points import CHECK, FACT, GRAPH_KERNELS, Point
from calibration.report import report_lines
from simulator.costs.pricer import Pricer
from simulator.costs.profile import profile_from_record
from simulator.model.work import Kernel
from simulator.registry import topology

SHAPE = (512, 512, 512)
LINK = 25e9


@pytest.fixture(scope="module")
def gpu():
    """A GPU that launches in 5 us, starts in 2, copies pinned memory at 20 GB/s, and slows by a quarter under load."""
    cluster = topology("single_gpu", device="a100_sxm4_80gb")
    made = journal([*(kernel("gemm", m, 512, 512) for m in (128, 512, 2048)),
                    *(kernel("elementwise", 4**k, 8 * 4**k) for k in range(5, 12))])  # fmt: skip
    alone = next(ns for point, ns in medians(made).items() if point.shape == SHAPE)
    taken = {
        Point(FACT, "launch_eager", "fp32", (1,)): 5000,
        Point(FACT, "launch_graph", "fp32", (1,)): 2000 * GRAPH_KERNELS,
        Point(CHECK, checks.SUSTAINED, "fp32", SHAPE): 1.25 * alone,
    } | {point: point.shape[0] / (20 if "pinned" in point.op else 6) for point in facts.points() if "copy" in point.op}
    for point, ns in taken.items():
        made.add(point, TOGETHER, [[round(ns), 0]] * 3)
    own = replace(context(1), cluster=cluster, host_dispatches=False)
    return build(made, own), cluster


def medians(made) -> dict:
    return {point: sorted(sampled.visits[0])[2] for point, sampled in made.points(TOGETHER).items()}


def test_each_fact_is_a_constant_with_its_source(gpu):
    record, cluster = gpu
    link = cluster.node_type.device.host_link_bytes_per_s
    values = {name: record["constants"][name]["value"] for name in
              ("launch_s", "kernel_startup_s", "host_link_efficiency", "sustained_slowdown")}  # fmt: skip
    assert values == pytest.approx(
        {"launch_s": 5e-6, "kernel_startup_s": 2e-6, "host_link_efficiency": 20e9 / link, "sustained_slowdown": 1.25},
        rel=0.01,
    )
    assert all(record["constants"][name]["kind"] == "measured" for name in values)


def test_products_in_a_step_are_slower_by_the_clock_and_passes_over_memory_are_not(gpu):
    record, cluster = gpu
    profile = profile_from_record(record)
    loaded, alone = (Pricer(profile, cluster, under_load=load) for load in (True, False))
    product, passes = Kernel("gemm", SHAPE, "fp32"), Kernel("elementwise", (4096,), "fp32", bytes_moved=8 * 4096)
    assert loaded.kernel(product).duration_ns == pytest.approx(1.25 * alone.kernel(product).duration_ns, rel=1e-3)
    assert loaded.kernel(passes) == alone.kernel(passes)


def test_rows_in_host_memory_come_at_the_rate_of_a_pinned_copy(gpu):
    record, cluster = gpu
    moved = 2**28
    price = Pricer(profile_from_record(record), cluster).kernel(Kernel("embedding_lookup_host", (moved // 4,), "fp32",
                                                                       bytes_moved=moved))  # fmt: skip
    assert price.duration_ns == pytest.approx(moved / 20, rel=0.01)


def test_a_cpu_has_no_such_facts_and_the_report_says_why():
    record = build(journal(), context())
    assert "sustained_slowdown" not in record["constants"] and record["constants"]["launch_s"]["value"] == 0.0
    assert facts.NOT_ON_A_CPU in "\n".join(report_lines(record, "p.json"))

"""Slow links in a real run: collectives last as long as their bytes would need, and nothing else changes."""

from __future__ import annotations

from functools import cache

import pytest
from small_scenarios import scenario

from simulator import execute
from simulator.errors import NotSupportedYet
from simulator.executor.emulated import least_s, seconds_a_byte
from simulator.executor.executable import check_executable
from simulator.executor.job import own_program

SLOW = "faults={links: [{link: node0/switch, factor: 1000}]}"
RATE = 1600e6 / 1000
"""bytes/s of a thousandth of the loopback."""


@cache
def run(method: str, *sets: str):
    built = scenario("llama", data=2, microbatch=2, bucket_mib=0.004, sets=(*sets, f"plan.compression.method={method}"))
    return execute(built, steps=3, warmup=1)


@pytest.mark.parametrize("method, op", [("none", "all_reduce"), ("topk", "all_gather")])
def test_each_message_takes_its_bytes_over_the_rate_at_least(method, op):
    slow = run(method, SLOW)
    for record in slow.records:
        own = own_program(slow.program, record.rank)
        for spans in record.spans:
            for launch, span in zip(own.launches, spans, strict=True):
                if launch.action.verb == "reduce" and launch.stream == "data":
                    whole = launch.action.size_bytes * (2 if op == "all_gather" else 1)
                    assert (span.end_ns - span.start_ns) / 1e9 >= 0.999 * least_s(op, whole, 2, 1 / RATE)


def test_slowness_costs_time_and_no_mathematics():
    """Only least times are held to: what else runs on the machine can make every step longer."""
    slow, fast = run("none", SLOW), run("none")
    assert slow.losses == fast.losses
    sent = sum(bucket.numel * 4 for bucket in slow.program.ranks[0].buckets)
    assert min(slow.samples_ns) / 1e9 >= 0.999 * sent / RATE  # a ring of two sends all of it, one bucket after another


def test_what_is_emulated_is_labelled():
    assert run("none").to_dict()["emulated"] is None
    assert run("none", SLOW).to_dict()["emulated"].startswith("slow links (node0/switch 1000 times slower)")


def test_volumes_are_a_rings():
    assert least_s("all_reduce", 8_000_000, 4, 1e-6) == pytest.approx(12.0)
    assert least_s("all_gather", 8_000_000, 4, 1e-6) == pytest.approx(6.0)
    assert seconds_a_byte(scenario("llama", data=2, sets=(SLOW,)), (0, 1)) == pytest.approx(1 / RATE)
    assert seconds_a_byte(scenario("llama", data=2), (0, 1)) == 0.0


def test_messages_that_are_not_emulated_are_refused():
    with pytest.raises(NotSupportedYet, match="slow links are emulated for collectives over gloo"):
        check_executable(scenario("llama", pipeline=2, sets=(SLOW,)), None, "gloo")

"""Passes of a pipeline whose host waits for the device: what that costs each of them, hidden by nothing."""

from __future__ import annotations

import pytest
from road_scenarios import scenario

from simulator import simulate
from simulator.model import host
from simulator.road import Road

LAUNCH_NS = 30_000
PLAIN = ("plan.overlap.pipeline=false",)


def built(stack, *sets):
    return scenario("gpt", "plan.pipeline=2", f"software.stack={stack}", "software.attention=unfused", *sets)


def run(stack, *sets):
    return simulate(built(stack, *sets))


def waited_ns(result) -> list[int]:
    """Of each launch that something waits for, on the last rank."""
    frame = result.timeline.to_frame()
    own = frame[(frame["rank"] == frame["rank"].max()) & (frame["op"] == "awaited launch")]
    return (own["end_ns"] - own["start_ns"]).tolist()


def forwards(result) -> int:
    """Forward passes of the last rank in a step."""
    own = result.program.ranks[-1]
    return sum(launch.action.verb == "F" and not launch.action.segment for launch in own.launches)


def test_every_forward_pass_waits_for_its_microbatch():
    result = run("megatron_2023")
    assert waited_ns(result) == [15 * LAUNCH_NS] * forwards(result)
    assert run("current").breakdown["other"] == 0


def test_a_pass_in_chunks_waits_for_each():
    chunks = ("plan.schedule=interleaved_1f1b", "plan.virtual_stages=2")
    once, twice = run("megatron_2023"), run("megatron_2023", *chunks)
    assert forwards(twice) == 2 * forwards(once) and len(waited_ns(twice)) == 2 * len(waited_ns(once))


def test_a_transfer_that_is_waited_for_stops_the_host_too():
    """But not between the last stage's two passes of a microbatch, where nothing is sent."""
    result = run("current", *PLAIN)
    assert waited_ns(result) == [host.PASS_LAUNCHES * LAUNCH_NS] * forwards(result)
    middle = result.timeline.to_frame().query("rank == 0 and op == 'awaited launch'")
    assert len(middle) == 2 * forwards(result)
    assert run("megatron_2022", *PLAIN).breakdown["other"] == 0


@pytest.mark.parametrize("stack", ["megatron_2023", "current"])
def test_folded_and_contracted_steps_wait_alike(stack):
    road = Road(built(stack, *PLAIN))
    steps = [road.timeline(road.expanded(road.prices, **keys)) for keys in ({}, {"whole": True}, {"contracted": False})]
    assert len({timeline.step_ns for timeline in steps}) == 1

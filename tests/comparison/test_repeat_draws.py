"""Samples of a profile that knows how repeats scatter: every op of every real rank has its own draw, as in a run."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from journals import context, journal
from replays import scenario as published

from calibration import files
from calibration.build import build
from simulator import scenario_from, simulate
from simulator.costs.price import Price
from simulator.costs.sampling import repeat_factors
from simulator.graph.assemble import Tiling
from simulator.graph.surroundings import NO_DEMAND
from simulator.graph.templates import in_turn, lay_out
from simulator.model.work import Collective, Kernel
from simulator.units import FULL_RATE


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "p.json"
    files.write(build(journal(), context()), path)
    return str(path)


def scenario(profile, seed=0, **plan):
    return scenario_from(
        {
            "schema_version": 1,
            "name": "s",
            "seed": seed,
            "model": {"trunk": {"block": "llama", "layers": 4, "hidden": 64, "heads": 4, "vocab": 256, "seq": 32}},
            "dtype": "fp32",
            "cluster": {"preset": "cpu_host", "gpus_per_node": 4},
            "profile": profile,
            "plan": {"microbatch": 1, "global_batch": 8, **plan},
        }
    )


def test_nothing_is_folded_or_contracted_where_repeats_scatter(profile):
    made = scenario(profile, data=2, pipeline=2)
    at_medians, sampled = simulate(made), simulate(made, samples=3)
    assert at_medians.timeline.multiplicity == (2, 2)
    assert sampled.timeline.multiplicity == (1, 1, 1, 1)
    assert len(sampled.graph) > 2 * len(at_medians.graph)
    assert sampled.timeline.program_digest == at_medians.timeline.program_digest


def test_published_profiles_stay_folded():
    sampled = simulate(published(data=2), samples=3)
    assert sampled.timeline.multiplicity == (2,)


def test_replicas_take_different_times_and_wait_for_each_other(profile):
    timeline = simulate(scenario(profile, data=4), samples=3).timeline
    forward = [
        timeline.end_ns[(timeline.rank_index == rank) & (timeline.action == 0)].max() for rank in range(4)
    ]  # fmt: skip
    assert len(set(forward)) == 4
    reduces = np.flatnonzero([stream.name == "data" for stream in timeline.streams])
    ends = [timeline.end_ns[timeline.stream == stream].max() for stream in reduces]
    assert len(set(ends)) == 1


def test_more_replicas_wait_longer(profile):
    """The slowest of four is slower than the slowest of two: what folding would hide."""
    steps = []
    for data in (1, 2, 4):
        made = scenario_from(
            {**scenario(profile, data=1, pipeline=4).stated.model_dump(mode="json"),
             "cluster": {"preset": "cpu_host", "gpus_per_node": data},
             "plan": {"data": data, "microbatch": 1, "global_batch": 2 * data}}
        )  # fmt: skip
        timeline = simulate(made, samples=32)
        computing = timeline.utilization.compute * timeline.step_time_s
        steps.append((timeline.step_time_s, computing))
    idle = [step - computing for step, computing in steps]
    assert idle[1] < idle[2]


def test_samples_are_the_seeds(profile):
    one, same = (simulate(scenario(profile, data=4), samples=4).samples_ns for _ in range(2))
    other = simulate(scenario(profile, seed=1, data=4), samples=4).samples_ns
    assert one == same
    assert set(one).isdisjoint(other)


def test_watch_sees_every_sample(profile):
    seen = []
    result = simulate(scenario(profile, data=4), samples=4, watch=lambda timeline: seen.append(timeline.step_ns))
    assert tuple(seen) == result.samples_ns


def test_ops_that_share_a_draw_share_their_factor():
    error = np.array([0.3, 0.3, 0.3, 0.0])
    own = repeat_factors(0, 0, error)
    shared = repeat_factors(0, 0, error, np.array([0, 0, 2, 3]))
    assert shared.tolist() == [own[0], own[0], own[2], 1.0]
    assert len(set(own.tolist())) == 4


class Prices:
    """Everything takes 100 ns and scatters; kernels come from one piece."""

    launch_ns = 0

    def piece(self, kernels, name):
        return tuple(Price(100, "measured", "piece.a", 0.0, 0.2) for _ in kernels)

    def collective(self, op, size_bytes, span, algorithm="auto"):
        return Price(100, "measured", op, 0.0, 0.5)

    def rates(self, kind, size_bytes=None):
        return FULL_RATE, FULL_RATE


class Around:
    """A group of two ranks whose links nobody shares."""

    def span(self, group):
        return self

    size = 2

    def collective(self, group, price):
        return NO_DEMAND


def test_kernels_of_a_piece_and_members_of_a_meeting_share_a_draw():
    steps = (
        Kernel("gemm", (1, 1, 1), "fp32"),
        Collective("all_reduce", "tensor", 8),
        Kernel("gemm", (1, 1, 1), "fp32"),
    )
    first = lay_out(steps, Prices(), Around())
    second = lay_out(steps, Prices(), Around())
    whole = in_turn([first, second])
    tiling = Tiling()
    for rank in (0, 1):
        place, _ = tiling.place(whole, rank, 0, [])
        for local in (1, 4):
            tiling.meet(place + local, (local,))
    error, draw = tiling.repeats()
    assert draw.tolist() == [0, 1, 0, 3, 4, 3, 6, 1, 6, 9, 4, 9]
    assert error.tolist() == [0.2, 0.5, 0.2] * 4

"""The adaptive stage balancer: it moves layers once, when it pays, and noise moves nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from simulator.policies.stage_balancer import MoveCost, Observation, StageBalancer, holders, moved_layers
from simulator.policies.stage_partition import StageWork, pipeline_time

MICROBATCHES = 8
WORK = StageWork((100,) * 12, last=10)


def balancer(work=WORK, window=5, threshold=0.05, ns_a_byte=0.0):
    return StageBalancer(
        work, MICROBATCHES, window, threshold, MoveCost((1000,) * len(work.layers), ns_a_byte), work.best
    )


def run(one, partition, pace_of, steps, noise=0.0, seed=0):
    """(partition of each step, decisions) of a run whose stages take pace_of(step) ns for a unit of work."""
    draw, seen, held, decisions = random.Random(seed), [], [], []
    for step in range(steps):
        held.append(partition)
        paces = pace_of(step)
        times = [round(1000 * ns * (1 + noise * draw.uniform(-1, 1))) for ns in one.work.times(partition, paces)]
        seen.append(Observation(partition, tuple(MICROBATCHES * ns for ns in times), round(pipeline_time(times, 8))))
        after = one.decide(seen, steps - step - 1)
        if after != partition:
            decisions.append(one.decision(step + 1, seen, after))
        partition = after
    return held, decisions


def test_a_straggler_is_relieved_once_it_has_been_seen_for_most_of_a_window():
    held, (decision,) = run(balancer(), (6, 6), lambda step: (2, 3) if step >= 10 else (2, 2), 40)
    # steps 10, 11 and 12 are the slower half of a window of 5
    assert decision.step == 13 and held[12] == (6, 6) and held[13:] == [(7, 5)] * 27
    before, after = (pipeline_time(WORK.times(one, (2, 3)), 8) for one in ((6, 6), (7, 5)))
    assert abs(decision.predicted_gain - (before / after - 1)) < 1e-3


@given(
    st.lists(st.integers(50, 150), min_size=4, max_size=16),
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.floats(0.01, 0.5),
    st.integers(1, 6),
    st.integers(0, 1000),
)  # fmt: skip
def test_noise_of_a_fifth_of_the_threshold_moves_nothing_and_steady_speeds_once(layers, paces, threshold, window, seed):
    work = StageWork(tuple(layers), last=30)
    one, noise = balancer(work, window, threshold), threshold / 5
    best = work.best(paces)
    assert run(one, best, lambda step: paces, 40, noise, seed)[1] == []
    start = work.best((1,) * len(paces))
    held, decisions = run(one, start, lambda step: paces, 40, noise, seed)
    assert len(decisions) <= 1
    # and what is left is within the threshold and twice the noise of the best there is
    slowest, least = (max(work.times(own, paces)) for own in (held[-1], best))
    assert slowest <= least * (1 + threshold) * ((1 + noise) / (1 - noise)) ** 2 * 1.001


@given(st.lists(st.integers(1, 9), min_size=2, max_size=2), st.floats(0, 1))
def test_a_higher_threshold_never_moves_more(paces, threshold):
    assert len(run(balancer(threshold=threshold), (6, 6), lambda step: paces, 12)[1]) >= len(
        run(balancer(threshold=threshold + 0.5), (6, 6), lambda step: paces, 12)[1]
    )


def test_a_move_that_does_not_pay_for_itself_is_not_made():
    saved = 1000 * (pipeline_time(WORK.times((6, 6), (2, 3)), 8) - pipeline_time(WORK.times((7, 5), (2, 3)), 8))
    for factor, moves in ((0.99, 1), (1.01, 0)):
        one = balancer(ns_a_byte=factor * saved * 35 / 1000)  # decided after 5 of 40 steps
        assert len(run(one, (6, 6), lambda step: (2, 3), 40)[1]) == moves


def test_speeds_that_come_back_bring_the_layers_back():
    held, decisions = run(balancer(), (6, 6), lambda step: (2, 3) if 10 <= step < 30 else (2, 2), 60)
    assert [one.after for one in decisions] == [(7, 5), (6, 6)] and held[-1] == (6, 6)


def test_stages_hold_what_fits():
    def fitting(paces):
        return WORK.best(paces, lambda stage, begin, end: end - begin <= 6)

    for best in (fitting, lambda paces: None):
        tight = StageBalancer(WORK, 8, 5, 0.05, MoveCost((1,) * 12, 0.0), best)
        assert run(tight, (6, 6), lambda step: (2, 3), 40)[1] == []


def test_layers_on_the_move():
    assert holders((2, 0, 1)) == (0, 0, 2)
    assert moved_layers((6, 6), (7, 5)) == ((6, 1, 0),)
    assert moved_layers((1, 1, 1), (2, 1, 0)) == ((1, 1, 0), (2, 2, 1))
    cost = MoveCost((10, 20, 40), 2.0)
    assert cost.move_ns((1, 1, 1), (2, 1, 0)) == 80  # the stage in the middle sends 20 bytes while it receives 40
    assert cost.move_ns((1, 1, 1), (1, 1, 1)) == 0

"""When flows over shared links arrive: SimGrid's answers, closed forms, and conservation on random traffic."""

import gzip
import itertools
import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_shares import exact_shares, traffic

from simulator.errors import ScenarioError
from simulator.network import simulate_flows

REFERENCE = json.loads(gzip.decompress((Path(__file__).parent / "data" / "fairshare_simgrid.json.gz").read_bytes()))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_every_flow_ends_when_simgrid_says(case):
    finish_s = simulate_flows(case["flows"], case["capacity_bytes_per_s"])
    assert finish_s == pytest.approx(case["finish_s_simgrid"], rel=1e-8, abs=0)
    assert finish_s == pytest.approx(case["finish_s_exact"], rel=1e-12, abs=0)


def ring_all_reduce_s(num_hosts, num_bytes, bytes_per_s, latency_s, slow=1.0, barrier=False):
    """Seconds of a ring all-reduce on a star, host 0's way up at `slow` of the rate: 2(N-1) turns of N sends.

    Every host sends its chunk on when it has arrived and its own last one has left; with a barrier, when all have.
    """
    up_down = [bytes_per_s] * (2 * num_hosts)
    up_down[0] *= slow
    chunk = num_bytes / num_hosts
    paths = [(2 * host, 2 * ((host + 1) % num_hosts) + 1) for host in range(num_hosts)]
    may_start = [0.0] * num_hosts
    for _ in range(2 * (num_hosts - 1)):
        turn = [(chunk, may_start[host], paths[host]) for host in range(num_hosts)]
        left = simulate_flows(turn, up_down)
        arrived = simulate_flows(turn, up_down, [latency_s] * len(up_down))
        may_start = [max(left[host], arrived[host - 1]) for host in range(num_hosts)]
        if barrier:
            may_start = [max(arrived)] * num_hosts
    return max(arrived)


@pytest.mark.parametrize("num_hosts", [2, 3, 8, 16])
@pytest.mark.parametrize("latency_s", [0.0, 5e-7])
@pytest.mark.parametrize("slow", [1.0, 0.5])
@pytest.mark.parametrize("barrier", [True, False])
def test_a_ring_on_a_star_takes_2_n_minus_1_chunks_and_their_latencies(num_hosts, latency_s, slow, barrier):
    """2(N-1)(S/N/B + 2 lat), B the slowest host's. Without a barrier chunks queue before a slow host's link, which
    then never rests: latency is paid once."""
    num_bytes, bytes_per_s = 2**26, 50e9
    turn_s = num_bytes / num_hosts / (slow * bytes_per_s)
    expected = 2 * (num_hosts - 1) * (turn_s + 2 * latency_s)
    if slow < 1 and not barrier:
        expected = 2 * (num_hosts - 1) * turn_s + 2 * latency_s
    seconds = ring_all_reduce_s(num_hosts, num_bytes, bytes_per_s, latency_s, slow, barrier)
    assert seconds == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", [c for c in REFERENCE["ring_allreduce_star"]["cases"] if c["N"] == 8], ids=str)
def test_a_ring_takes_as_long_as_in_simgrid(case):
    seconds = ring_all_reduce_s(
        case["N"], case["S"], case["bw"], case["lat_per_link"], case["slow"], case["mode"] == "barrier"
    )
    assert seconds == pytest.approx(case["sim_s"], rel=1e-8)


def test_a_nodes_simultaneous_sends_take_as_long_as_their_bytes_through_its_nic():
    """An eighth of 1 GiB to each of 7 peers over a 50 GB/s link: 18.8 ms. Were each alone on it: 2.7 ms."""
    sends = [(2**30 / 8, 0.0, (0, 2 * target + 1)) for target in range(1, 8)]
    assert simulate_flows(sends, [50e9] * 16) == pytest.approx([7 * 2**30 / 8 / 50e9] * 7, rel=1e-12)


def test_a_flow_speeds_up_when_another_ends_and_slows_when_one_starts():
    """10 bytes/s: alone to 1 s, halved until the small one's 5 bytes are through at 2 s, alone again."""
    assert simulate_flows([(25.0, 0.0, (0,)), (5.0, 1.0, (0,))], [10.0]) == [3.0, 2.0]


def test_latency_is_added_once_and_delays_nobody_else():
    alone = simulate_flows([(10.0, 0.0, (0, 1))], [10.0, 10.0], [0.25, 0.5])
    assert alone == [1.75]
    assert simulate_flows([(10.0, 0.0, (0, 1)), (10.0, 1.0, (0,))], [10.0, 10.0], [0.25, 0.5]) == [1.75, 2.25]


def test_a_flow_of_nothing_or_to_itself_arrives_when_it_starts():
    flows = [(0.0, 3.0, (0,)), (1e9, 2.0, ()), (0.0, 1.0, ())]
    assert simulate_flows(flows, [1.0], [0.5]) == [3.5, 2.0, 1.0]
    assert simulate_flows([(10.0, 2.0, ())], [1.0], rate_caps=[5.0]) == [4.0]
    assert simulate_flows([], [1.0]) == []


def test_weights_and_caps_act_over_time():
    """3 and 1 parts of 8 bytes/s: 6 and 2; the first is through at 1 s, the other then takes all but its cap."""
    flows = [(6.0, 0.0, (0,)), (6.0, 0.0, (0,))]
    assert simulate_flows(flows, [8.0], weights=[3.0, 1.0]) == [1.0, 1.5]
    assert simulate_flows(flows, [8.0], weights=[3.0, 1.0], rate_caps=[math.inf, 4.0]) == [1.0, 2.0]


@st.composite
def timed_traffic(draw, **limits):
    """(flows, capacities): bytes and start times that often coincide."""
    paths, capacities = draw(traffic(**limits))
    num_bytes = st.one_of(st.integers(1, 5).map(lambda n: n * 1e6), st.floats(1.0, 1e9))
    start_s = st.one_of(st.just(0.0), st.integers(0, 3).map(float), st.floats(0.0, 10.0))
    return [(draw(num_bytes), draw(start_s), path) for path in paths], capacities


@given(timed_traffic(max_links=5, max_flows=7))
def test_every_byte_is_carried_at_the_max_min_rate_of_its_moment(case):
    """Bytes are conserved: the rates of exact filling, summed over the flow's own time, give its size."""
    flows, capacities = case
    finish_s = simulate_flows(flows, capacities)
    instants = sorted({*finish_s, *(flow[1] for flow in flows)})
    carried = [0.0] * len(flows)
    for begin, end in itertools.pairwise(instants):
        moving = [f for f in range(len(flows)) if flows[f][1] <= begin and end <= finish_s[f]]
        for f, rate in (
            zip(moving, exact_shares([flows[f][2] for f in moving], capacities), strict=True) if moving else ()
        ):
            carried[f] += float(rate) * (end - begin)
    for sent, (num_bytes, start_s, path) in zip(carried, flows, strict=True):
        clock = 1e-14 * max(instants) * min(capacities[link] for link in path)  # what an ulp of the clock carries
        assert sent == pytest.approx(num_bytes, rel=1e-9, abs=len(flows) * clock)
        assert start_s <= max(instants)


@given(timed_traffic(), st.randoms(use_true_random=False))
def test_the_order_of_flows_changes_no_bit(case, rng):
    flows, capacities = case
    order = rng.sample(range(len(flows)), len(flows))
    finish_s = simulate_flows(flows, capacities)
    assert simulate_flows([flows[i] for i in order], capacities) == [finish_s[i] for i in order]


@given(timed_traffic(max_links=4, max_flows=6), timed_traffic(max_links=4, max_flows=6))
def test_traffic_elsewhere_changes_no_bit(here, there):
    moved = [(num_bytes, start_s, tuple(link + len(here[1]) for link in path)) for num_bytes, start_s, path in there[0]]
    both = simulate_flows([*here[0], *moved], [*here[1], *there[1]])
    assert both[: len(here[0])] == simulate_flows(*here)


@given(timed_traffic())
def test_nothing_ends_sooner_than_alone(case):
    flows, capacities = case
    for seconds, (num_bytes, start_s, path) in zip(simulate_flows(flows, capacities), flows, strict=True):
        assert seconds >= (start_s + num_bytes / min(capacities[link] for link in path)) * (1 - 1e-12)


@pytest.mark.parametrize(
    ("flows", "keywords", "words"),
    [
        ([(1.0, 0.0)], {}, r"flow 0 is \(1.0, 0.0\); give \(bytes, start_s, path\)"),
        ([7], {}, "flow 0 is 7"),
        ([(-1.0, 0.0, (0,))], {}, "flow 0 has -1.0 bytes; give 0 or more"),
        ([(math.inf, 0.0, (0,))], {}, "flow 0 has inf bytes"),
        ([(1.0, math.nan, (0,))], {}, "flow 0 starts at nan; give a time in seconds"),
        ([(1.0, 0.0, (1,))], {}, "flow 0 crosses link 1"),
        ([(1.0, 0.0, (0,))], {"latencies": [0.0, 0.0]}, "2 latencies for 1 links"),
        ([(1.0, 0.0, (0,))], {"latencies": [-1.0]}, "latency of link 0 is -1.0"),
        ([(1.0, 0.0, (0,))], {"weights": [0.0]}, "weight of flow 0"),
    ],
)
def test_what_cannot_flow_is_refused_in_one_sentence(flows, keywords, words):
    with pytest.raises(ScenarioError, match=words):
        simulate_flows(flows, [1.0], **keywords)


def test_the_order_of_many_flows_changes_no_bit():
    """Enough flows, of sizes and rates enough, that a sum in the order of the flows would round differently."""
    rng = random.Random(1)
    capacities = [rng.uniform(1e9, 50e9) for _ in range(12)]
    flows = [(rng.uniform(1e6, 1e9), 0.0, tuple(rng.sample(range(12), rng.choice([1, 2, 3])))) for _ in range(150)]
    finish_s = simulate_flows(flows, capacities)
    for _ in range(3):
        order = rng.sample(range(len(flows)), len(flows))
        assert simulate_flows([flows[i] for i in order], capacities) == [finish_s[i] for i in order]

"""Collectives message by message: closed forms on a star, SimGrid's rings, and an exact oracle on random rounds."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_rounds import exact_rounds

from simulator.errors import ScenarioError
from simulator.network import (
    Message,
    bytes_on_links,
    direct_all_to_all,
    halving_doubling_all_reduce,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    side_by_side,
    simulate_flows,
    simulate_rounds,
)
from simulator.network.round_events import RecurringShares, round_by_instants
from simulator.network.wire import checked_wire

REFERENCE = json.loads(gzip.decompress((Path(__file__).parent / "data" / "fairshare_simgrid.json.gz").read_bytes()))
GIB, BYTES_PER_S, LATENCY_S = 2**30, 50e9, 5e-7


def star(source, target):
    """Every rank has a way up and a way down of its own."""
    return 2 * source, 2 * target + 1


def on_star(num_ranks, slow=1.0, latency_s=LATENCY_S):
    """(capacities, latencies), rank 0's way up at `slow` of the rate."""
    return [slow * BYTES_PER_S] + [BYTES_PER_S] * (2 * num_ranks - 1), [latency_s] * (2 * num_ranks)


def leaves(ranks, per_leaf):
    """Routes between ranks in the order given, every leaf of hosts with one link up and one down beyond the star's."""

    def route(source, target):
        here, there = ranks[source], ranks[target]
        up, down = here // per_leaf, there // per_leaf
        beyond = () if up == down else (2 * len(ranks) + 2 * up, 2 * len(ranks) + 2 * down + 1)
        return (2 * here, *beyond, 2 * there + 1)

    return route


@pytest.mark.parametrize("num_ranks", [2, 3, 8, 100, 1024, 4096])
@pytest.mark.parametrize("slow", [1.0, 0.5])
@pytest.mark.parametrize("barrier", [True, False])
def test_a_ring_takes_2_n_minus_1_chunks_and_their_latencies(num_ranks, slow, barrier):
    """2(N-1)(S/N/B + 2 lat), B the slowest host's. Without a barrier chunks queue before a slow host's link, which
    then never rests: latency is paid once."""
    turn_s, turns = GIB / num_ranks / (slow * BYTES_PER_S), 2 * (num_ranks - 1)
    expected = turns * (turn_s + 2 * LATENCY_S)
    if slow < 1 and not barrier:
        expected = turns * turn_s + 2 * LATENCY_S
    ends = simulate_rounds(ring_all_reduce(GIB, num_ranks, star), *on_star(num_ranks, slow), barrier=barrier)
    assert max(ends) == pytest.approx(expected, rel=1e-12)
    assert len(ends) == num_ranks


@pytest.mark.parametrize("case", REFERENCE["ring_allreduce_star"]["cases"], ids=str)
def test_a_ring_takes_as_long_as_in_simgrid(case):
    n = case["N"]
    capacities = [case["slow"] * case["bw"]] + [case["bw"]] * (2 * n - 1)
    rounds = ring_all_reduce(case["S"], n, star)
    ends = simulate_rounds(rounds, capacities, [case["lat_per_link"]] * (2 * n), barrier=case["mode"] == "barrier")
    assert max(ends) == pytest.approx(case["sim_s"], rel=1e-8)


@pytest.mark.parametrize("half", [ring_reduce_scatter, ring_all_gather])
def test_a_reduce_scatter_and_an_all_gather_are_half_of_an_all_reduce_each(half):
    expected = 7 * (GIB / 8 / BYTES_PER_S + 2 * LATENCY_S)
    assert simulate_rounds(half(GIB, 8, star), *on_star(8)) == pytest.approx([expected] * 8, rel=1e-12)


@pytest.mark.parametrize("num_ranks", [2, 8, 256])
def test_halving_and_doubling_sends_as_much_as_a_ring_in_2_log_n_rounds(num_ranks):
    log = num_ranks.bit_length() - 1
    expected = 2 * ((num_ranks - 1) / num_ranks * GIB / BYTES_PER_S + log * 2 * LATENCY_S)
    rounds = halving_doubling_all_reduce(GIB, num_ranks, star)
    assert [one[0].num_bytes * 2**step for step, one in enumerate(rounds[:log], 1)] == [GIB] * log
    assert rounds[log:] == rounds[:log][::-1]
    assert simulate_rounds(rounds, *on_star(num_ranks)) == pytest.approx([expected] * num_ranks, rel=1e-12)


def test_the_most_goes_to_the_neighbour():
    """Pairs of ranks under one leaf: only the quarters and less go through the links between the leaves."""
    rounds = halving_doubling_all_reduce(GIB, 8, leaves(range(8), 2))
    assert bytes_on_links(rounds, 24)[16:] == [2 * 2 * (GIB / 4 + GIB / 8)] * 8
    assert bytes_on_links(rounds, 24)[:16] == [2 * 7 / 8 * GIB] * 16


@pytest.mark.parametrize("num_ranks", [2, 8, 64])
def test_an_all_to_all_is_bound_by_what_a_rank_sends(num_ranks):
    """N - 1 messages share a rank's way up: (N-1)/N S/B, and the latency once, for they leave together."""
    expected = (num_ranks - 1) / num_ranks * GIB / BYTES_PER_S + 2 * LATENCY_S
    ends = simulate_rounds(direct_all_to_all(GIB, num_ranks, star), *on_star(num_ranks))
    assert ends == pytest.approx([expected] * num_ranks, rel=1e-12)


@pytest.mark.parametrize(("make", "each"), [(ring_all_reduce, 2.0), (ring_all_gather, 1.0), (direct_all_to_all, 1.0),
                                            (halving_doubling_all_reduce, 2.0)])  # fmt: skip
def test_every_rank_sends_and_gets_its_share_of_the_bytes(make, each):
    assert bytes_on_links(make(GIB, 16, star), 32) == pytest.approx([each * 15 / 16 * GIB] * 32, rel=1e-14)


def test_a_ring_is_paced_by_its_most_crowded_link():
    """8 ranks under 2 leaves, neighbours never under one: 4 hops share each leaf's link, a fourth of it each."""
    rounds = ring_all_reduce(GIB, 8, leaves([0, 4, 1, 5, 2, 6, 3, 7], 4))
    ends = simulate_rounds(rounds, [BYTES_PER_S] * 20)
    assert ends == pytest.approx([14 * (GIB / 8 / (BYTES_PER_S / 4))] * 8, rel=1e-12)


def test_two_rings_on_one_link_each_take_twice_as_long():
    """Two rings of two between the same two leaves, whose links carry one hop of each: half of it each."""
    one = ring_all_reduce(GIB, 2, lambda source, target: (source, 2 + target))
    alone = simulate_rounds(one, [BYTES_PER_S] * 4)
    assert alone == pytest.approx([GIB / BYTES_PER_S] * 2)
    together = simulate_rounds(side_by_side(one, one), [BYTES_PER_S] * 4)
    assert together == pytest.approx([2 * GIB / BYTES_PER_S] * 4, rel=1e-12)


def test_the_longer_of_two_rings_has_the_link_to_itself_when_the_other_is_through():
    """1 GiB and 3 GiB at once, 2 rounds each: both at half rate for 2 GiB worth of time, then one alone with 2 GiB."""
    short, long = (ring_all_reduce(size * GIB, 2, lambda source, target: (source, 2 + target)) for size in (1, 3))
    ends = simulate_rounds(side_by_side(short, long), [BYTES_PER_S] * 4)
    assert ends == pytest.approx([2 * GIB / BYTES_PER_S] * 2 + [4 * GIB / BYTES_PER_S] * 2, rel=1e-12)


@pytest.mark.parametrize("make", [ring_all_reduce, halving_doubling_all_reduce])
def test_a_late_rank_delays_everybody_by_as_much(make):
    rounds = make(GIB, 8, star)
    on_time = max(simulate_rounds(rounds, *on_star(8)))
    late = simulate_rounds(rounds, *on_star(8), start_s=[0.0] * 7 + [1.0])
    assert max(late) == pytest.approx(on_time + 1.0, rel=1e-12)
    assert simulate_rounds(rounds, *on_star(8), start_s=2.0, barrier=True) == pytest.approx([on_time + 2] * 8)


def test_a_receiver_need_not_be_ready():
    """The message arrives at 1 s, its receiver comes at 3 s and finds it there; the sender was through at 1 s."""
    rounds = [(Message(0, 1, 10.0, (0,)),), (Message(1, 0, 10.0, (1,)),)]
    assert simulate_rounds(rounds, [10.0, 10.0], start_s=[0.0, 3.0]) == [4.0, 4.0]
    assert simulate_rounds(rounds[:1], [10.0, 10.0], start_s=[0.0, 3.0]) == [1.0, 3.0]


def test_messages_of_different_rounds_meet_when_nothing_keeps_their_ranks_apart():
    """Rank 2 has nothing to wait for in the first round: both messages go at once and share the link."""
    rounds = [(Message(0, 1, 10.0, (0,)),), (Message(2, 3, 10.0, (0,)),)]
    assert simulate_rounds(rounds, [10.0]) == [2.0] * 4


def test_one_round_is_as_many_flows_at_once():
    """A rank is through when the last of its flows has left or arrived."""
    traffic = [(0, 1, 5e9, (0, 1)), (0, 2, 2e9, (0, 2)), (1, 2, 4e9, (3, 2)), (2, 0, 1e9, (2, 1))]
    capacities, latencies = [1e9, 2e9, 3e9, 1e9], [0.25, 0.5, 1.0, 2.0]
    flows = [(num_bytes, 0.0, path) for _, _, num_bytes, path in traffic]
    left, arrived = simulate_flows(flows, capacities), simulate_flows(flows, capacities, latencies)
    expected = [max(left[0], left[1], arrived[3]), max(left[2], arrived[0]), max(left[3], arrived[1], arrived[2])]
    assert simulate_rounds([tuple(traffic)], capacities, latencies) == pytest.approx(expected, rel=1e-14)


def test_with_barriers_rounds_follow_one_another():
    rounds = halving_doubling_all_reduce(GIB, 8, leaves(range(8), 2))
    capacities = [BYTES_PER_S, *[2 * BYTES_PER_S] * 15, *[BYTES_PER_S / 3] * 8]
    each = [max(simulate_flows([(m.num_bytes, 0.0, m.path) for m in one], capacities)) for one in rounds]
    assert simulate_rounds(rounds, capacities, barrier=True) == pytest.approx([math.fsum(each)] * 8, rel=1e-14)


@st.composite
def random_rounds(draw):
    """(rounds, capacities, latencies, starts): a few ranks, messages that often tie, rounds that come back."""
    num_links, num_ranks = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    rank = st.integers(0, num_ranks - 1)
    path = st.lists(st.integers(0, num_links - 1), max_size=3, unique=True).map(tuple)
    size = st.integers(0, 4).map(float) | st.floats(0.1, 10.0)
    message = st.builds(Message, rank, rank, size, path)
    distinct = draw(st.lists(st.lists(message, max_size=4).map(tuple), min_size=1, max_size=3))
    rounds = draw(st.lists(st.sampled_from(distinct), min_size=1, max_size=4))
    listed = max((max(m[:2]) + 1 for one in rounds for m in one), default=0)
    capacity = st.sampled_from([1.0, 2.0, 4.0]) | st.floats(0.5, 5.0)
    seconds = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.0, 3.0)
    capacities = draw(st.lists(capacity, min_size=num_links, max_size=num_links))
    latencies = draw(st.lists(seconds, min_size=num_links, max_size=num_links))
    return rounds, capacities, latencies, draw(st.lists(seconds, min_size=listed, max_size=listed))


@given(random_rounds())
def test_rounds_end_when_exact_numbers_say(case):
    rounds, capacities, latencies, starts = case
    ends = simulate_rounds(rounds, capacities, latencies, start_s=starts)
    exact = [float(end) for end in exact_rounds(rounds, capacities, latencies, starts)]
    assert ends == pytest.approx(exact, rel=1e-11, abs=1e-11)


@given(random_rounds())
def test_whole_rounds_and_instants_agree_to_the_bit_where_no_link_is_shared(case):
    """The same rounds, every sender's links its own."""
    rounds, capacities, latencies, starts = case
    num_links = len(capacities)
    own = {id(one): tuple(m._replace(path=tuple(link + num_links * m.source for link in m.path)) for m in one[:1])
           for one in rounds}  # fmt: skip
    rounds = [own[id(one)] for one in rounds]
    times = max((max(m[:2]) + 1 for one in rounds for m in one), default=0)
    given_links = capacities * times, latencies * times
    wire = checked_wire(rounds, *given_links)
    by_instants = round_by_instants(wire, np.array(starts[:times], dtype=float))
    assert simulate_rounds(rounds, *given_links, start_s=starts[:times]) == by_instants.tolist()


@given(random_rounds(), st.randoms(use_true_random=False))
def test_the_order_of_messages_and_the_names_of_ranks_change_no_bit(case, rng):
    rounds, capacities, latencies, starts = case
    busy = sorted({rank for one in rounds for message in one for rank in message[:2]})
    names = dict(zip(busy, rng.sample(busy, len(busy)), strict=True))
    name = [names.get(rank, rank) for rank in range(len(starts))]
    moved = {id(one): tuple(m._replace(source=name[m.source], target=name[m.target])
                            for m in rng.sample(one, len(one))) for one in rounds}  # fmt: skip
    renamed_starts = [starts[name.index(rank)] for rank in range(len(starts))]
    ends = simulate_rounds(rounds, capacities, latencies, start_s=starts)
    renamed = simulate_rounds([moved[id(one)] for one in rounds], capacities, latencies, start_s=renamed_starts)
    assert [renamed[name[rank]] for rank in range(len(starts))] == ends


@given(random_rounds(), random_rounds())
def test_a_collective_elsewhere_changes_no_bit(here, there):
    offset = len(here[1])
    moved = {id(one): tuple(m._replace(path=tuple(link + offset for link in m.path)) for m in one) for one in there[0]}
    both = simulate_rounds(
        side_by_side(here[0], [moved[id(one)] for one in there[0]]),
        here[1] + there[1], here[2] + there[2], start_s=here[3] + there[3],
    )  # fmt: skip
    assert both == [
        *simulate_rounds(here[0], here[1], here[2], start_s=here[3]),
        *simulate_rounds(there[0], there[1], there[2], start_s=there[3]),
    ]


@pytest.fixture
def solvers(monkeypatch):
    """The RecurringShares that are made."""
    made = []
    monkeypatch.setattr(
        RecurringShares, "__init__",
        lambda self, *given, begin=RecurringShares.__init__: (begin(self, *given), made.append(self))[0],
    )  # fmt: skip
    return made


def crossing_ring(num_bytes):
    """64 ranks under 8 leaves, neighbours never under one."""
    return ring_all_reduce(num_bytes, 64, leaves([8 * (rank % 8) + rank // 8 for rank in range(64)], 8))


def test_a_pattern_that_recurs_is_solved_once(solvers):
    """126 rounds in which 8 hops share each leaf's link: all send at once, or nothing does, every time."""
    simulate_rounds(crossing_ring(GIB), [BYTES_PER_S] * 144, [LATENCY_S] * 144)
    assert [shares.num_solves for shares in solvers] == [2]


def test_what_happens_elsewhere_makes_no_new_pattern(solvers):
    """Two rings on links of their own, whose hosts differ so that their messages come and go in many combinations."""
    one = ring_all_reduce(GIB, 6, leaves([0, 3, 1, 4, 2, 5], 3))
    moved = tuple(m._replace(path=tuple(link + 16 for link in m.path)) for m in one[0])
    capacities = [BYTES_PER_S / (2 + link % 5) for link in range(12)] + [BYTES_PER_S] * 4
    other = [0.7357 * BYTES_PER_S / (2 + link % 7) for link in range(12)] + [BYTES_PER_S] * 4
    simulate_rounds(one, capacities)
    simulate_rounds(one, other)
    simulate_rounds(side_by_side(one, [moved] * len(one)), capacities + other)
    first, second, both = (shares.num_solves for shares in solvers)
    assert min(first, second) > 5
    assert both <= first + second + 1  # the one: all at once, as they begin


@pytest.mark.parametrize(
    ("rounds", "keywords", "words"),
    [
        ([[(0, 1, 1.0)]], {}, r"a message is \(0, 1, 1.0\); give \(source, target, bytes, path\)"),
        ([[(-1, 1, 1.0, (0,))]], {}, "a message is of rank -1; give ranks from 0"),
        ([[(0, 1, -1.0, (0,))]], {}, "a message has -1.0 bytes; give 0 or more"),
        ([[(0, 1, 1.0, (1,))]], {}, "crosses link 1, and links are numbered from 0 to 0"),
        ([[(0, 1, 1.0, (0,))]], {"latencies": [0.0, 0.0]}, "2 latencies for 1 links"),
        ([[(0, 1, 1.0, (0,))]], {"start_s": [0.0]}, "1 times to start for 2 ranks; give one, or one a rank"),
        ([[(0, 1, 1.0, (0,))]], {"start_s": math.inf}, "rank 0 starts at inf; give a time in seconds"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_sentence(rounds, keywords, words):
    with pytest.raises(ScenarioError, match=words):
        simulate_rounds(rounds, [1.0], **keywords)


@pytest.mark.parametrize(
    ("make", "num_ranks", "words"),
    [
        (ring_all_reduce, 1, "a collective of 1 ranks sends nothing; give 2 or more"),
        (direct_all_to_all, 0, "a collective of 0 ranks"),
        (halving_doubling_all_reduce, 6, "6 is no power of two; take a ring"),
    ],
)
def test_what_no_collective_is_is_refused(make, num_ranks, words):
    with pytest.raises(ScenarioError, match=words):
        make(GIB, num_ranks, star)

"""Clusters that are spelt out: routes against networkx, spans against the messages of a ring counted on their links."""

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rooms import CHIP, slowed

from simulator.cluster import Link
from simulator.cluster.inline import inline_cluster
from simulator.errors import ScenarioError

GIGA = 10**9


def both(one, other, rate, latency_s=0.0):
    return Link(one, other, rate, latency_s), Link(other, one, rate, latency_s)


def joined(*wires):
    return [link for wire in wires for link in both(*wire)]


STAR = inline_cluster(
    [("gpu", 4, CHIP)], joined(*((f"gpu{place}", "switch", 10 * GIGA, 1e-6) for place in range(4)))
)  # fmt: skip
TORUS = inline_cluster(
    [("t", 6, CHIP)], joined(*((f"t{place}", f"t{(place + 1) % 6}", 10 * GIGA, 1e-6) for place in range(6)))
)  # fmt: skip
TWO_BOXES = inline_cluster(
    [("a", 2, CHIP), ("b", 4, CHIP)],
    joined(("a0", "a1", 40 * GIGA, 1e-6), *((f"b{place}", "hub", 8 * GIGA) for place in range(4)),
           ("a0", "net", 5 * GIGA, 3e-6), ("a1", "net", 5 * GIGA, 3e-6), ("hub", "net", 7 * GIGA, 1e-6)),
)  # fmt: skip


@st.composite
def random_rooms(draw):
    """Devices and switches on a random tree with a few wires more."""
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    entries = [(f"n{place}", count, CHIP) for place, count in enumerate(counts)]
    ends = [name for entry, count, _ in entries for name in ([entry] if count == 1 else
            [f"{entry}{place}" for place in range(count)])]  # fmt: skip
    ends += [f"switch{place}" for place in range(draw(st.integers(1, 3)))]
    ends = draw(st.permutations(ends))
    wires = {tuple(sorted((end, draw(st.sampled_from(ends[:place]))))) for place, end in enumerate(ends) if place}
    wires |= {tuple(sorted(pair)) for pair in draw(st.lists(st.tuples(*[st.sampled_from(ends)] * 2), max_size=4))
              if pair[0] != pair[1]}  # fmt: skip
    return inline_cluster(entries, joined(*((*wire, draw(st.integers(1, 50)) * GIGA) for wire in sorted(wires))))


@given(random_rooms())
def test_a_route_has_the_fewest_links_and_then_the_first_names(cluster):
    graph = cluster.graph()
    for source, one in enumerate(cluster.names):
        for target, other in enumerate(cluster.names):
            route = cluster.route(source, target)
            path = [link.source for link in route] + [other]
            assert path == min(networkx.all_shortest_paths(graph, one, other))
            for link in route:
                assert graph.edges[link.source, link.target]["capacity_bytes_per_s"] == link.capacity_bytes_per_s
            assert cluster.sender_links(source, target) == tuple(link.name for link in route)
            assert cluster.receiver_links(source, target) == ()


@given(random_rooms(), st.data())
def test_a_span_is_what_a_ring_over_the_routes_gets(cluster, data):
    """Inside nodes: the busiest link, each message of the ring counted on it. Between nodes: every member sends to one
    of the next node, and no link is above its capacity when each node sends what the span says."""
    group = sorted(data.draw(st.sets(st.integers(0, cluster.gpus - 1), min_size=1)))
    span = cluster.span(tuple(group))
    nodes: dict[int, list[int]] = {}
    for rank in group:
        nodes.setdefault(cluster.node_of(rank), []).append(rank)
    assert (span.size, span.nodes) == (len(group), len(nodes))
    assert span.per_node == max(map(len, nodes.values()))
    load: dict[str, int] = {}
    for own in nodes.values():
        for place, rank in enumerate(own):
            for link in cluster.route(rank, own[(place + 1) % len(own)]):
                load[link.name] = load.get(link.name, 0) + 1
    if load:
        assert span.intra_bytes_per_s == min(cluster.link_capacity(name) // count for name, count in load.items())
    if len(nodes) == 1:
        assert span.node_bytes_per_s == 0
        return
    least: dict[str, float] = {}
    owns = list(nodes.values())
    for place, own in enumerate(owns):
        there = owns[(place + 1) % len(owns)]
        links = {link.name for one, rank in enumerate(own) for link in cluster.route(rank, there[one % len(there)])}
        assert span.node_bytes_per_s <= sum(cluster.link_capacity(name) for name in links)
        if len(own) == 1:  # all that the node sends goes one way
            for name in links:
                least[name] = least.get(name, 0) + span.node_bytes_per_s
    assert all(total <= cluster.link_capacity(name) for name, total in least.items())


def test_a_star_gives_each_member_its_own_link():
    span = STAR.span(range(4))
    assert (span.size, span.nodes, span.per_node) == (4, 1, 4)
    assert (span.intra_bytes_per_s, span.intra_latency_s, span.node_bytes_per_s) == (10 * GIGA, 2e-6, 0)
    assert STAR.groups[0][0].fabric.gpu_bytes_per_s == 10 * GIGA


def test_a_ring_of_neighbours_has_a_link_each_and_one_of_every_other_relays():
    """t0, t2, t4 on a ring of six: each message takes two links, through the device between, and meets no other."""
    assert TORUS.span(range(6)).intra_bytes_per_s == 10 * GIGA
    assert TORUS.span((0, 2, 4)).intra_bytes_per_s == 10 * GIGA
    assert TORUS.span((0, 2, 4)).intra_latency_s == 2e-6
    assert TORUS.span((0, 3)).intra_latency_s == 3e-6
    assert [link.target for link in TORUS.route(0, 3)] == ["t1", "t2", "t3"], "both ways are as long: t1 before t5"
    assert [link.target for link in TORUS.route(3, 0)] == ["t2", "t1", "t0"]


def test_between_nodes_the_shared_wire_counts_once():
    """a0 and a1 send 5 GB/s each into a hub's wire of 7; backwards b's members leave by that wire."""
    span = TWO_BOXES.span(range(6))
    assert (span.nodes, span.per_node) == (2, 4)
    assert span.node_bytes_per_s == 7 * GIGA
    assert span.intra_bytes_per_s == 8 * GIGA, "b's own links; a has 40 GB/s"
    assert span.inter_latency_s == 4e-6
    assert TWO_BOXES.span((0, 2)).node_bytes_per_s == 5 * GIGA
    assert TWO_BOXES.span((0, 1)).intra_bytes_per_s == 40 * GIGA


def test_entries_of_one_kind_are_nodes_of_one_group():
    assert TWO_BOXES.group_ends == ()
    other = inline_cluster([("a", 2, CHIP), ("b", 1, CHIP.__class__("other", 1, 1, (), 1)), ("c", 1, CHIP)],
                           joined(*((name, "s", GIGA) for name in ("a0", "a1", "b", "c"))))  # fmt: skip
    assert other.group_ends == (2, 3)
    assert [other.node_of(rank) for rank in range(4)] == [0, 0, 1, 2]


def test_links_degrade_by_name_and_by_end():
    slow = slowed(STAR, {"gpu1>switch": 4})
    assert slow.link_capacity("gpu1>switch") == 2_500_000_000
    assert slow.span(range(4)).intra_bytes_per_s == 2_500_000_000
    assert slow.graph().edges["gpu1", "switch"]["capacity_bytes_per_s"] == 2_500_000_000
    assert {link.name for link in STAR.links_at("gpu1")} == {"gpu1>switch", "switch>gpu1"}
    assert len(STAR.links_at("switch")) == 8
    with pytest.raises(ValueError, match="no link"):
        STAR.link_capacity("gpu9>switch")
    assert "gpu1>switch" in STAR.names_like("gpu1>swich")


def test_nothing_is_known_of_its_symmetry():
    assert not STAR.is_uniform
    assert STAR.symmetry_period == STAR.gpus
    links = STAR.rank_links(0)
    assert (links.up, links.port_out, links.out) == (None, None, ())
    assert STAR.leaf_links(0, 1) is None


def test_what_cannot_be_reached_is_refused_by_name():
    with pytest.raises(ScenarioError, match=r"b \(rank 1\) cannot be reached from a"):
        inline_cluster([("a", 1, CHIP), ("b", 1, CHIP)], joined(("a", "s", GIGA), ("s", "t", GIGA)))

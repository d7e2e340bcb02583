"""Slow links and slow ranks: which of them the simulated step sees, and what is refused."""

import pytest

TINY = """\
schema_version: 1
name: faults
model:
  trunk: {block: gpt, layers: 4, hidden: 64, heads: 4, vocab: 1000, seq: 32}
cluster: {preset: dgx_a100, nodes: 2}
plan: {tensor: 4, microbatch: 1, global_batch: 8}
"""
UP = "gpu3>node0/switch"


def link(name, **keys):
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"faults.links=[{{link: {name}{more}}}]"


def slow(rank, **keys):
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"faults.stragglers=[{{rank: {rank}{more}}}]"


@pytest.mark.parametrize(("factor", "rate"), [(3, 100 * 10**9), (0.5, 150 * 10**9), (1, 300 * 10**9)])
def test_a_link_is_so_many_times_slower_or_has_a_share_left(load, factor, rate):
    cluster = load(TINY, link(UP, factor=factor)).cluster
    assert cluster.link_capacity(UP) == rate
    assert cluster.link_capacity("node0/switch>gpu3") == 300 * 10**9
    assert cluster.span(range(4)).intra_bytes_per_s == rate
    assert cluster.span(range(8, 12)).intra_bytes_per_s == 300 * 10**9


@pytest.mark.parametrize(
    ("end", "touched"),
    [("gpu3", 4), ("node1/port2", 4), ("node1/port2/out", 2), ("node0/switch", 16), ("node0", 8 * 6), ("fabric", 32)],
)
def test_an_end_stands_for_all_its_links(load, end, touched):
    """A GPU has its NVLink and its PCIe, both ways; a port its wire and its feed; a node eight GPUs of six links."""
    degraded = load(TINY, link(end, factor=2)).cluster.links
    assert len(degraded) == touched
    for one in degraded:
        assert any(f"{name}/".startswith(f"{end}/") for name in (one.source, one.target))


def test_faults_of_one_link_multiply(load):
    both = f"faults.links=[{{link: {UP}, factor: 2}}, {{link: node0/switch, factor: 3}}]"
    cluster = load(TINY, both).cluster
    assert cluster.link_capacity(UP) == 50 * 10**9
    assert cluster.link_capacity("gpu2>node0/switch") == 100 * 10**9


@pytest.mark.parametrize(
    ("steps", "seen"),
    [({}, True), ({"to_step": 1}, True), ({"from_step": 1}, False), ({"from_step": 1, "to_step": 9}, False)],
)
def test_only_faults_of_step_0_are_seen(load, steps, seen):
    cluster = load(TINY, link(UP, factor=2, **steps)).cluster
    assert cluster.link_capacity(UP) == (150 if seen else 300) * 10**9
    assert cluster.is_uniform is not seen
    scenario = load(TINY, slow(5, factor=1.5, **steps))
    assert scenario.pace == ({5: 1.5} if seen else {})


def test_a_straggler_slows_its_own_rank_and_two_faults_of_it_multiply(load):
    scenario = load(TINY, "faults.stragglers=[{rank: 5, factor: 1.5}, {rank: 2, factor: 3}, {rank: 5, factor: 2}]")
    assert list(scenario.pace.items()) == [(2, 3.0), (5, 3.0)]
    assert load(TINY, slow(5, factor=1)).pace == {}, "as fast as the others"


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (link("gpu33>node0/switch", factor=2), ["faults.links.0.link", "did you mean gpu3>node0/switch?"]),
        (link("gpu3>node1/switch", factor=2), ["there is no link or end", "did you mean gpu"]),
        (link("node0/swich", factor=2), ["did you mean node0/switch?"]),
        (link("node7", factor=2), ["there is no link or end 'node7'", "did you mean node1?"]),
        (link("leaf0", factor=2), ["there is no link or end 'leaf0'"]),
        (link("'???'", factor=2), ["links are named by their ends, such as"]),
        (link(UP, factor=0), ["faults.links.0.factor", "above 0"]),
        (link(UP, factor=2, from_step=3, to_step=3), ["faults.links.0.to_step", "from_step 3 to to_step 3", "use 4"]),
        (slow(16, factor=2), ["faults.stragglers.0.rank", "no rank 16, and the nearest of the 16 is 15"]),
        (slow(0, factor=0.5), ["faults.stragglers.0.factor", "at least 1"]),
        (slow(0, factor=2, from_step=5, to_step=1), ["holds no step", "use 6"]),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(refused, ask, words):
    said = refused(TINY, ask)
    for word in words:
        assert word in said


def test_links_of_every_kind_of_cluster_can_be_slow(load):
    leaf = load(TINY, "cluster={preset: fat_tree, nodes: 2, nodes_per_leaf: 1}", link("leaf1", factor=4)).cluster
    assert leaf.link_capacity("leaf1>core") == 100 * 10**9
    inline = ("cluster={devices: [{name: gpu, count: 4, device: a100_sxm4_80gb}], "
              "links: [{ends: [gpu, switch], gbit_per_s: 2400}]}")  # fmt: skip
    cluster = load(TINY, inline, link("gpu1>switch", factor=3)).cluster
    assert cluster.span(range(4)).intra_bytes_per_s == 100 * 10**9
    assert cluster.graph().edges["gpu1", "switch"]["capacity_bytes_per_s"] == 100 * 10**9

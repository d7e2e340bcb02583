"""Folding: which ranks stand for which, and what one link of a folded network carries."""

from collections import Counter

import pytest

from simulator.program.fold import fold
from simulator.program.lowering import lower
from simulator.program.program import check_program
from simulator.scenario.loader import scenario_from

GPT = {"trunk": {"block": "gpt", "layers": 8, "hidden": 512, "heads": 8, "vocab": 32000, "seq": 256}}


def folding(cluster, pace=None, whole=False, links=True, **plan):
    made = scenario_from({
        "schema_version": 1, "name": "fold", "model": GPT, "cluster": cluster,
        "plan": {"microbatch": 1, "global_batch": 2**15, **plan},
    })  # fmt: skip
    found = fold(lower(made), made.cluster, pace or {}, links=links, whole=whole)
    check_program(found.program)
    return found, made


def sizes(found):
    return [(own.rank, len(own.members)) for own in found.program.ranks]


@pytest.mark.parametrize("cluster, plan", [
    ({"preset": "dgx_h100", "nodes": 4}, {"tensor": 8, "pipeline": 2}),
    ({"preset": "dgx_h100", "nodes": 4}, {"tensor": 2, "pipeline": 4}),
    ({"preset": "p4d", "nodes": 4}, {"tensor": 4, "pipeline": 2}),
    ({"preset": "dgx_a100", "nodes": 2, "nics_per_node": 1}, {"pipeline": 2}),
    ({"preset": "dgx_a100", "nodes": 8, "gpus_per_node": 2, "nics_per_node": 1}, {"tensor": 4, "pipeline": 2}),
])  # fmt: skip
def test_replicas_on_a_uniform_cluster_are_one_class_for_each_pipeline_rank(cluster, plan):
    found, made = folding(cluster, **plan)
    per_stage = made.layout.ranks // made.layout.pipeline
    assert sizes(found) == [(stage * per_stage, per_stage) for stage in range(made.layout.pipeline)]


def test_a_straggler_splits_its_tensor_its_data_and_its_pipeline_peers_off_the_rest():
    found, _ = folding({"preset": "dgx_h100", "nodes": 8}, {3: 1.5}, tensor=4, pipeline=2)
    stage = Counter(len(own.members) for own in found.program.ranks if own.rank < 32)
    assert stage == Counter({1: 1, 3: 1, 7: 1, 21: 1})  # itself, its tensor peers, its data peers, the rest
    assert len(found.program.ranks) == 8  # and the same in the other stage, by way of the pipeline
    assert found.representative(3) == 3
    assert found.present(range(4)) == (0, 3)


def test_a_stage_that_ends_inside_a_node_splits_by_where_the_cut_lies():
    """Stages of 6 ranks on nodes of 4: two ranks of each stage share their node with another stage."""
    found, _ = folding({"preset": "dgx_a100", "nodes": 3, "gpus_per_node": 4, "nics_per_node": 1},
                       pipeline=2, global_batch=12)  # fmt: skip
    assert all(len(own.members) < 6 for own in found.program.ranks)


def test_a_tensor_group_across_nodes_is_not_alike_one_inside():
    """Tensor 6 on nodes of 8: the first group of four fits into a node, the second does not."""
    model = {"trunk": GPT["trunk"] | {"heads": 6, "hidden": 384}}
    made = scenario_from({
        "schema_version": 1, "name": "fold", "model": model, "cluster": {"preset": "dgx_h100", "nodes": 3},
        "plan": {"microbatch": 1, "global_batch": 4, "tensor": 6},
    })  # fmt: skip
    found = fold(lower(made), made.cluster, {}, links=True)
    assert found.representative(0) != found.representative(6)


def test_without_shared_links_only_groups_tell_ranks_apart():
    cluster = {"preset": "dgx_a100", "nodes": 3, "gpus_per_node": 4, "nics_per_node": 1}
    alone, _ = folding(cluster, links=False, pipeline=2, global_batch=12)
    shared, _ = folding(cluster, links=True, pipeline=2, global_batch=12)
    assert not alone.links
    assert len(alone.program.ranks) <= len(shared.program.ranks)


@pytest.mark.parametrize("pace", [{}, {5: 2.0}])
def test_every_rank_is_stood_for_once(pace):
    found, made = folding({"preset": "p4d", "nodes": 4}, pace, tensor=2, pipeline=2)
    everyone = sorted(rank for own in found.program.ranks for rank in own.members)
    assert everyone == list(range(made.layout.ranks))
    for own in found.program.ranks:
        assert {found.representative(rank) for rank in own.members} == {own.rank}


def test_unfolded_every_rank_stands_for_itself():
    found, made = folding({"preset": "dgx_h100", "nodes": 4}, whole=True, tensor=8, pipeline=2)
    assert sizes(found) == [(rank, 1) for rank in range(made.layout.ranks)]


@pytest.mark.parametrize("pace", [{}, {5: 2.0}])
def test_a_folded_link_carries_what_the_real_one_does(pace):
    """How many ranks load a link in a slot: the same counted over all ranks, class by class."""
    cluster = {"preset": "p4d", "nodes": 4}
    found, _ = folding(cluster, pace, tensor=2, pipeline=2)
    everything, _ = folding(cluster, pace, whole=True, tensor=2, pipeline=2)
    users = {}
    for (rank, slot), link in everything.link_of.items():
        assert link.alike == 1
        users.setdefault(link.number, Counter())[slot, found.representative(rank)] += 1
    for (rank, slot), link in everything.link_of.items():
        if (rank, slot) in found.link_of:
            folded = found.link_of[rank, slot]
            assert folded.alike == users[link.number][slot, rank]
            assert folded.together == link.together
            assert found.links[folded.number].bytes_per_s == everything.links[link.number].bytes_per_s


def test_a_million_ranks_are_not_looked_at_one_by_one(monkeypatch):
    from simulator.cluster import Cluster

    asked = []
    place = Cluster.place
    monkeypatch.setattr(Cluster, "place", lambda self, rank: asked.append(rank) or place(self, rank))
    found, _ = folding({"preset": "dgx_h100", "nodes": 2**17}, tensor=8, pipeline=8, global_batch=2**20)
    assert sizes(found) == [(stage * 2**17, 2**17) for stage in range(8)]
    assert len(asked) < 20_000

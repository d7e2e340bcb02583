"""What a DLRM cannot be, said with the numbers and the way out."""

import pytest

from simulator.errors import ScenarioError

DLRM = """
schema_version: 1
name: dlrm
model:
  trunk: {block: none}
  tables:
    - {name: user, rows: 1000, dim: 64, pooling: sum, lookups_per_sample: 1}
    - {name: ad, rows: 500, dim: 64, pooling: sum, lookups_per_sample: 3}
  dense: {bottom: [128, 64], interaction: dot, top: [64, 1]}
cluster: {preset: dgx_a100}
plan: {microbatch: 64, global_batch: 512}
"""
HSTU = """
schema_version: 1
name: hstu
model:
  trunk: {block: hstu, layers: 2, hidden: 64, heads: 4, seq: 128}
  tables: [{name: item, rows: 1000, dim: 64}]
cluster: {preset: dgx_a100}
plan: {microbatch: 8, global_batch: 64}
"""


def test_a_small_dlrm_loads(load):
    model = load(DLRM).model
    assert model.is_dlrm and model.head.kind == "binary" and model.trunk.seq == 1


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["model.dense=null"], ["needs dense.top", "bottom: [512, 256, 128], interaction: dot"]),
        (["model.dense.top=[]"], ["model.dense.top", "needs dense.top"]),
        (["model.head={kind: full_softmax, table: user}"], ["full_softmax over table user", "{kind: binary}"]),
        (["model.head={kind: binary, table: user}"], ["binary over table user", "{kind: binary}"]),
        (["model.dense.interaction=none"], ["leaves the vectors of 2 tables out", "dot, cat or dcn_v2"]),
        (["model.tables=[]"], ["the model has none", "use none"]),
        (["model.tables=[]", "model.dense.interaction=none", "model.dense.bottom=[]"], ["model.dense.bottom", "top"]),
        (["model.tables.1.pooling=none"], ["model.tables.1.pooling", "table ad", "use sum or mean"]),
        (["model.tables.1.dim=32"], ["table ad has vectors of 32 and table user of 64", "cat or dcn_v2"]),
        (["model.dense.bottom=[128, 32]"], ["ends in 32", "have 64", "end dense.bottom in 64"]),
        (["plan.pipeline=2"], ["no layers to deal out", "pipeline is 2", "--set plan.pipeline=1"]),
        (["plan.tensor=2"], ["whole on every rank", "--set plan.tensor=1", "plan.embedding_sharding"]),
        (["plan.context=2"], ["one position a sample", "--set plan.context=1"]),
        (["plan.recompute=full"], ["plan.recompute", "--set plan.recompute=none"]),
        (["plan.bottom_mlp=one_rank", "model.dense.bottom=[]"], ["plan.bottom_mlp", "no bottom MLP", "replicated"]),
        (["plan.bottom_mlp=one_rank", "model.tables=[]", "model.dense.interaction=none"], ["the model has no tables"]),
        (["model.trunk.layers=4"], ["block none has no layers", "leave it out"]),
        (["model.trunk.vocab=1000"], ["block none has no vocab"]),
        (["model.trunk.seq=100"], ["block none has no seq"]),
    ],
)
def test_a_dlrm_is_refused_with_its_numbers(refused, sets, words):
    said = refused(DLRM, *sets)
    for word in words:
        assert word in said


def test_a_bottom_on_one_rank_belongs_to_a_dlrm(refused):
    assert "no bottom MLP; use --set plan.bottom_mlp=replicated" in refused(HSTU, "plan.bottom_mlp=one_rank")


@pytest.mark.parametrize("interaction", ["cat", "dcn_v2"])
def test_vectors_laid_side_by_side_may_differ(load, interaction):
    sets = [f"model.dense.interaction={interaction}", "model.tables.1.dim=32", "model.dense.bottom=[128, 16]"]
    assert load(DLRM, *sets).model.dense.interaction == interaction


def test_one_position_a_sample_may_be_said(load):
    assert load(DLRM, "model.trunk.seq=1") == load(DLRM)


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        (["model.dense={bottom: [128, 64], top: [1]}"], "model.dense.bottom"),
        (["model.dense={interaction: dot, top: [1]}"], "model.dense.interaction"),
    ],
)
def test_parts_of_a_dlrm_beside_a_trunk_are_refused(refused, sets, key):
    said = refused(HSTU, *sets)
    assert key in said and "block hstu" in said and "use block none" in said


def test_the_way_out_of_a_refusal_works(load, refused):
    refused(DLRM, "plan.tensor=2")
    assert load(DLRM, "plan.tensor=1").plan.data == 8
    with pytest.raises(ScenarioError):
        load(DLRM, "model.dense.bottom=[128, 32]")
    load(DLRM, "model.dense.bottom=[128, 64]")

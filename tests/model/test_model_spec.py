"""The model section of a scenario: defaults, and one plain sentence for each mistake."""

import pytest
from pydantic import ValidationError

from simulator.model.spec import ModelSpec, Table, Trunk

GPT = {"block": "gpt", "layers": 2, "hidden": 64, "heads": 4, "seq": 128}
ITEM = {"name": "item", "rows": 100, "dim": 64}


@pytest.mark.parametrize(
    ("block", "ffn", "causal", "tied"),
    [("gpt", 16384, True, True), ("bert", 16384, False, True), ("llama", 11008, True, False),
     ("sasrec", 4096, True, False), ("hstu", 0, True, False)],
)  # fmt: skip
def test_each_block_has_its_own_defaults(block, ffn, causal, tied):
    # LLaMA-7B: 4096 wide, 11008 inside (arXiv 2302.13971)
    trunk = Trunk.model_validate({**GPT, "block": block, "hidden": 4096, "heads": 32})
    assert (trunk.ffn, trunk.causal, trunk.tied_embeddings) == (ffn, causal, tied)
    assert (trunk.kv_heads, trunk.head_dim) == (32, 128)


def test_a_model_is_hashable_and_survives_its_own_dump():
    model = ModelSpec.model_validate({"trunk": GPT, "tables": [{**ITEM, "ids": {"kind": "zipf", "alpha": 1.2}}]})
    assert ModelSpec.model_validate(model.model_dump(mode="json")) == model
    assert hash(ModelSpec.model_validate(model.model_dump())) == hash(model)


def test_what_was_written_can_be_told_from_defaults():
    trunk = Trunk.model_validate({**GPT, "ffn": 100})
    assert trunk.model_dump(exclude_unset=True) == {**GPT, "ffn": 100}


def test_head_follows_the_vocabulary():
    assert ModelSpec.model_validate({"trunk": {**GPT, "vocab": 10}}).head.kind == "lm"
    assert ModelSpec.model_validate({"trunk": GPT}).head.kind == "binary"
    only = ModelSpec.model_validate({"trunk": GPT, "tables": [ITEM], "head": {"kind": "full_softmax"}})
    assert only.head.table == "item"
    scored = ModelSpec.model_validate({"trunk": GPT, "tables": [ITEM], "head": {"kind": "binary", "table": "item"}})
    assert scored.head.negatives == 1


def test_profiled_layers_are_a_list():
    layers = [{"forward_s": 0.1, "backward_s": 0.2}] * 3
    assert Trunk.model_validate({"block": "profiled", "layers": layers}).num_layers == 3


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"trunk": {"block": "gpt"}}, "block gpt needs layers, a whole number of at least 1"),
        ({"trunk": {**GPT, "heads": 5}}, "hidden 64 is not a multiple of heads 5; change one or give head_dim"),
        ({"trunk": {**GPT, "kv_heads": 3}}, "heads 4 is not a multiple of kv_heads 3"),
        ({"trunk": {**GPT, "block": "hstu", "ffn": 8}}, "block hstu has no MLP; ffn must be 0 or left out, not 8"),
        ({"trunk": {**GPT, "block": "sasrec", "kv_heads": 2}}, "block sasrec has no grouped-query attention"),
        ({"trunk": {"block": "profiled", "layers": 3}}, "block profiled needs layers as a list"),
        ({"trunk": {**GPT, "layers": [{"forward_s": 1.0, "backward_s": 1.0}]}}, "block gpt needs layers as a number"),
        ({"trunk": GPT, "head": {"kind": "lm"}}, "a head of kind lm needs trunk.vocab above 0"),
        (
            {"trunk": GPT, "head": {"kind": "full_softmax"}},
            "needs table, one of the model's tables (the model has none)",
        ),
        ({"trunk": GPT, "head": {"kind": "sampled_softmax"}}, "needs negatives, at least 1"),
        ({"trunk": GPT, "head": {"kind": "binary", "negatives": 2}}, "a binary head with negatives needs table"),
        ({"trunk": GPT, "head": {"kind": "full_softmax", "negatives": 2}}, "scores every row"),
        ({"trunk": {**GPT, "vocab": 9}, "head": {"kind": "lm", "table": "item"}}, "kind lm reads trunk.vocab"),
        (
            {"trunk": GPT, "tables": [ITEM], "head": {"kind": "binary", "table": "user"}},
            "head.table user is not one of",
        ),
        ({"trunk": GPT, "tables": [ITEM, ITEM]}, "two tables are called item; give each its own name"),
        ({"tables": [{**ITEM, "pooling": "sum"}]}, "table item pools its ids by sum; say lookups_per_sample"),
        ({"tables": [{**ITEM, "cache_fraction": 0.1}]}, "cache_fraction belongs to placement host"),
        ({"tables": [{**ITEM, "ids": {"kind": "zipf", "alpha": 0}}]}, "greater than 0"),
        ({"trunk": {**GPT, "hiden": 64}}, "Extra inputs are not permitted"),
        ({"trunk": {**GPT, "layers": 2.5}}, "valid integer"),
    ],
)
def test_mistakes_are_named(model, said):
    with pytest.raises(ValidationError) as caught:
        ModelSpec.model_validate(model)
    assert said in str(caught.value)


def test_lookups_default_to_the_length():
    assert Table.model_validate(ITEM).lookups_per_sample is None

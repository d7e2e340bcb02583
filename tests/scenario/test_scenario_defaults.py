"""What a file leaves out, and what a scenario makes of it: the defaults of the contract, written out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_texts import EVERY_KEY, GPT3, HSTU, TINY

from simulator.layout import Layout
from simulator.plans import Compression, Sync
from simulator.scenario.loader import load_scenario, scenario_from
from simulator.scenario.resolve import resolve_precision
from simulator.scenario.schema import Precision


def test_a_scenario_has_every_default_of_the_format(load):
    scenario = load(TINY)
    plan = scenario.plan
    assert (scenario.dtype, scenario.optimizer, scenario.network, scenario.profile) == ("bf16", "adam", "auto", None)
    assert (scenario.steps, scenario.seed, scenario.prices) == (1, 0, None)
    assert (plan.tensor, plan.pipeline, plan.context, plan.context_kind) == (1, 1, 1, "ring")
    assert (plan.sequence_parallel, plan.schedule, plan.virtual_stages, plan.recompute) == (False, "1f1b", 1, "none")
    assert (plan.zero, plan.shard_group, plan.reshard_after_forward, plan.bucket_mib) == (0, None, True, 25)
    assert (plan.aggregation.algorithm, plan.aggregation.order, plan.aggregation.sparse) == (
        "auto",
        "backward",
        "allgather",
    )
    overlap = plan.overlap
    assert (overlap.grad_reduce, overlap.param_gather, overlap.tensor, overlap.pipeline) == (True, True, False, True)
    assert (plan.partition, plan.embedding_sharding) == ("uniform", "auto")
    assert (plan.sync.mode, plan.compression.method, plan.balancer.kind) == ("synchronous", "none", "none")
    assert scenario.data.lengths.kind == "fixed"
    assert (scenario.software.compile, scenario.software.attention) == (False, None)


def test_an_omitted_data_degree_is_what_is_left_of_the_gpus(load):
    scenario = load(HSTU)
    assert scenario.plan.data == 16 and scenario.microbatches == 1
    assert load(HSTU, "plan.tensor=2", "plan.pipeline=4", "plan.global_batch=64").layout == Layout(2, 1, 2, 4)


@pytest.mark.parametrize(
    ("dtype", "parameters", "gradients", "reduce"),
    [("bf16", "bf16", "fp32", "fp32"), ("fp16", "fp16", "fp16", "fp16"), ("fp32", "fp32", "fp32", "fp32"),
     ("tf32", "fp32", "fp32", "fp32")],
)  # fmt: skip
def test_bf16_reduces_in_fp32_and_the_others_in_their_own_dtype(dtype, parameters, gradients, reduce):
    found = resolve_precision(dtype, Precision())
    assert (found.parameters, found.gradients, found.reduce) == (parameters, gradients, reduce)
    assert resolve_precision(dtype, Precision(reduce="bf16")).reduce == "bf16"


def test_keys_beside_a_preset_override_it_and_the_rest_stays(load):
    trunk = load(GPT3, "model.trunk={layers: 48, seq: 1024}").model.trunk
    assert (trunk.num_layers, trunk.seq, trunk.hidden, trunk.heads) == (48, 1024, 12288, 96)
    narrow = load(GPT3, "model.trunk={hidden: 6144}").model.trunk
    assert (narrow.head_dim, narrow.ffn) == (64, 4 * 6144), "what follows from a width follows from the new one"


def test_a_head_beside_a_preset_replaces_the_presets_whole_head(load):
    text = TINY.replace("model:\n  trunk: {block: gpt, layers: 4, hidden: 64, heads: 4, vocab: 1000, seq: 32}",
                        "model: {preset: sasrec_ml20m, head: {kind: full_softmax}}")  # fmt: skip
    head = load(text).model.head
    assert (head.kind, head.table, head.negatives) == ("full_softmax", "item", 0)


def test_variants_take_their_own_keys_and_fill_their_own_defaults():
    assert Compression(method="topk").density == 0.01 and Compression(method="topk").error_feedback is True
    assert Compression(method="none").model_dump() == {"method": "none"}
    assert (
        Sync(mode="ssp").staleness == 4 and Sync(mode="async").staleness is None and Sync(mode="local_sgd").period == 16
    )
    with pytest.raises(ValueError, match="method topk has no use for rank; remove it"):
        Compression(method="topk", rank=2)


@pytest.mark.parametrize("text", [GPT3, HSTU, TINY, EVERY_KEY])
def test_the_canonical_text_is_a_scenario_and_gives_the_same_scenario_again(load, text):
    scenario = load(text)
    again = scenario_from(json.loads(scenario.canonical_json()))
    assert again == scenario and hash(again) == hash(scenario)
    assert again.canonical_json() == scenario.canonical_json()
    assert load(scenario.canonical_json()) == scenario, "JSON is YAML"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "zero": st.sampled_from((0, 1)),
            "bucket_mib": st.floats(0.001, 1e6) | st.integers(1, 1000),
            "recompute": st.sampled_from(("none", "selective", "full")),
            "compression": st.sampled_from(({"method": "none"}, {"method": "bf16"})),
            "overlap": st.fixed_dictionaries({"grad_reduce": st.booleans()}, optional={"pipeline": st.booleans()}),
            "aggregation": st.fixed_dictionaries({"algorithm": st.sampled_from(("auto", "ring", "tree"))}),
        },
    )
)
def test_any_plan_survives_its_canonical_text(keys):
    data = {
        "schema_version": 1, "name": "x", "model": {"preset": "sasrec_ml20m"}, "cluster": {"preset": "dgx_h100"},
        "plan": {"microbatch": 1, "global_batch": 16, **keys},
    }  # fmt: skip
    scenario = scenario_from(data)
    assert scenario_from(json.loads(scenario.canonical_json())) == scenario


def test_what_is_said_in_other_words_is_the_same_scenario(load):
    long = TINY.replace("gpus_per_node: 4", "gpus_per_node: 4, nodes: 1, nics_per_node: 4, nic_gbit_per_s: 800")
    long = long.replace("data: 4", "tensor: 1, zero: 0, sync: {mode: synchronous}, bucket_mib: 25")
    assert load(long).canonical_json() == load(TINY).canonical_json()
    assert load(TINY, "seed=1").canonical_json() != load(TINY).canonical_json()


def test_loading_does_not_change_the_data_it_is_given():
    data = {"schema_version": 1, "name": "x", "model": {"preset": "sasrec_ml20m"}, "cluster": {"preset": "dgx_h100"},
            "plan": {"microbatch": 1, "global_batch": 16}}  # fmt: skip
    copy = json.loads(json.dumps(data))
    scenario_from(data, ["plan.zero=1", "model.tables.0.rows=7"])
    assert data == copy


def test_standard_input_is_a_file_called_dash(monkeypatch):
    import io
    import types

    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(TINY.encode())))
    assert load_scenario("-").name == "tiny"

"""What can never work is refused with the numbers and with a change that does work."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_texts import GPT3, HSTU, TINY

from simulator import registry
from simulator.errors import ScenarioError
from simulator.plans import Overlap, Plan
from simulator.scenario.legality import check_degrees, check_schedule, fitting_data
from simulator.scenario.loader import scenario_from

REPLICAS = ("plan.pipeline=4", "plan.data=2")


@pytest.mark.parametrize(
    ("text", "sets", "words"),
    [
        (GPT3, ["plan.data=3"],
         ["tensor 8 * context 1 * data 3 * pipeline 8 = 192 ranks", "64 GPUs in 8 nodes", "--set plan.data=1"]),
        (GPT3, ["plan.tensor=16"],
         ["= 128 does not divide", "64 GPUs", "--set plan.pipeline=4 or --set plan.tensor=8"]),
        (GPT3, ["plan.global_batch=100", *REPLICAS, "plan.microbatch=3"],
         ["100 is not a multiple of microbatch 3 * data 2 = 6", "96 and 102"]),
        (GPT3, ["plan.global_batch=1", *REPLICAS], ["the nearest that work are 2 and 4"]),
        (GPT3, ["plan.pipeline=7", "cluster.nodes=7"],
         ["96 layers do not divide into pipeline 7", "6 and 8", "--set plan.partition=balanced"]),
        (GPT3, ["plan.partition=[48, 48]"],
         ["[48, 48] names 2 stages", "pipeline 8 * virtual_stages 1 = 8", "--set plan.partition=balanced"]),
        (GPT3, ["plan.partition=[12, 12, 12, 12, 12, 12, 12, 11]"], ["deals out 95 layers, and the model has 96"]),
        (GPT3, ["plan.partition=[12, 12, 0, 24, 12, 12, 12, 12]"], ["leaves stage 2 without a layer"]),
        (GPT3, ["plan.partition=balanced", "model.trunk.layers=7"], ["7 layers cannot fill pipeline 8"]),
        (GPT3, ["plan.schedule=interleaved_1f1b"], ["at least 2 model chunks", "--set plan.virtual_stages=2"]),
        (GPT3, ["plan.virtual_stages=2"], ["belong to interleaved_1f1b", "--set plan.virtual_stages=1"]),
        (GPT3, ["plan.schedule=gpipe", "plan.virtual_stages=2"], ["the schedule is gpipe"]),
        (GPT3, ["plan.schedule=zb_h2", "plan.virtual_stages=2"], ["the schedule is zb_h2"]),
        (GPT3, ["plan.schedule=zb_v", "plan.virtual_stages=3"], ["zb_v holds 2 chunks", "--set plan.virtual_stages=2"]),
        (GPT3, ["plan.schedule=zb_v", "plan.overlap.pipeline=false"],
         ["wait for each other for ever", "--set plan.overlap.pipeline=true"]),
        (GPT3, ["plan.schedule=interleaved_1f1b", "plan.virtual_stages=3", "plan.global_batch=63",
                "plan.overlap.pipeline=false"],
         ["63 microbatches", "56 and 64", "--set plan.overlap.pipeline=true"]),
        (GPT3, ["plan.schedule=interleaved_1f1b", "plan.virtual_stages=5"], ["pipeline 8 * virtual_stages 5 = 40"]),
        (GPT3, ["plan.aggregation.algorithm=in_switch", *REPLICAS],
         ["none lies between the 2 ranks", "2 nodes, 1 on each", "use auto, ring, tree or hierarchical"]),
        (HSTU, ["plan.aggregation.algorithm=in_switch", "plan.zero=1"],
         ["reduce_scatter crosses 2 nodes", "--set plan.zero=0"]),
        (HSTU, ["plan.aggregation.algorithm=in_switch", "plan.compression.method=topk"],
         ["all_gather crosses 2 nodes", "without a sparse compressor"]),
        (HSTU, ["plan.aggregation.algorithm=in_switch", "cluster.gpus_per_node=3", "cluster.nodes=2", "plan.zero=1",
                "plan.shard_group=2", "plan.global_batch=384"],
         ["none lies between the 2 ranks", "2 nodes, 1 on each"]),  # the second pair, though not the first
        (HSTU, ["plan.aggregation.algorithm=halving_doubling", "cluster.nodes=3", "plan.global_batch=768"],
         ["powers of two, and 24 reduce together", "use ring or hierarchical"]),
        (HSTU, ["plan.compression={method: int8, inside: 6}", "plan.zero=1"],
         ["6 does not divide data * context = 16", "--set plan.compression.inside=2"]),
        (HSTU, ["plan.compression={method: int8, inside: 8}"], ["8 is a hop to owners", "--set plan.zero=1"]),
        (HSTU, ["plan.schedule=gpipe", "plan.zero=3", "plan.bucket_mib=null", "plan.global_batch=1024"],
         ["gpipe runs other forward passes", "keeps the last block", "--set plan.schedule=1f1b"]),
        (HSTU, ["plan.aggregation.order=priority", "plan.zero=1"],
         ["an order of all-reduces", "zero 1 reduces to owners", "--set plan.aggregation.order=backward"]),
        (HSTU, ["plan.compression.method=int8", "plan.zero=3", "plan.shard_group=8"],
         ["int8 is not defined where zero shards over 8 of 16", "--set plan.shard_group=null"]),
        (HSTU, ["plan.compression.method=dgc", "plan.zero=2", "plan.global_batch=1024"],
         ["dgc accumulates momentum once a step", "each of 2 microbatches", "--set plan.zero=1"]),
        (GPT3, ["plan.compression={method: bf16}"],
         ["no gradient reduction to compress", "plan.compression.method=none"]),
        (TINY, ["plan.zero=true"], ["true is not a whole number"]),
        (TINY, ["plan.zero=1.0"], ["1.0 is not a whole number"]),
        (TINY, ["schema_version=1.0"], ["1.0 is not a whole number"]),
        (GPT3, ["plan.zero=3", "plan.bucket_mib=25"], ["25 has no meaning with zero 3", "remove bucket_mib"]),
        (GPT3, ["plan.embedding_sharding={item: row_wise}"], ["no table 'item'", "its tables are none"]),
        (GPT3, ["model.trunk.seq=2047"],
         ["splits seq 2047 over tensor 8", "2040 and 2048", "plan.sequence_parallel=false"]),
        (GPT3, ["plan.overlap.tensor=true", "plan.sequence_parallel=false"],
         ["splits the gathers and scatters", "--set plan.sequence_parallel=true"]),
        (GPT3, ["plan.context=8", "plan.pipeline=1", "model.trunk.seq=2056", "plan.sequence_parallel=false"],
         ["seq 2056 does not divide into the 16 equal chunks of context 8 (ring)", "2048 and 2064"]),
        (GPT3, ["plan.context=8", "plan.pipeline=1", "plan.context_kind=all_to_all"],
         ["deals heads 96 out over tensor 8 * context 8 = 64 ranks", "4 and 6", "--set plan.context_kind=ring"]),
        (GPT3, ["model.trunk.ffn=100"], ["8 does not divide ffn 100", "2 and 4"]),
        (GPT3, ["model.trunk.heads=95"], ["hidden 12288 is not a multiple of heads 95"]),
        (GPT3, ["model.trunk.layers=0"], ["needs layers, a whole number of at least 1"]),
        (HSTU, ["plan.tensor=8", "plan.global_batch=64"], ["8 does not divide heads 4", "2 and 4"]),
        (HSTU, ["plan.embedding_sharding={itm: row_wise}"], ["no table 'itm'", "item, user"]),
        (HSTU, ["plan.embedding_dedup=true", "model.tables=[{name: bag, rows: 100, dim: 8, pooling: sum, "
                "lookups_per_sample: 4}]"], ["every table pools", "plan.embedding_dedup=false"]),
        (HSTU, ["model.tables=[{name: bag, rows: 100, dim: 8, pooling: sum, lookups_per_sample: 4}]",
                "model.head={kind: sampled_softmax, negatives: 3}"],
         ["bag pools the ids of a sample by sum", "scores its rows one by one", "use pooling none"]),
        (HSTU, ["model.head={kind: full_softmax, table: item}", "model.tables.0.lookups_per_sample=7"],
         ["7 ids a sample of a table that is the output layer too", "use head.tied false"]),
        (HSTU, ["model.head={kind: full_softmax, table: item}", "model.trunk.vocab=50"],
         ["ties the output rows to item", "a vocabulary of 50", "model.head.tied=false", "model.trunk.vocab=0"]),
        (HSTU, ["plan.embedding_fused_optimizer=true", "plan.microbatch=16"],
         ["2 microbatches", "plan.embedding_fused_optimizer=false", "plan.microbatch=32"]),
        (TINY, ["cluster.nics_per_node=3"], ["3 NICs cannot be dealt evenly to 4 GPUs"]),
        (TINY, ["cluster.nodes=4194304", "plan.data=33554432", "plan.global_batch=33554432", "cluster.gpus_per_node=8"],
         ["33554432 GPUs are more than the 16,777,216 of one simulation"]),
        (TINY, ["cluster.nodes=1000000000000"], ["GPUs are more than the 16,777,216", "use fewer nodes"]),
        (TINY, ["model.trunk.layers=10001"], ["10001 layers are more than the 10,000 of one simulation"]),
        (TINY, ["plan.global_batch=9007199254740992"], ["2251799813685248 forward passes", "raise microbatch or data"]),
        (TINY, ["plan.shard_group=3"], ["3 does not divide data * context = 4", "--set plan.shard_group=null"]),
        (TINY, ["plan.shard_group=1", "plan.zero=3"],
         ["1 shards nothing, and zero is 3", "--set plan.zero=0", "2 to 4"]),
        (TINY, ["plan.zero=2", "plan.pipeline=2", "plan.data=2"],
         ["DeepSpeed, refuses with a pipeline (pipeline 2)", "--set plan.zero=1", "--set plan.zero=3"]),
        (TINY, ["plan.zero=3", "plan.schedule=zb_h1"], ["zb_h1 splits the backward pass", "--set plan.schedule=1f1b"]),
        (TINY, ["profile={h100_sxm5_80gb: x.json}"], ["no device 'h100_sxm5_80gb'", "its device is a100_sxm4_80gb"]),
    ],
)  # fmt: skip
def test_what_cannot_work_says_the_numbers_and_the_way_out(refused, text, sets, words):
    said = refused(text, *sets)
    for word in words:
        assert word in said, said


def test_a_llama_with_8_kv_heads_is_refused_at_tensor_16(refused):
    text = GPT3.replace("gpt3_175b", "llama3_70b")
    assert "16 does not divide kv_heads 8" in refused(text, "plan.tensor=16", "plan.pipeline=4")


@pytest.mark.parametrize(
    "sets",
    [
        ["plan.tensor=16", "plan.pipeline=4"],  # a tensor group may span nodes
        ["plan.overlap.tensor=true", "plan.tensor=1", "plan.pipeline=16", "cluster.nodes=2"],
        ["plan.tensor=1", "plan.pipeline=16", "cluster.nodes=2", "plan.sequence_parallel=true"],
        ["plan.zero=3"],  # one replica: nothing to shard
        ["plan.zero=2"],
        ["plan.aggregation.algorithm=in_switch"],
        ["plan.pipeline=1", "cluster.nodes=1", "plan.schedule=interleaved_1f1b"],
        ["plan.reshard_after_forward=false"],
        ["plan.shard_group=1"],
        ["plan.zero=3", "plan.schedule=zb_h1"],
        ["plan.embedding_sharding=table_wise"],
        ["plan.context_kind=all_to_all"],
        ["model.trunk.vocab=51201"],  # padded, as Megatron-LM does
    ],
)  # fmt: skip
def test_an_option_with_nothing_to_act_on_is_accepted(load, sets):
    load(GPT3, "plan.data=1", *sets)


degrees = st.integers(1, 64)


@given(degrees, degrees, st.none() | degrees, st.sampled_from((1, 2, 3, 8, 12)))
def test_the_set_line_of_a_refusal_does_fit(tensor, pipeline, data, nodes):
    def degrees_fit(plan, cluster):
        if plan.data is None:
            fitting_data(plan, cluster)
        else:
            check_degrees(plan, cluster)

    plan = Plan(tensor=tensor, pipeline=pipeline, data=data, microbatch=1, global_batch=1)
    cluster = registry.topology("dgx_a100", nodes=nodes)
    try:
        degrees_fit(plan, cluster)
    except ScenarioError as error:
        offers = error.message.split("; use ")[1].split(" or ")
    else:
        return
    for offer in offers:
        changed = dict(re.findall(r"--set ([\w.]+)=(\d+)", offer))
        new_nodes = int(changed.pop("cluster.nodes", nodes))
        update = {key.removeprefix("plan."): int(value) for key, value in changed.items()}
        degrees_fit(plan.model_copy(update=update), registry.topology("dgx_a100", nodes=new_nodes))


@given(st.integers(1, 5000), st.integers(1, 16), st.sampled_from((1, 2, 4, 8)))
def test_the_batches_that_a_refusal_names_do_work(global_batch, microbatch, data):
    def load_with(batch):
        return scenario_from({
            "schema_version": 1, "name": "x", "model": {"preset": "sasrec_ml20m"},
            "cluster": {"preset": "dgx_h100", "gpus_per_node": data},
            "plan": {"microbatch": microbatch, "global_batch": batch},
        })  # fmt: skip

    try:
        scenario = load_with(global_batch)
        assert scenario.microbatches * microbatch * data == global_batch
    except ScenarioError as error:
        low, high = map(int, re.search(r"the nearest that work are (\d+) and (\d+)", str(error)).groups())
        assert low < high
        load_with(low), load_with(high)


def test_interleaving_without_overlap_needs_microbatches_in_groups_of_the_pipeline():
    plan = Plan(pipeline=4, data=1, schedule="interleaved_1f1b", virtual_stages=2, microbatch=2, global_batch=16,
                overlap={"pipeline": False})  # fmt: skip
    check_schedule(plan)
    with pytest.raises(ScenarioError, match="nearest global_batch that work are 16 and 24"):
        check_schedule(plan.model_copy(update={"global_batch": 18}))
    check_schedule(plan.model_copy(update={"global_batch": 18, "overlap": Overlap()}))

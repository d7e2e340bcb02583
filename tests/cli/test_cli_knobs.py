"""Every knob that this version takes moves the answer the way it must; a knob that changes nothing is a defect."""

import json

import pytest

from simulator.scenario.loader import scenario_from
from simulator.simulation import simulate

GPT = {
    "schema_version": 1,
    "name": "gpt",
    "model": {"trunk": {"block": "gpt", "layers": 8, "hidden": 4096, "heads": 32, "vocab": 51200, "seq": 2048}},
    "cluster": {"preset": "dgx_a100", "nodes": 2},
    "plan": {"tensor": 4, "pipeline": 2, "data": 2, "microbatch": 1, "global_batch": 16},
}
HSTU = {
    "schema_version": 1,
    "name": "hstu",
    "model": {"preset": "hstu_nv_ranking", "trunk": {"layers": 2}},
    "cluster": {"preset": "dgx_h100", "nodes": 2},
    "plan": {"microbatch": 8, "global_batch": 128},
}


def answer(base, *sets):
    result = simulate(scenario_from(json.loads(json.dumps(base)), sets)).to_dict()
    return result["step_time_s"], result["memory_bytes"]["peak_max"], result["breakdown_s"]


def step(base, *sets):
    return answer(base, *sets)[0]


def memory(base, *sets):
    return answer(base, *sets)[1]


@pytest.mark.parametrize(
    ("base", "slower"),
    [
        (GPT, ["plan.overlap.grad_reduce=false"]),
        (GPT, ["plan.overlap.pipeline=false"]),
        (GPT, ["plan.recompute=selective", "software.attention=unfused"]),
        (GPT, ["plan.recompute=full"]),
        (GPT, ["plan.global_batch=32"]),
        (GPT, ["cluster.nic_gbit_per_s=100"]),
        (GPT, ["cluster.device=a100_sxm4_40gb"]),
        (GPT, ["model.trunk.layers=16"]),
        (GPT, ["model.trunk.seq=4096"]),
        (GPT, ["model.trunk.vocab=102400"]),
        (GPT, ["dtype=fp32"]),
        (GPT, ["plan.bucket_mib=10000"]),  # one bucket: nothing left to overlap with
        (GPT, ["plan.zero=1", "plan.overlap.param_gather=false", "cluster.nic_gbit_per_s=50"]),
        (HSTU, ["model.tables.0.cache_fraction=0.001"]),
        (HSTU, ["model.tables.0.ids={kind: uniform}"]),
        (HSTU, ["model.tables.0.dim=512"]),
        (HSTU, ["plan.embedding_sharding=table_wise"]),
        (HSTU, ["cluster.nic_gbit_per_s=50"]),
        (HSTU, ["model.trunk.seq=8192"]),
    ],
)
def test_what_must_cost_time_does(base, slower):
    assert step(base, *slower) > step(base)


@pytest.mark.parametrize(
    ("base", "smaller"),
    [
        (GPT, ["plan.recompute=full"]),
        (GPT, ["plan.zero=1"]),
        (GPT, ["plan.sequence_parallel=true"]),
        (GPT, ["optimizer=sgd"]),
        (GPT, ["precision.gradients=bf16"]),
        (GPT, ["plan.tensor=8", "plan.data=1"]),
        (GPT, ["plan.pipeline=4", "plan.data=1"]),
        (HSTU, ["plan.microbatch=4"]),
        (HSTU, ["model.tables.0.cache_fraction=0.001"]),
        (HSTU, ["model.tables.0.rows=1000000"]),
    ],
)
def test_what_must_save_memory_does(base, smaller):
    assert memory(base, *smaller) < memory(base)


@pytest.mark.parametrize("method", ["bf16", "topk", "powersgd"])
def test_compression_shows_its_own_cost_and_sends_less(method):
    slow = ["cluster.nic_gbit_per_s=10", "plan.pipeline=1", "plan.data=4"]
    _, _, plain = answer(GPT, *slow)
    _, _, compressed = answer(GPT, *slow, f"plan.compression.method={method}")
    assert plain["compression"] == 0 < compressed["compression"]
    assert compressed["data_comm"] < plain["data_comm"]


def test_fewer_kept_gradients_are_sent_faster_on_a_slow_network():
    slow = ["cluster.nic_gbit_per_s=10", "plan.pipeline=1", "plan.data=4", "plan.compression.method=topk"]
    assert step(GPT, *slow, "plan.compression.density=0.001") < step(GPT, *slow, "plan.compression.density=0.05")
    slow[-1] = "plan.compression.method=powersgd"
    assert step(GPT, *slow, "plan.compression.rank=1") < step(GPT, *slow, "plan.compression.rank=64")


def test_gradients_sent_in_half_the_bytes_are_there_sooner():
    slow = ["cluster.nic_gbit_per_s=10", "plan.pipeline=1", "plan.data=4"]
    assert step(GPT, *slow, "precision.reduce=bf16") < step(GPT, *slow)


def test_gpipe_takes_as_long_as_1f1b_and_holds_more():
    assert memory(GPT, "plan.schedule=gpipe") > memory(GPT)
    assert step(GPT, "plan.schedule=gpipe") == pytest.approx(step(GPT), rel=0.02)


def test_interleaving_shrinks_the_bubble():
    _, _, plain = answer(GPT)
    _, _, interleaved = answer(GPT, "plan.schedule=interleaved_1f1b", "plan.virtual_stages=2")
    assert interleaved["bubble"] < plain["bubble"]


@pytest.mark.parametrize("sets", [["steps=5"], ["plan.context_kind=all_to_all"], ["plan.reshard_after_forward=false"]])
def test_what_has_nothing_to_act_on_changes_nothing(sets):
    assert answer(GPT, *sets) == answer(GPT)

"""What a truthful simulator must show of gradient compression, whatever the profile: laws of the literature.

Sources: Agarwal et al., MLSys 2022 (1, 4), BytePS's gradient compression (2), Li and Hoefler, PPoPP 2022 (3).
"""

from __future__ import annotations

from functools import cache

import pytest

from simulator import scenario_from, simulate
from simulator.costs.pricer import Pricer
from simulator.policies.compression import make_compressor
from simulator.policies.compression_settings import Compression
from simulator.registry import load_profile_for

GATHERED, SUMMED = ("topk", "onebit", "int8", "dgc"), ("randomk", "powersgd", "bf16")
NARROW = ("int8", "onebit", "topk", "topk_sampled", "randomk", "dgc", "powersgd")
"""All that send a quarter or less."""

GPT = {"trunk": {"block": "gpt", "layers": 12, "hidden": 768, "heads": 12, "vocab": 50257, "seq": 512}}
SMALL = {"trunk": {"block": "gpt", "layers": 12, "hidden": 64, "heads": 2, "vocab": 1000, "seq": 512}}
HSTU = {"trunk": {"block": "hstu", "layers": 8, "hidden": 512, "heads": 4, "seq": 512},
        "tables": [{"name": name, "rows": 10**7, "dim": 256, "ids": {"kind": "zipf", "alpha": 1.05}}
                   for name in ("item", "action", "context", "category")],
        "head": {"kind": "binary"}}  # fmt: skip


@cache
def step(method: str, preset="dgx_a100", nodes=2, gbit=None, samples=4, model="gpt", **keys):
    """One step of GPT-2 small, or of a ranking HSTU of 10M dense parameters beside its tables."""
    bucket, algorithm, sparse = (
        keys.pop(key, default)
        for key, default in (("bucket_mib", 25.0), ("algorithm", "auto"), ("sparse", "allgather"))
    )
    return simulate(scenario_from({
        "schema_version": 1, "name": "law", "model": {"gpt": GPT, "hstu": HSTU, "small": SMALL}[model],
        "cluster": {"preset": preset, "nodes": nodes, **({"nic_gbit_per_s": gbit} if gbit else {})},
        "plan": {"microbatch": samples, "global_batch": samples * 8 * nodes, "bucket_mib": bucket,
                 "compression": {"method": method, **keys},
                 "aggregation": {"algorithm": algorithm, "sparse": sparse}},
    }))  # fmt: skip


def seconds(*args, **keys) -> float:
    return step(*args, **keys).step_time_s


def sent(method: str, **keys) -> int:
    """Bytes that one rank's port carries in each direction, by the rings of its collectives."""
    result = step(method, **keys)
    ranks = result.scenario.layout.ranks
    factor = {"all_reduce": 2 * (ranks - 1) / ranks, "all_gather": ranks - 1, "all_to_all": (ranks - 1) / ranks}
    total = 0.0
    for launch in result.program.ranks[0].launches:
        action = launch.action
        if action.verb == "reduce":
            compressor = make_compressor(Compression(method=action.method))
            total += factor[compressor.collectives[action.phase]] * action.size_bytes
    return total


@pytest.mark.parametrize("method", NARROW)
@pytest.mark.parametrize("cluster", [("dgx_a100", 1), ("dgx_h100", 1), ("dgx_a100", 4), ("dgx_h100", 4)], ids=str)
def test_law_1_on_fast_fabrics_compressors_tie_or_lose(method, cluster):
    preset, nodes = cluster
    assert seconds(method, preset, nodes) > 0.99 * seconds("none", preset, nodes)


@pytest.mark.parametrize("method", ["bf16", "topk", "randomk", "powersgd"])
@pytest.mark.parametrize("gbit", [0.1, 1.0, 10.0])
def test_law_2_on_slow_links_a_large_gradient_is_worth_compressing_far_below_the_ratio(method, gbit):
    ratio = sent("none", gbit=gbit) / sent(method, gbit=gbit)
    gain = seconds("none", gbit=gbit) / seconds(method, gbit=gbit)
    assert 1.0 < gain < ratio
    if gbit == 10.0 and ratio > 10:
        assert gain < ratio / 3  # what is left is computation, encoding, decoding


@pytest.mark.parametrize("method", GATHERED)
def test_law_3_gathered_payloads_cost_linearly_in_the_ranks(method):
    times = [step(method, nodes=nodes, gbit=1.0).breakdown["data_comm"] for nodes in (2, 4, 8)]
    assert times[1] / times[0] == pytest.approx(31 / 15, rel=0.05)
    assert times[2] / times[1] == pytest.approx(63 / 31, rel=0.05)


@pytest.mark.parametrize("method", SUMMED)
def test_law_3_payloads_that_are_summed_on_the_way_do_not(method):
    """By rings; two trees would send half as much between two nodes, and only there."""
    times = [step(method, nodes=nodes, gbit=1.0, algorithm="ring").breakdown["data_comm"] for nodes in (2, 4, 8)]
    assert times[2] < 1.25 * times[0]


def test_law_3_a_balanced_exchange_makes_gathered_ones_flat_too():
    """4 k (P-1)/P numbers instead of 2 k (P-1): within Ok-Topk's 6 k (P-1)/P."""
    flat, grows = (
        [step("topk", nodes=nodes, gbit=1.0, sparse=sparse).breakdown["data_comm"] for nodes in (4, 16)]
        for sparse in ("balanced", "allgather")
    )
    assert flat[1] / flat[0] < 1.4
    assert grows[1] / grows[0] == pytest.approx(127 / 31, rel=0.05)


@pytest.mark.parametrize("method", ["topk", "powersgd", "int8", "onebit"])
def test_law_4_encoding_takes_the_device_from_the_backward_pass(method):
    """On NVLink messages hide, so that a step grows by just what encoding and decoding take on the compute stream."""
    plain, compressed = step("none", nodes=1), step(method, nodes=1)
    longer = compressed.timeline.step_ns - plain.timeline.step_ns
    assert compressed.breakdown["compression"] > 0
    assert longer > 0.6 * compressed.breakdown["compression"]
    assert compressed.breakdown["compute"] >= 0.97 * plain.breakdown["compute"]


def test_law_4_many_small_encodings_are_bound_by_their_launches():
    """The same entries in one bucket or in one for each unit: what grows is the host's launches, not the bytes."""
    few, many = (step("topk", nodes=1, bucket_mib=size, model="small") for size in (1000.0, 1e-6))
    assert sent("topk", nodes=1, bucket_mib=1e-6, model="small") < 1.1 * sent(
        "topk", nodes=1, bucket_mib=1000.0, model="small"
    )
    own = [result.breakdown["compression"] + result.breakdown["other"] for result in (few, many)]
    plain = [step("none", nodes=1, bucket_mib=size, model="small").breakdown["other"] for size in (1000.0, 1e-6)]
    assert own[1] - plain[1] > 4 * (own[0] - plain[0])


def test_law_4_selection_is_the_dear_part_of_top_k():
    scenario = step("topk").scenario
    pricer = Pricer(load_profile_for(scenario), scenario.cluster)
    shapes = ((4096, 4096),)

    def cost(method: str) -> dict[str, int]:
        (phase,) = make_compressor(Compression(method=method)).phases(shapes, "fp32")
        found: dict[str, int] = {}
        for kernel in phase.encode:
            found[kernel.op] = found.get(kernel.op, 0) + pricer.kernel(kernel).duration_ns
        return found

    exact, sampled = cost("topk"), cost("topk_sampled")
    assert max(exact, key=exact.__getitem__) == "topk"
    assert sampled["topk"] < 0.1 * exact["topk"]
    assert sum(sampled.values()) < sum(exact.values())


@pytest.mark.parametrize("method", ["bf16", "topk", "randomk", "powersgd"])
def test_law_5_gain_grows_with_gradient_bytes_for_each_unit_of_compute(method):
    """The same gradient behind ever fewer samples."""
    gains = [seconds("none", gbit=100.0, samples=n) / seconds(method, gbit=100.0, samples=n) for n in (32, 16, 8, 4)]
    assert gains == sorted(gains) and gains[-1] > 1.05 * gains[0]


@pytest.mark.parametrize("method", ["bf16", "topk", "randomk", "powersgd"])
def test_law_7_where_dense_gradients_are_small_the_traffic_is_the_tables(method):
    """A ranking HSTU on links of 100 Gb/s a node: embedding vectors take more than gradients, and stay."""
    plain, compressed = (step(one, gbit=100.0, samples=32, model="hstu") for one in ("none", method))
    assert plain.breakdown["embedding_comm"] > 5 * plain.breakdown["data_comm"]
    assert plain.timeline.step_ns / compressed.timeline.step_ns < 1.05
    assert compressed.breakdown["embedding_comm"] > 0.9 * plain.breakdown["embedding_comm"]


@pytest.mark.parametrize("method", ["bf16", "topk", "randomk", "powersgd"])
def test_law_7_an_adapters_gradient_hides_whatever_is_done_to_it(method):
    """LoRA of rank 8 beside LLaMA-7B's q and v: 4.2 million parameters, 16.8 MB in fp32, behind seconds of backward."""
    scenarios = [
        scenario_from({
            "schema_version": 1, "name": "tallrec", "model": {"preset": "tallrec_llama7b_lora"},
            "cluster": {"preset": "dgx_a100", "nodes": 2, "nic_gbit_per_s": 25},
            "plan": {"microbatch": 1, "global_batch": 64, "compression": {"method": one}},
        })
        for one in ("none", method)
    ]  # fmt: skip
    plain, compressed = map(simulate, scenarios)
    assert sum(bucket.numel for bucket in plain.program.ranks[0].buckets) * 4 == pytest.approx(16.8e6, rel=0.01)
    assert plain.breakdown["data_comm"] < 0.05 * plain.timeline.step_ns
    assert abs(plain.timeline.step_ns / compressed.timeline.step_ns - 1) < 0.05

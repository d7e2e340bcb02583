"""Whole answers against what physics and published formulas say: bounds that nothing beats, and rates of growth."""

from __future__ import annotations

import pytest
from road_scenarios import answer, step_ns

LAYERS, HIDDEN, HEADS, VOCAB, SEQ = 4, 1024, 16, 32000, 512
PARAMETERS = VOCAB * HIDDEN + SEQ * HIDDEN + LAYERS * (12 * HIDDEN**2 + 13 * HIDDEN) + 2 * HIDDEN
A100_BYTES_PER_S, NVLINK_BYTES_PER_S, HDR_BYTES_PER_S = 2039e9, 300e9, 25e9


def kind(result, name):
    return dict(result.memory.tightest.by_kind)[name]


def test_adam_at_bf16_takes_18_bytes_a_parameter():
    """Korthikanti et al. (arXiv 2205.05198): 2 + 4 + 12."""
    result = answer("gpt", "plan.tensor=1")
    assert (kind(result, "parameters"), kind(result, "gradients"), kind(result, "optimizer")) == (
        2 * PARAMETERS, 4 * PARAMETERS, 12 * PARAMETERS,
    )  # fmt: skip


def test_zero_1_leaves_each_of_8_replicas_an_eighth_of_the_12_bytes():
    result = answer("gpt", "plan.tensor=1", "plan.zero=1")
    assert kind(result, "optimizer") == 12 * -(-PARAMETERS // 8)


TIED_BLOCK = VOCAB * HIDDEN + SEQ * HIDDEN
LAYER = 12 * HIDDEN**2 + 13 * HIDDEN


def test_zero_2_holds_an_eighth_of_the_gradients_and_what_one_backward_is_at():
    """With one bucket: all gradients in bf16 while the backward pass runs, and the shards of the sum in fp32 from the
    first microbatch on."""
    whole = answer("gpt", "plan.tensor=1", "plan.zero=2", "plan.bucket_mib=10000", "plan.global_batch=16")
    assert kind(whole, "gradients") == 2 * PARAMETERS + 4 * -(-PARAMETERS // 8)
    assert kind(whole, "parameters") == 2 * PARAMETERS
    single = answer("gpt", "plan.tensor=1", "plan.zero=2", "plan.bucket_mib=10000", "plan.global_batch=8")
    assert kind(single, "gradients") == 2 * PARAMETERS, "no sum before the only backward pass"


@pytest.mark.parametrize("layers", [4, 16])
def test_zero_3_holds_an_eighth_and_the_blocks_that_are_gathered(layers):
    """Beside 1/8 of all: the shared embedding, and of the layers the one that computes, however many there are.

    Their gradients: the embedding's and one layer's; messages: a gather that runs ahead, two reductions with their
    shares of the sum."""
    result = answer("gpt", "plan.tensor=1", "plan.zero=3", f"model.trunk.layers={layers}", "plan.recompute=full",
                    "plan.global_batch=16", "model.trunk.seq=64")  # fmt: skip
    count = PARAMETERS + (layers - LAYERS) * LAYER - (SEQ - 64) * HIDDEN
    embedding = TIED_BLOCK - (SEQ - 64) * HIDDEN
    gathered = kind(result, "parameters") - 2 * -(-count // 8)
    assert 2 * embedding <= gathered <= 2 * (embedding + LAYER + 2 * HIDDEN)
    assert kind(result, "optimizer") == 12 * -(-count // 8)
    whole_gradients = kind(result, "gradients") - 4 * -(-count // 8)
    assert whole_gradients <= 2 * (embedding + LAYER) + 64
    assert kind(result, "buffers") <= 2 * LAYER + 2 * 4 * 9 * (embedding + 8) // 8


@pytest.mark.parametrize("sets, per_layer", [
    (("plan.tensor=1",), SEQ * HIDDEN * (34 + 5 * HEADS * SEQ / HIDDEN)),
    (("plan.tensor=4",), SEQ * HIDDEN * (10 + 24 / 4 + 5 * HEADS * SEQ / (HIDDEN * 4))),
    (("plan.tensor=4", "plan.sequence_parallel=true"), SEQ * HIDDEN / 4 * (34 + 5 * HEADS * SEQ / HIDDEN)),
    (("plan.tensor=4", "plan.sequence_parallel=true", "plan.recompute=selective"), SEQ * HIDDEN / 4 * 34),
    (("plan.tensor=1", "plan.microbatch=2"), 2 * SEQ * HIDDEN * (34 + 5 * HEADS * SEQ / HIDDEN)),
])  # fmt: skip
def test_a_layer_keeps_the_published_activations(sets, per_layer):
    """Equations 1, 2, 4 and 6 of arXiv 2205.05198; the difference of two depths leaves embedding and head out.

    Under selective recomputation one layer's core is back while its backward runs, whatever the depth.
    """
    deep, shallow = (kind(answer("gpt", f"model.trunk.layers={n}", *sets), "activations") for n in (8, 4))
    assert deep - shallow == 4 * per_layer


def test_full_recomputation_keeps_a_layers_input():
    """2 s b h a layer (arXiv 2205.05198, table 2)."""
    deep, shallow = (
        kind(answer("gpt", "plan.recompute=full", f"model.trunk.layers={n}"), "activations") for n in (8, 4)
    )
    assert deep - shallow == 4 * 2 * SEQ * HIDDEN


def activations_of_the_first_stage(schedule, microbatches):
    result = answer(
        "gpt", "plan.tensor=1", "plan.pipeline=4", "plan.data=2", f"plan.schedule={schedule}",
        f"plan.global_batch={2 * microbatches}",
    )  # fmt: skip
    return dict(result.memory.per_rank[0].by_kind)["activations"]


def test_the_first_stage_keeps_the_microbatches_of_its_schedule_alive():
    """GPipe: all of them; 1F1B: as many as there are stages (Narayanan et al. 2021, section 2.2)."""
    gpipe = {count: activations_of_the_first_stage("gpipe", count) for count in (1, 2, 4, 8)}
    each = gpipe[2] - gpipe[1]
    assert each > 0 and gpipe[8] - gpipe[4] == 4 * each == 2 * (gpipe[4] - gpipe[2])
    for count, alive in ((1, 1), (2, 2), (4, 4), (8, 4)):
        assert activations_of_the_first_stage("1f1b", count) == gpipe[alive]


@pytest.mark.parametrize("base", ["gpt", "llama", "hstu", "bert", "single"])
def test_nobody_computes_faster_than_the_chip(base):
    result = answer(base)
    device = result.scenario.cluster.node_type.device
    bound_s = result.flops.hardware / result.flops.ranks / device.peak(result.scenario.dtype)
    compute_ns = result.breakdown["compute"] + result.breakdown["recompute"]
    assert compute_ns > bound_s * 1e9


def test_the_update_is_no_faster_than_memory():
    """Adam reads gradient, parameter and two moments in fp32, and writes three: 28 bytes a parameter, and more."""
    result = answer("gpt", "plan.tensor=1", "cluster.gpus_per_node=1")
    assert result.breakdown["optimizer"] > 28 * PARAMETERS / A100_BYTES_PER_S * 1e9


@pytest.mark.parametrize("nodes, gpus, rate", [(1, 8, NVLINK_BYTES_PER_S), (2, 8, 8 * HDR_BYTES_PER_S),
                                               (4, 1, HDR_BYTES_PER_S), (2, 4, 4 * HDR_BYTES_PER_S)])  # fmt: skip
def test_a_gradient_reduction_is_no_faster_than_its_narrowest_link(nodes, gpus, rate):
    """An all-reduce of S bytes moves at least 2 (n-1)/n S through every member, at least S (n-1)/n * 2 of a node's."""
    members = nodes * gpus
    result = answer(
        "gpt", "plan.tensor=1", f"cluster.nodes={nodes}", f"cluster.gpus_per_node={gpus}", "plan.microbatch=2",
        f"plan.global_batch={2 * members}", "plan.overlap.grad_reduce=false",
    )  # fmt: skip
    parts = nodes if nodes > 1 else members
    bound_s = 2 * (parts - 1) / parts * 4 * PARAMETERS / rate
    assert bound_s < result.breakdown["data_comm"] / 1e9 < 4 * bound_s


def test_the_members_of_a_node_share_its_nics():
    """Eight tensor groups' reductions cross at once: each has an eighth of the node, and all take as long as one of
    eight times the bytes."""
    sets = ("cluster.nodes=2", "plan.tensor=8", "plan.global_batch=2", "plan.overlap.grad_reduce=false")
    wide = answer("gpt", *sets).breakdown["data_comm"]
    narrow = answer("gpt", *sets, "cluster.nic_gbit_per_s=200").breakdown["data_comm"]
    assert 4 < narrow / wide < 9


@pytest.mark.parametrize("stages, microbatches", [(2, 4), (4, 4), (4, 16), (8, 8)])
def test_the_bubble_of_equal_stages_is_p_minus_1_of_m_plus_p_minus_1(stages, microbatches):
    """Layers that dwarf embedding and head, transfers hidden: (p-1)/(m+p-1) of the passes (arXiv 2104.04473)."""
    result = answer(
        "gpt", "model.trunk.layers=16", "model.trunk.hidden=4096", "model.trunk.heads=32", "model.trunk.vocab=128",
        "cluster.gpus_per_node=8", "plan.tensor=1", f"plan.pipeline={stages}", f"plan.data={8 // stages}",
        f"plan.global_batch={microbatches * 8 // stages}",
    )  # fmt: skip
    found = result.breakdown
    passes = result.timeline.step_ns - found["optimizer"] - found["data_comm"]
    idle = found["bubble"] + found["pipeline_comm"]
    assert idle / passes == pytest.approx((stages - 1) / (microbatches + stages - 1), rel=0.1)


@pytest.mark.parametrize("nodes", [2, 4, 8])
def test_more_replicas_never_scale_better_than_linearly(nodes):
    one = answer("gpt", "plan.tensor=8", "plan.global_batch=4").to_dict()["samples_per_s"]
    many = answer("gpt", "plan.tensor=8", f"cluster.nodes={nodes}", f"plan.global_batch={4 * nodes}").to_dict()
    assert one < many["samples_per_s"] <= nodes * one


def data_comm(nodes, method):
    """Exposed reduction of one bucket between single-GPU nodes on slow links, ns."""
    result = answer(
        "gpt", "plan.tensor=1", "cluster.gpus_per_node=1", f"cluster.nodes={nodes}", "cluster.nic_gbit_per_s=1",
        f"plan.global_batch={nodes}", "plan.overlap.grad_reduce=false", f"plan.compression={method}",
    )  # fmt: skip
    return result.breakdown["data_comm"]


def test_top_k_costs_linearly_in_workers_and_powersgd_does_not():
    """All-gather of P payloads, against all-reduces of below twice the message, whatever P (and a hop for each)."""
    topk = "{method: topk, density: 0.01}"
    assert data_comm(17, topk) / data_comm(2, topk) == pytest.approx(16, rel=0.1)
    low_rank = "{method: powersgd, rank: 4}"
    assert data_comm(17, low_rank) / data_comm(2, low_rank) < 2.5


def test_compression_wins_far_less_than_its_ratio():
    """Only what was exposed can be won, and encoding costs: 1 % of the entries is a ratio of 50."""
    sets = ("plan.tensor=8", "cluster.nodes=2", "cluster.nic_gbit_per_s=10", "plan.data=2")
    gain = step_ns("gpt", *sets) / step_ns("gpt", *sets, "plan.compression={method: topk, density: 0.01}")
    assert 1 < gain < 25


@pytest.mark.parametrize("change", ["model.tables.0.rows=100000000", "model.tables.0.ids.alpha=1.5",
                                    "model.tables.0.dtype=fp16", "model.tables.0.optimizer=adam"])  # fmt: skip
def test_lookups_are_no_flops(change):
    assert answer("hstu", change).flops == answer("hstu").flops


def test_a_table_on_the_host_is_read_at_the_speed_of_the_host_link():
    """8 samples of 1024 ids, all of their rows on the host: 512 bytes each over PCIe Gen5."""
    slow = answer("hstu", "model.tables.0.placement=host")
    bound_s = 8 * 1024 * 128 * 4 / 64e9
    lookup = slow.timeline.to_frame().query("action == 'lookup 0F0'")
    assert (lookup["end_ns"] - lookup["start_ns"]).max() > bound_s * 1e9

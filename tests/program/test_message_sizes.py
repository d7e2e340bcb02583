"""Bytes of every message, from closed forms."""

import pytest
from road_scenarios import scenario

from simulator.graph.steps import StepSource
from simulator.layout import Layout
from simulator.model import blocks
from simulator.model.work import Collective
from simulator.program.actions import Action
from simulator.program.cuts import cut_of
from simulator.program.data_parallel import make_buckets
from simulator.program.lowering import lower
from simulator.program.parameters import local_numel
from simulator.program.program import Chunk, Launch
from simulator.program.transfers import add_transfers

LAYERS, HIDDEN, VOCAB, SEQ = 4, 1024, 32000, 512
GPT_PARAMETERS = VOCAB * HIDDEN + SEQ * HIDDEN + LAYERS * (12 * HIDDEN**2 + 13 * HIDDEN) + 2 * HIDDEN
"""Token and position embedding; per layer 4h^2 + 8h^2 weights, 9h biases, 4h norms; the last norm."""


def sizes(base, *sets, verb, rank=0):
    own = lower(scenario(base, *sets)).ranks[rank]
    return [launch.action.size_bytes for launch in own.launches if launch.action.verb == verb]


def test_reduced_bytes_are_all_parameters_in_the_reduce_dtype():
    assert sum(sizes("gpt", "plan.tensor=1", verb="reduce")) == 4 * GPT_PARAMETERS
    assert sum(sizes("gpt", "plan.tensor=1", "precision.reduce=bf16", verb="reduce")) == 2 * GPT_PARAMETERS
    assert sum(sizes("gpt", "plan.tensor=1", "dtype=fp32", verb="reduce")) == 4 * GPT_PARAMETERS


@pytest.mark.parametrize("bucket_mib", [0.01, 1, 25, 10000])
@pytest.mark.parametrize("overlap", ["true", "false"])
def test_neither_bucket_size_nor_overlap_changes_the_sum(bucket_mib, overlap):
    sets = ("plan.tensor=2", f"plan.bucket_mib={bucket_mib}", f"plan.overlap.grad_reduce={overlap}")
    units = blocks.units(scenario("gpt").model)
    held = sum(local_numel(scenario("gpt", *sets), index) for index in range(len(units)))
    assert sum(sizes("gpt", *sets, verb="reduce")) == 4 * held


def test_a_tensor_rank_reduces_its_shards_and_its_copies():
    """Column and row weights, QKV and fc1 biases and the vocabulary are sharded; the rest is whole on each rank."""
    sharded = VOCAB * HIDDEN + LAYERS * (12 * HIDDEN**2 + 3 * HIDDEN + 4 * HIDDEN)
    whole = SEQ * HIDDEN + LAYERS * (2 * HIDDEN + 4 * HIDDEN) + 2 * HIDDEN
    assert sharded + whole == GPT_PARAMETERS
    assert sum(sizes("gpt", "plan.tensor=4", verb="reduce")) == 4 * (sharded // 4 + whole)


def test_the_stages_of_a_pipeline_reduce_their_own_parameters_and_a_tied_copy():
    sets = ("plan.tensor=1", "plan.pipeline=4", "plan.data=2")
    program = lower(scenario("gpt", *sets))
    token_embedding = VOCAB * HIDDEN
    for own in program.ranks:
        tied = [launch.action.size_bytes for launch in own.launches if launch.action.bucket == "tied"]
        assert tied == ([4 * token_embedding] if own.rank in (0, 6) else [])  # fp32 gradients
    in_buckets = sum(bucket.numel for own in program.ranks for bucket in own.buckets)
    # the last stage's copy is reduced over its data group like every parameter (Megatron-LM)
    assert in_buckets == GPT_PARAMETERS + token_embedding
    reduced = sum(sum(sizes("gpt", *sets, verb="reduce", rank=rank)) for rank in range(4))
    assert reduced == 4 * (in_buckets + 2 * token_embedding)


def test_zero_scatters_gradients_and_gathers_stored_parameters():
    sets = ("plan.tensor=1", "plan.zero=1")
    assert sizes("gpt", *sets, verb="reduce") == []
    assert sum(sizes("gpt", *sets, verb="reduce_scatter")) == 4 * GPT_PARAMETERS
    assert sum(sizes("gpt", *sets, verb="all_gather")) == 2 * GPT_PARAMETERS
    assert sum(sizes("gpt", *sets, "precision.parameters=fp32", verb="all_gather")) == 4 * GPT_PARAMETERS
    assert sizes("gpt", *sets, "plan.tensor=8", verb="all_gather") == []


PIPE = ("plan.pipeline=2", "plan.microbatch=2")


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("sequence_parallel", ["true", "false"])
def test_a_boundary_is_b_s_h_of_which_each_tensor_rank_sends_its_share(tensor, sequence_parallel):
    """With sequence parallelism the slice it holds, without it the share that scatter/gather leaves it."""
    sets = (*PIPE, f"plan.tensor={tensor}", f"plan.sequence_parallel={sequence_parallel}")
    found = sizes("gpt", *sets, verb="send")
    assert set(found) == {2 * SEQ * HIDDEN * 2 // tensor}
    assert found == sizes("gpt", *sets, verb="recv", rank=1)


def test_activations_in_fp32_are_twice_as_large_on_the_wire():
    assert set(sizes("gpt", *PIPE, "dtype=fp32", verb="send")) == {2 * SEQ * HIDDEN * 4 // 2}


@pytest.mark.parametrize("action, gathered", [("0F0", False), ("1F0", True), ("0B0", True), ("1B0", False)])
@pytest.mark.parametrize("sequence_parallel", [True, False])
def test_what_arrives_as_shares_is_gathered_before_the_first_kernel(action, gathered, sequence_parallel):
    stated = scenario("gpt", *PIPE, f"plan.sequence_parallel={str(sequence_parallel).lower()}")
    action, source = Action.from_text(action), StepSource(stated, cut_of(stated))
    first = source.steps(lower(stated).ranks[action.stage], action)[0].steps
    gather = (Collective("all_gather", "tensor", 2 * SEQ * HIDDEN * 2),)
    assert (first == gather) == (gathered and not sequence_parallel)


@pytest.mark.parametrize("schedule, messages", [
    (("plan.schedule=1f1b",), 1), (("plan.schedule=gpipe",), 1),
    (("plan.schedule=interleaved_1f1b", "plan.virtual_stages=2"), 2),
])  # fmt: skip
def test_messages_of_a_step(schedule, messages):
    """Rank 0 of 2 sends a forward result per microbatch and chunk, and what its later chunks send backward."""
    found = sizes("gpt", "plan.pipeline=2", "plan.global_batch=16", *schedule, verb="send")
    microbatches = 16 // 2
    assert len(found) == microbatches * (2 * messages - 1)


V = ("plan.pipeline=4", "plan.tensor=1", "plan.schedule=zb_v", "model.trunk.layers=8", "plan.global_batch=14")


def test_a_v_sends_each_way_over_the_same_edges_and_turns_in_memory():
    """m microbatches, p ranks: p - 1 edges out and p - 1 back, forward and backward; rank p - 1 holds both sides of the
    turn, rank 0 both ends."""
    program = lower(scenario("gpt", *V))
    microbatches = 14 // 2
    sent = [[launch.action for launch in own.launches if launch.action.verb == "send"] for own in program.ranks]
    assert [len(own) for own in sent] == [2 * microbatches, 4 * microbatches, 4 * microbatches, 2 * microbatches]
    assert not any(action.stage == 3 and action.of == "F" for action in sent[3])
    assert [own.chunks[0].stage for own in program.ranks] == [0, 1, 2, 3]
    assert [own.chunks[1].stage for own in program.ranks] == [7, 6, 5, 4]


def test_two_neighbours_in_one_direction_have_a_stream_each():
    middle = lower(scenario("gpt", *V)).ranks[1]
    for verb in ("recv", "send"):
        for direction, of in (("forward", "F"), ("backward", "B")):
            streams = [name for name in middle.streams if name.startswith(f"{verb}_{direction}")]
            peers = [{action.peer for action in middle.stream(name)} for name in streams]
            assert len(streams) == 2 and sorted(map(sorted, peers)) == [[0], [2]]
            assert all(action.of == of for name in streams for action in middle.stream(name))


def test_a_v_holds_a_tied_embedding_once():
    program = lower(scenario("gpt", *V))
    assert not any(launch.action.bucket == "tied" for own in program.ranks for launch in own.launches)
    per_layer = 12 * HIDDEN**2 + 13 * HIDDEN
    assert sum(bucket.numel for own in program.ranks for bucket in own.buckets) == GPT_PARAMETERS + 4 * per_layer


EVEN = tuple(f"model.tables.{place}.ids={{kind: uniform}}" for place in (0, 1))


def test_exchanges_of_a_row_wise_table():
    """hstu: 8 samples of 1024 positions and one user id; ids of 8 B, item and user vectors of 128 fp32 numbers. Of Zipf
    ids the owner of the first row is asked for more."""
    ids = 8 * 1024 + 8
    assert sizes("hstu", *EVEN, verb="exchange ids") == [8 * ids]
    vectors = sizes("hstu", *EVEN, verb="exchange vectors")
    assert vectors == [ids * 128 * 4] == sizes("hstu", *EVEN, verb="exchange gradients")
    assert sizes("hstu", verb="gather vectors") == []
    (busiest,) = sizes("hstu", verb="exchange ids")
    assert 1.4 < busiest / (8 * ids) < 1.6


def test_tensor_ranks_look_up_a_share_each_and_gather_the_vectors():
    sets = (*EVEN, "plan.tensor=2", "model.tables.0.dim=512")
    items, users = 8 * 1024 // 2, 8 // 2
    vectors = items * 512 * 4 + users * 128 * 4
    assert set(sizes("hstu", *sets, verb="exchange ids")) == {8 * (items + users)}
    assert set(sizes("hstu", *sets, verb="exchange vectors")) == {vectors}
    assert set(sizes("hstu", *sets, verb="gather vectors")) == {2 * vectors}
    assert sizes("hstu", *sets, "plan.sequence_parallel=true", verb="gather vectors") == []


def test_a_replicated_table_is_reduced_whole_once_a_step():
    own = lower(scenario("hstu", "plan.embedding_sharding=data_parallel", "plan.global_batch=128")).ranks[0]
    found = [launch.action for launch in own.launches if launch.action.bucket == "tables"]
    assert [action.size_bytes for action in found] == [(10**7 + 10**6) * 128 * 4]
    assert not any(launch.action.verb.startswith("exchange") for launch in own.launches)


def test_top_k_puts_an_index_and_a_value_for_each_kept_entry_on_the_wire():
    found = sizes("gpt", "plan.tensor=1", "plan.compression={method: topk, density: 0.01}", verb="reduce")
    buckets = lower(scenario("gpt", "plan.tensor=1")).ranks[0].buckets
    assert found == [8 * round(0.01 * bucket.numel) for bucket in buckets]


def test_bf16_halves_an_fp32_reduction_and_leaves_a_bf16_one():
    cast, narrow = "plan.compression={method: bf16}", "precision.reduce=bf16"
    assert sizes("gpt", cast, verb="reduce") == [size // 2 for size in sizes("gpt", verb="reduce")]
    assert sizes("gpt", cast, narrow, verb="reduce") == sizes("gpt", narrow, verb="reduce")


def test_buckets_fill_from_the_back_and_close_at_the_unit_that_reaches_the_size():
    chunk = Chunk(0, ((0, 5),))
    found = make_buckets((chunk,), lambda unit: 10, bucket_bytes=80, element_bytes=4)
    assert [(one.first, one.last, one.numel) for one in found] == [(4, 5, 20), (2, 3, 20), (0, 1, 20)]
    found = make_buckets((chunk,), lambda unit: 10, bucket_bytes=100, element_bytes=4)
    assert [(one.first, one.last) for one in found] == [(3, 5), (0, 2)]
    assert len(make_buckets((chunk,), lambda unit: 10, bucket_bytes=1, element_bytes=4)) == 6
    assert len(make_buckets((chunk,), lambda unit: 10, bucket_bytes=10**9, element_bytes=4)) == 1


def test_buckets_of_two_chunks_start_with_the_later_one():
    chunks = (Chunk(0, ((0, 1),)), Chunk(2, ((4, 5),)))
    found = make_buckets(chunks, lambda unit: 1, bucket_bytes=10**9, element_bytes=4)
    assert [(one.name, one.stage, one.first, one.last) for one in found] == [("b0", 2, 4, 5), ("b1", 0, 0, 1)]


def test_stages_of_one_rank_hand_over_in_memory():
    launches = [Launch("compute", Action("F", stage, 0)) for stage in (0, 1)]
    chunks = (Chunk(0, ((0, 0),)), Chunk(1, ((1, 1),)))
    found = add_transfers(launches, chunks, 0, 2, lambda stage: 0, lambda stage: 1024, overlap=True)
    assert found == launches


def test_without_overlap_compute_waits_for_its_send_and_a_receive_for_the_action_before_it():
    own = lower(scenario("gpt", "plan.pipeline=2", "plan.overlap.pipeline=false", "plan.global_batch=8")).ranks
    waits = {launch.action.name: launch.action.after for launch in own[0].launches}
    assert waits["0F1"] == ("send 0F0",)
    waits = {launch.action.name: launch.action.after for launch in own[1].launches}
    assert waits["recv 1F1"] == ("1F0",) and "send 1B0" in waits["1F1"]


def test_the_groups_of_a_layout_partition_its_ranks():
    layout = Layout(tensor=2, context=1, data=3, pipeline=2)
    for kind in ("tensor", "data", "table", "pipeline"):
        groups = {tuple(layout.group(kind, rank)) for rank in range(layout.ranks)}
        assert sorted(rank for group in groups for rank in group) == list(range(layout.ranks))
    assert {layout.rank(*layout.coordinates(rank)) for rank in range(layout.ranks)} == set(range(layout.ranks))

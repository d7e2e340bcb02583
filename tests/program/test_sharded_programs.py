"""ZeRO 2 and 3 in a program: what waits for what, when a gather may run ahead, what is dropped and gathered again."""

from __future__ import annotations

import pytest
from road_scenarios import scenario

from simulator.model import blocks
from simulator.program.fold import fold
from simulator.program.held import touches
from simulator.program.lowering import lower
from simulator.program.program import Chunk
from simulator.program.sharded import make_blocks

FULL = ("plan.zero=3", "plan.tensor=1", "plan.global_batch=16")
"""Two microbatches of 4 layers: embedding b5, layers b4 to b1, head b0; the embedding is shared."""
UNTIED = "model.trunk.tied_embeddings=false"


def actions(*sets: str, base: str = "gpt"):
    """{name: action} of rank 0, in launch order."""
    own = lower(scenario(base, *sets)).ranks[0]
    return {launch.action.name: launch.action for launch in own.launches}


def gathers(found, microbatch: int, of: str) -> list[str]:
    return [one.bucket for one in found.values()
            if one.verb == "all_gather" and (one.of, one.microbatch) == (of, microbatch)]  # fmt: skip


def test_a_block_is_a_layer():
    own = lower(scenario("gpt", *FULL)).ranks[0]
    assert [(one.name, one.first, one.last) for one in own.buckets] == [
        ("b0", 9, 9), ("b1", 7, 8), ("b2", 5, 6), ("b3", 3, 4), ("b4", 1, 2), ("b5", 0, 0),
    ]  # fmt: skip


def test_a_block_without_parameters_joins_its_neighbour():
    """An embedding or a head of tables alone has nothing to gather."""
    units = blocks.units(scenario("gpt").model)
    chunk = Chunk(0, ((0, len(units) - 1),))
    found = make_blocks((chunk,), units, lambda unit: 0 if unit in (0, 9) else 10)
    assert [(one.first, one.last, one.numel) for one in found] == [(7, 9, 20), (5, 6, 20), (3, 4, 20), (0, 2, 20)]
    assert [one.name for one in found] == ["b0", "b1", "b2", "b3"]


def test_each_pass_waits_for_its_blocks_gather():
    found = actions(*FULL, UNTIED)
    for microbatch in range(2):
        for segment in range(6):
            assert f"all_gather b{5 - segment} F{microbatch}" in found[f"0F{microbatch}.{segment}"].after
            waits = f"all_gather b{segment} B{microbatch}" in found[f"0B{microbatch}.{segment}"].after
            assert waits == (segment > 0), "the last block is still there"


def test_a_gather_runs_at_most_one_block_ahead():
    """It follows the block before the one beside which it runs; the first of a forward pass follows all before it."""
    found = actions(*FULL, UNTIED)
    assert found["all_gather b5 F0"].after == found["all_gather b4 F0"].after == ()
    assert found["all_gather b3 F0"].after == ("0F0.0",)
    assert found["all_gather b0 F0"].after == ("0F0.3",)
    assert found["all_gather b1 B0"].after == ("0F0.5",)
    assert found["all_gather b2 B0"].after == ("0B0.0",)
    assert found["all_gather b5 F1"].after == found["all_gather b4 F1"].after == ("0B0.5",)
    names = list(found)
    assert names.index("0B0.0") < names.index("all_gather b2 B0") < names.index("0B0.1")


def test_without_overlap_a_gather_follows_the_block_before_its_own():
    found = actions(*FULL, UNTIED, "plan.overlap.param_gather=false")
    for segment in range(1, 6):
        assert found[f"all_gather b{5 - segment} F1"].after == (f"0F1.{segment - 1}",)
        assert found[f"all_gather b{segment} B1"].after == (f"0B1.{segment - 1}",)


@pytest.mark.parametrize("tied, again", [("false", ["b1", "b2", "b3", "b4", "b5"]), ("true", ["b1", "b2", "b3", "b4"])])
def test_what_was_dropped_is_gathered_again(tied, again):
    found = actions(*FULL, f"model.trunk.tied_embeddings={tied}")
    for microbatch in range(2):
        assert gathers(found, microbatch, "F") == ["b5", "b4", "b3", "b2", "b1", "b0"]
        assert gathers(found, microbatch, "B") == again


def test_without_resharding_nothing_is_gathered_again():
    found = actions(*FULL, "plan.reshard_after_forward=false")
    assert gathers(found, 0, "B") == gathers(found, 1, "B") == []
    assert gathers(found, 1, "F") == ["b5", "b4", "b3", "b2", "b1", "b0"], "what B has dropped is gathered again"


@pytest.mark.parametrize("zero", [2, 3])
def test_one_reduction_is_under_way_beside_a_block(zero):
    """A block waits for the reduction before last; what follows the pass waits for the last one."""
    found = actions(f"plan.zero={zero}", "plan.tensor=1", "plan.global_batch=16", UNTIED,
                    *(("plan.bucket_mib=0.1",) if zero == 2 else ()))  # fmt: skip
    order = [one for one in found.values() if one.verb == "B" and one.microbatch == 0]
    reductions = [f"reduce_scatter b{place} B0" for place in range(len(order))]
    for place, action in enumerate(order):
        waited = [name for name in action.after if name.startswith("reduce_scatter")]
        assert waited == ([reductions[place - 2]] if place > 1 else [])
        assert found[reductions[place]].after == (action.name,)
    follows = found["0F1"] if zero == 2 else found["0F1.0"]
    assert reductions[-1] in follows.after
    last = [name for name in found["optimizer"].after if name.startswith("reduce_scatter")]
    assert last == [name.replace("B0", "B1") for name in reductions]


@pytest.mark.parametrize("zero", [2, 3])
def test_without_overlap_compute_goes_on_when_a_reduction_is_over(zero):
    found = actions(f"plan.zero={zero}", "plan.tensor=1", "plan.global_batch=16", "plan.overlap.grad_reduce=false",
                    *(("plan.bucket_mib=0.1",) if zero == 2 else ()))  # fmt: skip
    order = [one for one in found.values() if one.verb == "B" and one.microbatch == 1]
    for place, action in enumerate(order[1:]):
        assert f"reduce_scatter b{place} B1" in action.after


def test_copies_of_a_shard_add_up_on_a_stream_of_their_own_and_hold_up_no_block():
    found = actions(*FULL, "plan.shard_group=4")
    own = lower(scenario("gpt", *FULL, "plan.shard_group=4")).ranks[0]
    streams = {launch.action.name: launch.stream for launch in own.launches}
    assert streams["all_gather b3 F0"] == streams["reduce_scatter b3 B0"] == "shard"
    assert streams["reduce b3 B0"] == "replica"
    assert found["reduce b3 B0"].after == ("reduce_scatter b3 B0",)
    assert found["reduce b3 B0"].size_bytes == found["reduce_scatter b3 B0"].size_bytes // 4
    assert not any(name.startswith("reduce b") for segment in range(6) for name in found[f"0B0.{segment}"].after)
    assert "reduce b5 B0" in found["0F1.0"].after and "reduce b5 B1" in found["optimizer"].after


def test_under_a_pipeline_blocks_are_gathered_in_the_first_forward_and_reduced_in_the_last_backward():
    found = actions("plan.zero=3", "plan.reshard_after_forward=false", "plan.pipeline=2", "plan.tensor=1")
    names = list(found)
    assert [one.bucket for one in found.values() if one.verb == "all_gather"] == ["b2", "b1", "b0"]
    assert found["0F0.2"].after == ("all_gather b0",) and found["all_gather b0"].after == ("0F0.0",)
    assert [one.after[0] for one in found.values() if one.verb == "reduce_scatter"] == ["0B3.0", "0B3.1", "0B3.2"]
    assert "0F1" in names and "0B0" in names, "only those two are cut"


def test_under_a_pipeline_that_reshards_every_pass_gathers_its_blocks_and_gradients_still_go_once():
    found = actions("plan.zero=3", "plan.pipeline=2", "plan.tensor=1")
    passes = [(one.of, one.microbatch) for one in found.values() if one.verb == "all_gather"]
    assert sorted(set(passes)) == sorted(("FB"[back], number) for back in (0, 1) for number in range(4))
    assert all(passes.count(one) == 3 for one in passes)
    assert found["0F2.1"].after == ("all_gather b1 F2",)
    assert [one.after[0] for one in found.values() if one.verb == "reduce_scatter"] == ["0B3.0", "0B3.1", "0B3.2"]


def test_zero_2_gathers_whole_parameters_once_a_step_as_zero_1_does():
    found = [[(one.name, one.size_bytes, one.after) for one in actions(f"plan.zero={zero}").values()
              if one.verb == "all_gather"] for zero in (1, 2)]  # fmt: skip
    assert found[0] == found[1] and found[0]


@pytest.mark.parametrize("sets", [FULL, (*FULL, UNTIED), (*FULL, "plan.reshard_after_forward=false"),
                                  (*FULL, "plan.overlap.grad_reduce=false"), (*FULL, "plan.shard_group=2"),
                                  ("plan.zero=2", "plan.bucket_mib=4"),
                                  ("plan.zero=3", "plan.pipeline=2", "plan.reshard_after_forward=false"),
                                  ("plan.zero=3", "plan.pipeline=2"),
                                  ("plan.zero=3", "plan.pipeline=2", "plan.schedule=zb_h1"),
                                  ("plan.zero=3", "plan.pipeline=2", "plan.schedule=zb_v"),
                                  ("plan.zero=3", "plan.pipeline=2", "plan.schedule=zb_v", UNTIED)])  # fmt: skip
def test_what_comes_goes(sets):
    """Whatever is unpacked is dropped, whatever is opened is packed, whatever is packed is released."""
    stated = scenario("gpt", *sets)
    own = lower(stated).ranks[0]
    unpacked, opened, packed = [], [], []
    for touch in touches(own, stated).values():
        for name in touch.releases:
            packed.remove(name)
        unpacked += touch.unpacks
        assert len(set(unpacked)) == len(unpacked), "nothing is unpacked twice"
        opened += touch.opens
        for name in touch.packs:
            packed.append(name)
            if stated.plan.scatters_each:
                opened.remove(name)
        for name in touch.drops:
            unpacked.remove(name)
        if stated.plan.reshard_after_forward and stated.plan.zero == 3:
            assert len(unpacked) <= 2 + (stated.model.trunk.tied_embeddings is True)
        assert len(packed) <= 2 or not stated.plan.scatters_each
    assert (unpacked, opened, packed) == ([], [], [])


def test_ranks_of_a_shard_group_that_lies_askew_are_not_alike():
    """Groups of 6 on nodes of 4: four members on one node, two on the next; the pattern repeats after three nodes."""
    stated = scenario("gpt", "plan.zero=3", "plan.tensor=1", "plan.shard_group=6", "cluster.nodes=3",
                      "cluster.gpus_per_node=4", "cluster.nics_per_node=4", "plan.global_batch=12")  # fmt: skip
    folding = fold(lower(stated), stated.cluster, {}, links=True)
    assert folding.representative(0) != folding.representative(4)
    groups = [stated.layout.group("shard", rank) for rank in (0, 4, 6, 11)]
    assert groups == [range(6), range(6), range(6, 12), range(6, 12)]
    assert list(stated.layout.group("replica", 7)) == [1, 7]


def test_plans_that_shard_neither_touch_nothing():
    for zero in (0, 1):
        stated = scenario("gpt", f"plan.zero={zero}")
        assert touches(lower(stated).ranks[0], stated) == {}

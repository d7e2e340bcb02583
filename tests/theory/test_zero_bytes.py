"""Bytes that each rank puts on the wire under every stage of ZeRO, against closed forms.

Psi parameters, N replicas, m microbatches, all in fp32: a ring reduce-scatter or all-gather of S bytes sends S (N-1)/N
from each rank (arXiv 1910.02054, section 7): 2 Psi for stages 0 and 1, (m + 1) Psi for stage 2, 3 m Psi for stage 3,
less what is not dropped between forward and backward.
"""

from fractions import Fraction

import pytest
from road_scenarios import scenario

from simulator.costs.algorithms import ring_volume
from simulator.program.lowering import lower

LAYERS, HIDDEN, VOCAB, SEQ, GPUS = 4, 1024, 32000, 512, 8
LAYER = 12 * HIDDEN**2 + 13 * HIDDEN
EMBEDDING, POSITIONS, LAST_NORM = VOCAB * HIDDEN, SEQ * HIDDEN, 2 * HIDDEN
TIED = EMBEDDING + POSITIONS + LAYERS * LAYER + LAST_NORM
UNTIED = TIED + EMBEDDING
BASE = ("plan.tensor=1", "dtype=fp32", "cluster.nodes=1")
OPS = {"reduce": "all_reduce", "reduce_scatter": "reduce_scatter", "all_gather": "all_gather"}
GROUPS = {"data": "data", "shard": "shard", "replica": "replica"}


def on_the_wire(*sets: str, rank: int = 0) -> Fraction:
    """Bytes that a rank sends for dense gradients and parameters in one step, all collectives as rings."""
    program = lower(scenario("gpt", *BASE, *sets))
    total = Fraction(0)
    for launch in program.ranks[rank].launches:
        if launch.stream in GROUPS:
            size = len(program.layout.group(GROUPS[launch.stream], program.ranks[rank].rank))
            volume = Fraction(ring_volume(OPS[launch.action.verb], size)).limit_denominator(size)
            total += volume * launch.action.size_bytes
    return total


def share(ranks: int) -> Fraction:
    """What a ring of this many sends of a message it scatters or gathers."""
    return Fraction(ranks - 1, ranks)


@pytest.mark.parametrize("microbatches", [1, 2, 4])
@pytest.mark.parametrize("zero", [0, 1])
def test_stages_0_and_1_send_twice_the_parameters_whatever_the_number_of_microbatches(zero, microbatches):
    sets = (f"plan.zero={zero}", f"plan.global_batch={GPUS * microbatches}")
    assert on_the_wire(*sets) == 2 * share(GPUS) * 4 * TIED


@pytest.mark.parametrize("microbatches", [1, 2, 4])
def test_stage_2_scatters_every_microbatchs_gradients_and_gathers_parameters_once(microbatches):
    sent = on_the_wire("plan.zero=2", f"plan.global_batch={GPUS * microbatches}")
    assert sent == (microbatches + 1) * share(GPUS) * 4 * TIED


@pytest.mark.parametrize("microbatches", [1, 2, 4])
@pytest.mark.parametrize("tied, parameters, kept", [
    ("false", UNTIED, EMBEDDING + LAST_NORM), ("true", TIED, EMBEDDING + POSITIONS + LAST_NORM),
])  # fmt: skip
def test_stage_3_sends_three_times_the_parameters_less_what_its_backward_finds_in_place(
    tied, parameters, kept, microbatches
):
    """The last block is not dropped, nor is an embedding that it shares: 2 for those, 3 for all others."""
    sets = ("plan.zero=3", f"plan.global_batch={GPUS * microbatches}", f"model.trunk.tied_embeddings={tied}")
    assert on_the_wire(*sets) == microbatches * share(GPUS) * 4 * (3 * parameters - kept)


@pytest.mark.parametrize("microbatches", [1, 3])
def test_stage_3_without_resharding_sends_twice_the_parameters(microbatches):
    sets = ("plan.zero=3", "plan.reshard_after_forward=false", f"plan.global_batch={GPUS * microbatches}")
    assert on_the_wire(*sets) == microbatches * 2 * share(GPUS) * 4 * TIED


@pytest.mark.parametrize("zero, scattered, gathered, all_reduced", [
    (1, 1, 1, 1), (2, 2, 1, 2), (3, 2, 2 * 2, 2),
])  # fmt: skip
@pytest.mark.parametrize("shard", [2, 4])
def test_a_shard_group_scatters_and_gathers_within_and_adds_up_its_share_across(
    zero, scattered, gathered, all_reduced, shard
):
    """Two microbatches. Within shards of s: s-1 of s; among N/s copies an all-reduce of 1/s: 2 (c-1)/c / s."""
    copies, kept = GPUS // shard, EMBEDDING + POSITIONS + LAST_NORM if zero == 3 else 0
    sent = on_the_wire(f"plan.zero={zero}", f"plan.shard_group={shard}", f"plan.global_batch={2 * GPUS}")
    within = share(shard) * 4 * ((scattered + gathered) * TIED - 2 * kept)
    across = all_reduced * 2 * share(copies) * Fraction(4 * TIED, shard)
    assert sent == within + across


def test_under_a_pipeline_fully_sharded_parameters_travel_once_a_step():
    """Each stage gathers and scatters its own, however many microbatches there are."""
    sets = ("plan.zero=3", "plan.reshard_after_forward=false", "plan.pipeline=2", "plan.global_batch=32",
            "model.trunk.tied_embeddings=false")  # fmt: skip
    first = EMBEDDING + POSITIONS + LAYERS // 2 * LAYER
    assert on_the_wire(*sets) == 2 * share(GPUS // 2) * 4 * first
    assert on_the_wire(*sets, rank=1) == 2 * share(GPUS // 2) * 4 * (UNTIED - first)


def test_under_a_pipeline_that_reshards_parameters_travel_twice_a_microbatch():
    """m microbatches gather in both passes, gradients are scattered once: 2 m + 1 times its own."""
    sets = ("plan.zero=3", "plan.pipeline=2", "plan.global_batch=32",
            "model.trunk.tied_embeddings=false")  # fmt: skip
    first = EMBEDDING + POSITIONS + LAYERS // 2 * LAYER
    microbatches = scenario("gpt", *BASE, *sets).microbatches
    assert microbatches > 1
    assert on_the_wire(*sets) == (2 * microbatches + 1) * share(GPUS // 2) * 4 * first
    assert on_the_wire(*sets, rank=1) == (2 * microbatches + 1) * share(GPUS // 2) * 4 * (UNTIED - first)


def test_each_dtype_is_its_own_on_the_wire():
    """Parameters are gathered as they are stored, gradients scattered in the reduce dtype."""
    sets = ("plan.zero=3", "plan.reshard_after_forward=false", f"plan.global_batch={GPUS}")
    for parameters, reduce, each in (("bf16", "fp32", 2 + 4), ("fp32", "bf16", 4 + 2), ("bf16", "bf16", 2 + 2)):
        sent = on_the_wire(*sets, f"precision.parameters={parameters}", f"precision.reduce={reduce}")
        assert sent == share(GPUS) * each * TIED

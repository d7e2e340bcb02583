"""Compression under ZeRO: what every rank sends reaches the owners of its parts, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from assembled import losses, whole_model
from measured_runs import runs, unsplit
from plans import PLANS
from sharded_compression_plans import EVERYTHING_SENT, SHARDED_COMPRESSED

from simulator.policies.compression import TO_OWNERS, make_compressor
from simulator.policies.compression_settings import Compression

RANKS, PART = 3, 700
SHAPES = ((RANKS * PART,),)
CASTS = ("fp16", "bf16")
"""Summed on the way, in 16 bits: what that rounds off nobody remembers."""


def to_owners(compressor, gradients, states):
    """The summed parts of all owners, one after another, with the collective done here by hand."""
    (phase,) = compressor.phases(SHAPES, "fp32")
    payloads = [compressor.pack(0, one.clone(), SHAPES, state, None)
                for one, state in zip(gradients, states, strict=True)]  # fmt: skip
    assert {payload.numel() * payload.element_size() for payload in payloads} == {phase.wire_bytes}
    parts = []
    for rank, state in enumerate(states):
        if phase.op == "all_gather":
            received = torch.cat(payloads)
        elif phase.op == "all_to_all":
            received = torch.cat([payload.view(RANKS, -1)[rank] for payload in payloads])
        else:
            received = torch.stack([payload.view(RANKS, -1)[rank] for payload in payloads]).sum(0)
        part = torch.full((PART,), torch.nan)
        compressor.unpack(part, SHAPES, state, received, RANKS)
        parts.append(part)
    return torch.cat(parts)


def fresh(seed: int) -> list[torch.Tensor]:
    return [torch.randn(RANKS * PART, generator=torch.Generator().manual_seed(10 * seed + rank))
            for rank in range(RANKS)]  # fmt: skip


def stated(method: str, **keys) -> Compression:
    return Compression(method=method, **({"momentum": 0.0} if method == "dgc" else {}), **keys)


@pytest.mark.parametrize("sparse", ["allgather", "balanced"])
@pytest.mark.parametrize("method", [one for one in TO_OWNERS if one not in CASTS])
def test_error_feedback_loses_nothing_on_the_way_to_owners(method, sparse):
    """Over all steps, what owners have applied plus what ranks still remember is the sum of all gradients."""
    for plan in [stated(method), *([stated(method, shared_seed=False)] if method == "randomk" else [])]:
        compressor = make_compressor(plan, sparse, RANKS, sharded=True)
        states, applied, true = [{"rank": rank} for rank in range(RANKS)], 0, 0
        for step in range(6):
            gradients = fresh(step)
            true = true + torch.stack(gradients).sum(0)
            applied = applied + to_owners(compressor, gradients, states)
        remembered = sum(state["residual"].reshape(-1) for state in states)
        assert remembered.abs().max() > 1e-4  # something was not sent
        torch.testing.assert_close(applied + remembered, true, rtol=1e-4, atol=1e-3)


def in_two_hops(compressor, gradients, states, inside: int):
    """The summed parts of all owners: payloads change hands inside groups, then between alike places of all groups."""
    ranks, shapes = len(gradients), ((gradients[0].numel(),),)
    part, received = gradients[0].numel() // ranks, [None] * ranks
    for number, phase in enumerate(compressor.phases(shapes, "fp32")):
        payloads = [compressor.pack(number, one.clone(), shapes, state, before)
                    for one, state, before in zip(gradients, states, received, strict=True)]  # fmt: skip
        assert {payload.numel() for payload in payloads} == {phase.wire_bytes}
        for rank in range(ranks):
            group, place = divmod(rank, inside)
            members = range(group * inside, (group + 1) * inside) if number == 0 else range(place, ranks, inside)
            own = place if number == 0 else group
            received[rank] = torch.cat([payloads[one].view(len(members), -1)[own] for one in members])
    parts = []
    for state, last in zip(states, received, strict=True):
        parts.append(torch.full((part,), torch.nan))
        compressor.unpack(parts[-1], shapes, state, last, ranks)
    return torch.cat(parts)


@pytest.mark.parametrize("method", ["int8", "onebit"])
def test_two_hops_lose_nothing_and_end_at_the_same_owners(method):
    ranks, inside, part = 6, 3, 50
    compressor = make_compressor(Compression(method=method, inside=inside), "allgather", ranks, sharded=True)
    states, applied, true = [{"rank": rank} for rank in range(ranks)], 0, 0
    for step in range(20):
        gradients = [torch.randn(ranks * part, generator=torch.Generator().manual_seed(100 * step + rank))
                     for rank in range(ranks)]  # fmt: skip
        true = true + torch.stack(gradients).sum(0)
        applied = applied + in_two_hops(compressor, gradients, states, inside)
    remembered = torch.zeros(ranks // inside, inside, part)
    for rank, state in enumerate(states):  # residuals lie by place, then group; sums of a group with who wrote them
        remembered += state["residual"].view(inside, ranks // inside, part).transpose(0, 1)
        remembered[:, rank % inside] += state["owned"]
    torch.testing.assert_close(applied + remembered.reshape(-1), true, rtol=1e-4, atol=1e-3)


def test_out_of_a_node_two_hops_send_an_eighth_of_one():
    """Two nodes of eight: of every payload half goes to the other node; of sums, each place sends half of its own."""
    shapes, stated = ((160_000,),), {"method": "int8", "block": 100}
    (at_once,) = make_compressor(Compression(**stated), ranks=16, sharded=True).phases(shapes, "fp32")
    inside, across = make_compressor(Compression(**stated, inside=8), ranks=16, sharded=True).phases(shapes, "fp32")
    assert (at_once.stream, inside.stream, across.stream) == ("data", "shard", "replica")
    assert inside.wire_bytes == at_once.wire_bytes == 8 * across.wire_bytes


@pytest.mark.parametrize("method", CASTS)
def test_a_cast_to_owners_is_the_all_reduces_own(method):
    gradients = fresh(0)
    compressor = make_compressor(Compression(method=method), ranks=RANKS, sharded=True)
    payloads = [one.to({"fp16": torch.float16, "bf16": torch.bfloat16}[method]) for one in gradients]
    found = to_owners(compressor, gradients, [{} for _ in range(RANKS)])
    assert torch.equal(found, torch.stack(payloads).sum(0).float())


@pytest.mark.parametrize("sparse", ["allgather", "balanced"])
def test_all_entries_sent_is_the_sum(sparse):
    compressor = make_compressor(Compression(method="topk", density=1.0, error_feedback=False), sparse, RANKS,
                                 sharded=True)  # fmt: skip
    gradients = fresh(0)
    found = to_owners(compressor, gradients, [{"rank": rank} for rank in range(RANKS)])
    torch.testing.assert_close(found, torch.stack(gradients).sum(0))


def test_a_quantized_part_is_off_by_no_more_than_a_step_of_each_rank():
    """qgZ: parts are added up in full precision, so that errors add up and no sum is rounded again."""
    compressor = make_compressor(Compression(method="int8", block=100, error_feedback=False), "allgather", RANKS,
                                 sharded=True)  # fmt: skip
    gradients = fresh(0)
    found = to_owners(compressor, gradients, [{"rank": rank} for rank in range(RANKS)])
    steps = sum(one.view(-1, 100).abs().amax(1).repeat_interleave(100) / 127 for one in gradients)
    assert bool(((found - torch.stack(gradients).sum(0)).abs() <= 1.001 * steps).all())


@pytest.mark.parametrize("method", ["int8", "onebit", "topk"])
def test_going_to_owners_is_half_of_a_balanced_all_reduce(method):
    plan = Compression(method=method)
    whole = make_compressor(plan, "balanced", 8).phases(((80_000,),), "fp32")
    owned = make_compressor(plan, "balanced", 8, sharded=True).phases(((80_000,),), "fp32")
    assert [phase.op for phase in whole] == ["all_to_all", "all_gather"]
    assert [(phase.op, phase.wire_bytes) for phase in owned] == [("all_to_all", whole[0].wire_bytes)]


def _numbered(ranks: int):
    return [PLANS[ranks].index(plan) for plan in SHARDED_COMPRESSED[ranks]]


@pytest.mark.parametrize(("ranks", "number"), [(ranks, n) for ranks in SHARDED_COMPRESSED for n in _numbered(ranks)])
def test_compressed_shards_keep_replicas_together_and_learn(ranks, number):
    job, records = runs(ranks)[number]
    whole_model(job, records)  # raises where replicas differ
    before, after = losses(records)
    assert after != before


def _everything(ranks: int):
    return [n for n, plan in zip(_numbered(ranks), SHARDED_COMPRESSED[ranks], strict=True)
            if plan in EVERYTHING_SENT or plan[1]["compression"].get("density") == 1.0]  # fmt: skip


@pytest.mark.parametrize(("ranks", "number"), [(ranks, n) for ranks in SHARDED_COMPRESSED for n in _everything(ranks)])
def test_everything_sent_to_owners_trains_the_unsplit_model(ranks, number):
    job, records = runs(ranks)[number]
    alone, alone_records = unsplit(PLANS[ranks][number][0], "sgd", ())
    whole, expected = whole_model(job, records), whole_model(alone, alone_records)
    for name, value in expected.items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-4, atol=1e-7)


def test_a_carried_bucket_is_encoded_behind_its_backward_and_decoded_in_the_next_step():
    carries = [n for n in _numbered(2) if PLANS[2][n][1].get("aggregation", {}).get("order") == "priority"]
    assert carries
    for number in carries:
        job, _ = runs(2)[number]
        own = job.program.ranks[0]
        names = [launch.action.name for launch in own.launches]
        assert own.updated_alone
        for bucket in own.updated_alone:
            reduce, decode, update, encode = (
                names.index(f"{verb} {bucket}") for verb in ("reduce", "decode", "optimizer", "encode")
            )
            assert reduce < decode < update < encode


def test_every_microbatch_is_encoded_by_itself_where_gradients_are_sharded():
    chosen = [(plan[1].get("zero"), plan[1]["compression"].get("density")) for plan in SHARDED_COMPRESSED[2]]
    number = PLANS[2].index(SHARDED_COMPRESSED[2][chosen.index((2, 0.1))])
    job, _ = runs(2)[number]
    own = job.program.ranks[0]
    encoded = [launch.action.name for launch in own.launches if launch.action.verb == "encode"]
    assert job.scenario.microbatches == 2
    assert sorted(encoded) == sorted(f"encode {bucket.name} B{n}" for bucket in own.buckets for n in range(2))

"""The compressors' torch code: nothing of a gradient is lost, and payloads have the bytes that are priced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from assembled import losses, whole_model
from measured_runs import runs, unsplit
from plans import COMPRESSED, PLANS

from simulator.policies.compression import make_compressor
from simulator.policies.compression_settings import Compression

SHAPES = ((64, 48), (48,), (32, 80), (3, 3))
RANKS = 3


def reduced(compressor, gradients, states, shapes=SHAPES):
    """What every rank has after all phases, with the collectives done here by hand."""
    received = [None] * len(gradients)
    for number, phase in enumerate(compressor.phases(shapes, "fp32")):
        payloads = [
            compressor.pack(number, gradient, shapes, state, before)
            for gradient, state, before in zip(gradients, states, received, strict=True)
        ]
        assert {payload.numel() * payload.element_size() for payload in payloads} == {phase.wire_bytes}
        if phase.op == "all_gather":
            received = [torch.cat(payloads)] * len(gradients)
        elif phase.op == "all_to_all":
            parts = torch.stack([payload.view(len(gradients), -1) for payload in payloads])
            received = list(parts.transpose(0, 1).reshape(len(gradients), -1))
        else:
            received = [torch.stack(payloads).sum(0) for _ in gradients]
    for gradient, state, last in zip(gradients, states, received, strict=True):
        compressor.unpack(gradient, shapes, state, last, len(gradients))
    for gradient in gradients[1:]:
        assert torch.equal(gradient, gradients[0]), "all ranks decode the same"
    return gradients[0]


def fresh_gradients(seed: int) -> list[torch.Tensor]:
    count = sum(int(np.prod(shape)) for shape in SHAPES)
    return [torch.randn(count, generator=torch.Generator().manual_seed(seed * 10 + rank)) for rank in range(RANKS)]


@pytest.mark.parametrize("stated", [
    {"method": "topk", "density": 0.05}, {"method": "powersgd", "rank": 2}, {"method": "none"},
    {"method": "topk", "density": 0.05, "sparse": "balanced"}, {"method": "topk", "density": 1.0, "sparse": "balanced"},
    {"method": "topk", "density": 1e-6, "sparse": "balanced"},
    {"method": "int8", "block": 7}, {"method": "int8", "sparse": "balanced"}, {"method": "onebit"},
    {"method": "onebit", "sparse": "balanced"}, {"method": "randomk", "density": 0.1},
    {"method": "randomk", "density": 0.1, "shared_seed": False},
    {"method": "topk_sampled", "density": 0.05, "sample": 0.1}, {"method": "topk_sampled", "density": 1e-6},
    {"method": "dgc", "density": 0.05, "momentum": 0.0},
    {"method": "dgc", "density": 0.05, "momentum": 0.0, "sparse": "balanced"},
    {"method": "topk_sampled", "density": 0.05, "sample": 0.1, "sparse": "balanced"},
    {"method": "randomk", "density": 0.1, "shared_seed": False, "sparse": "balanced"},
], ids=str)  # fmt: skip
def test_error_feedback_loses_nothing(stated):
    """Over all steps, what was applied plus what is still remembered is the sum of all gradients."""
    plan = Compression(**{key: value for key, value in stated.items() if key != "sparse"})
    compressor = make_compressor(plan, stated.get("sparse", "allgather"), RANKS)
    states = [{} for _ in range(RANKS)]
    applied, true = 0, 0
    for step in range(5):
        gradients = fresh_gradients(step)
        true = true + torch.stack(gradients).sum(0)
        applied = applied + reduced(compressor, gradients, states)
    remembered = sum(_residual(state) for state in states)
    if "owned" in states[0]:  # what each owner still has of its region's sum
        remembered = remembered + torch.cat([state["owned"][0] for state in states])[: true.numel()]
    torch.testing.assert_close(applied + remembered, true, rtol=1e-4, atol=1e-4)


def _residual(state) -> torch.Tensor:
    if "residual" in state:
        return state["residual"].reshape(-1)[: sum(int(np.prod(shape)) for shape in SHAPES)]
    if "residuals" not in state:
        return torch.zeros(1)
    first, second = state["residuals"]
    return torch.cat([first.reshape(-1), torch.zeros(48), second.reshape(-1), torch.zeros(9)])


def test_topk_keeps_the_largest():
    compressor = make_compressor(Compression(method="topk", density=0.05, error_feedback=False))
    gradient = fresh_gradients(0)[0]
    expected = gradient.clone()
    kept = compressor.kept(gradient.numel())
    expected[gradient.abs().argsort()[:-kept]] = 0
    torch.testing.assert_close(reduced(compressor, [gradient], [{}]), expected)


@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_balanced_topk_applies_the_largest_sums_of_what_was_sent_region_by_region(density):
    """By hand: each rank's largest of every third of the bucket, added up, the largest sums of each third kept."""
    compressor = make_compressor(Compression(method="topk", density=density, error_feedback=False), "balanced", RANKS)
    gradients = fresh_gradients(3)
    count = gradients[0].numel()
    region, kept = -(-count // RANKS), max(1, round(density * count / RANKS))
    expected = torch.zeros(count)
    for first in range(0, count, region):
        parts = [gradient[first : first + region] for gradient in gradients]
        number = min(kept, len(parts[0]))
        sums = torch.zeros(len(parts[0]))
        for part in parts:
            largest = part.abs().argsort(descending=True)[:number]
            sums[largest] += part[largest]
        best = sums.abs().argsort(descending=True)[:number]
        expected[first + best] = sums[best]
    torch.testing.assert_close(reduced(compressor, gradients, [{} for _ in gradients]), expected)


def test_an_entry_that_no_owner_picked_stays_with_who_sent_it():
    """Two ranks, two regions of two entries, one kept of each: rank 0's 3 loses to rank 1's 4 in the first region."""
    compressor = make_compressor(Compression(method="topk", density=0.5), "balanced", 2)
    gradients = [torch.tensor([3.0, 0.0, 1.0, 2.0]), torch.tensor([0.0, 4.0, 0.0, 5.0])]
    states = [{}, {}]
    result = reduced(compressor, gradients, states, ((4,),))
    assert result.tolist() == [0.0, 4.0, 0.0, 7.0]
    assert [state["residual"].tolist() for state in states] == [[3.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_buckets_smaller_than_the_group_lose_nothing(count):
    compressor = make_compressor(Compression(method="topk", density=0.4), "balanced", RANKS)
    states, applied, true = [{} for _ in range(RANKS)], 0, 0
    for step in range(4):
        gradients = [torch.arange(1.0, count + 1) * (rank + 1) * (-1) ** step for rank in range(RANKS)]
        true = true + torch.stack(gradients).sum(0)
        applied = applied + reduced(compressor, gradients, states, ((count,),))
    torch.testing.assert_close(applied + sum(state["residual"] for state in states), true)


def test_powersgd_finds_a_matrix_of_its_rank_exactly():
    compressor = make_compressor(Compression(method="powersgd", rank=2, error_feedback=False))
    generator = torch.Generator().manual_seed(1)
    parts = []
    for shape in SHAPES:
        if len(shape) == 2 and min(shape) > 3:
            low = torch.randn(shape[0], 2, generator=generator) @ torch.randn(2, shape[1], generator=generator)
            parts.append(low.reshape(-1))
        else:
            parts.append(torch.randn(int(np.prod(shape)), generator=generator))
    gradient = torch.cat(parts)
    torch.testing.assert_close(reduced(compressor, [gradient.clone()], [{}]), gradient, rtol=1e-3, atol=1e-4)


def test_bf16_rounds_and_no_more():
    compressor = make_compressor(Compression(method="bf16"))
    gradient = fresh_gradients(0)[0]
    expected = gradient.bfloat16().float()
    assert torch.equal(reduced(compressor, [gradient], [{}]), expected)


@pytest.mark.parametrize("number", range(len(COMPRESSED)))
def test_compressed_runs_keep_replicas_together_and_learn(number):
    job, records = runs(2)[PLANS[2].index(COMPRESSED[number])]
    whole_model(job, records)  # raises where replicas differ
    before, after = losses(records)
    assert after != before


def test_everything_sent_is_no_compression_but_for_fp32_values():
    plan = ("gpt", {"data": 2, "compression": {"method": "topk", "density": 1.0}})
    job, records = runs(2)[PLANS[2].index(plan)]
    alone, alone_records = unsplit("gpt", "sgd", ())
    whole, expected = whole_model(job, records), whole_model(alone, alone_records)
    for name, value in expected.items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-5, atol=1e-8)

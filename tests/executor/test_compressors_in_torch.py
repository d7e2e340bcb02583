"""The compressors' torch code: nothing of a gradient is lost, and payloads have the bytes that are priced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from assembled import losses, whole_model
from measured_runs import runs, unsplit
from plans import COMPRESSED, PLANS

from simulator.plans import Compression
from simulator.policies.compression import make_compressor

SHAPES = ((64, 48), (48,), (32, 80), (3, 3))
RANKS = 3


def reduced(compressor, gradients, states):
    """What every rank has after all phases, with the collectives done here by hand."""
    received = [None] * len(gradients)
    for number, phase in enumerate(compressor.phases(SHAPES, "fp32")):
        payloads = [
            compressor.pack(number, gradient, SHAPES, state, before)
            for gradient, state, before in zip(gradients, states, received, strict=True)
        ]
        assert payloads[0].numel() * payloads[0].element_size() == phase.wire_bytes
        if phase.op == "all_gather":
            received = [torch.cat(payloads)] * len(gradients)
        else:
            received = [torch.stack(payloads).sum(0) for _ in gradients]
    for gradient, state, last in zip(gradients, states, received, strict=True):
        compressor.unpack(gradient, SHAPES, state, last, len(gradients))
    for gradient in gradients[1:]:
        assert torch.equal(gradient, gradients[0]), "all ranks decode the same"
    return gradients[0]


def fresh_gradients(seed: int) -> list[torch.Tensor]:
    count = sum(int(np.prod(shape)) for shape in SHAPES)
    return [torch.randn(count, generator=torch.Generator().manual_seed(seed * 10 + rank)) for rank in range(RANKS)]


@pytest.mark.parametrize("stated", [
    {"method": "topk", "density": 0.05}, {"method": "powersgd", "rank": 2}, {"method": "none"},
], ids=lambda stated: stated["method"])  # fmt: skip
def test_error_feedback_loses_nothing(stated):
    """Over all steps, what was applied plus what is still remembered is the sum of all gradients."""
    compressor = make_compressor(Compression(**stated))
    states = [{} for _ in range(RANKS)]
    applied, true = 0, 0
    for step in range(5):
        gradients = fresh_gradients(step)
        true = true + torch.stack(gradients).sum(0)
        applied = applied + reduced(compressor, gradients, states)
    remembered = sum(_residual(state) for state in states)
    torch.testing.assert_close(applied + remembered, true, rtol=1e-4, atol=1e-4)


def _residual(state) -> torch.Tensor:
    if "residual" in state:
        return state["residual"]
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

"""Payloads by hand: what each compressor's torch code writes, and what its neighbours read of it."""

from __future__ import annotations

import pytest
import torch

from simulator.policies.codecs import Int8, Sign
from simulator.policies.compression import make_compressor
from simulator.policies.compression_settings import Compression

SHAPE = ((1000,),)


def gradient(seed: int = 0, count: int = 1000) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def alone(compressor, values: torch.Tensor, state: dict, shapes=SHAPE) -> torch.Tensor:
    """What one rank by itself gets back."""
    received = None
    for number, _ in enumerate(compressor.phases(shapes, "fp32")):
        received = compressor.pack(number, values, shapes, state, received)
    compressor.unpack(values, shapes, state, received, 1)
    return values


@pytest.mark.parametrize("method", ["bf16", "fp16"])
def test_what_a_cast_rounds_off_comes_with_the_next_step(method):
    compressor, state = make_compressor(Compression(method=method, error_feedback=True)), {}
    applied, true = torch.zeros(1000), torch.zeros(1000)
    for step in range(20):
        true += gradient(step)
        applied += alone(compressor, gradient(step), state)
    torch.testing.assert_close(applied + state["residual"], true, rtol=0, atol=1e-5)
    forgetful = make_compressor(Compression(method=method))
    lost = sum(alone(forgetful, gradient(step), {}) for step in range(20)) - true
    assert lost.abs().mean() > 2 * state["residual"].abs().mean()


def test_int8_rounds_to_either_neighbour_and_right_on_average():
    codec, state = Int8(10), {}
    values = gradient()[None]
    steps = values.view(-1, 10).abs().amax(1).repeat_interleave(10)[None] / 127
    mean, rounds = torch.zeros_like(values), 400
    for _ in range(rounds):
        payload = codec.write(values, state)
        assert payload.dtype is torch.uint8 and payload.shape[1] == codec.payload_bytes(1000) == 1400
        back = codec.read(payload, 1000, torch.float32)
        assert bool(((back - values).abs() <= 1.0001 * steps).all())
        mean += back / rounds
    assert ((mean - values) / steps).abs().max() < 5 * 0.5 / rounds**0.5  # 5 sigma of a coin of two sides, a step apart


def test_ranks_round_by_streams_of_their_own():
    codec, values = Int8(256), gradient()[None]
    payloads = [codec.write(values, {"rank": rank}) for rank in (0, 0, 1)]
    assert torch.equal(payloads[0], payloads[1]) and not torch.equal(payloads[0], payloads[2])


def test_a_sign_is_a_bit_and_the_mean_magnitude_is_the_scale():
    codec = Sign()
    payload = codec.write(torch.tensor([[1.0, -2.0, 3.0, -4.0, 5.0, 6.0, -7.0, 0.0, -8.0]]), {})
    assert payload[0, :4].view(torch.float32).item() == 4.0
    assert payload[0, 4:].tolist() == [0b10110101, 0]
    assert codec.read(payload, 9, torch.float32).tolist() == [[4, -4, 4, -4, 4, 4, -4, 4, -4]]


def test_zeros_stay_zeros():
    for codec in (Int8(4), Sign()):
        assert codec.read(codec.write(torch.zeros(1, 10), {}), 10, torch.float32).abs().max() == 0.0


def test_random_places_are_the_same_on_every_rank_and_new_in_every_step():
    compressor = make_compressor(Compression(method="randomk", density=0.05))
    states, seen = [{}, {}], []
    for _ in range(2):
        for state in states:
            compressor.pack(0, torch.zeros(1000), SHAPE, state, None)
        assert torch.equal(states[0]["index"], states[1]["index"])
        seen.append(states[0]["index"])
    assert not torch.equal(*seen)


def test_without_a_shared_seed_ranks_draw_places_of_their_own():
    compressor = make_compressor(Compression(method="randomk", density=0.05, shared_seed=False))
    payloads = [compressor.pack(0, gradient(), SHAPE, {"rank": rank}, None) for rank in (0, 1)]
    assert not torch.equal(payloads[0][:50], payloads[1][:50])
    assert payloads[0].numel() == 100  # pairs, with room for every draw


def test_a_place_that_is_drawn_twice_is_applied_once():
    compressor = make_compressor(Compression(method="randomk", density=1.0))
    values = gradient(count=20)
    back = alone(compressor, values.clone(), state := {}, ((20,),))
    drawn = torch.zeros(20, dtype=torch.bool)
    drawn[torch.randint(20, (20,), generator=torch.Generator().manual_seed(20 * 65_537))] = True
    assert 0 < int(drawn.sum()) < 20  # twenty draws of twenty meet some place twice
    assert torch.equal(back, values.where(drawn, torch.zeros(())))
    assert torch.equal(back + state["residual"], values)


@pytest.mark.parametrize("sample", [1.0, 0.1, 0.02])
def test_a_sampled_threshold_finds_what_is_large(sample):
    """With the whole bucket as its sample it is top-k; a smaller sample finds most of the same mass."""
    shapes, values = ((20_000,),), gradient(count=20_000)
    exact = make_compressor(Compression(method="topk", density=0.02, error_feedback=False))
    sampled = make_compressor(Compression(method="topk_sampled", density=0.02, error_feedback=False, sample=sample))
    best, found = (alone(compressor, values.clone(), {}, shapes) for compressor in (exact, sampled))
    if sample == 1.0:
        assert torch.equal(best, found)
    assert int((found != 0).sum()) <= 400
    assert found.abs().sum() > 0.4 * best.abs().sum()  # a sample of 400 has 8 beyond the threshold


def test_room_that_no_entry_takes_adds_nothing():
    compressor = make_compressor(Compression(method="topk_sampled", density=0.5, sample=1 / 3, error_feedback=False))
    values = torch.tensor([9.0, 1.0, 1.0, 9.0, 1.0, 1.0])  # every third entry is large: only two of three pass
    payload = compressor.pack(0, values.clone(), ((6,),), {}, None)
    assert payload.tolist()[:3] == [0, 3, 0]
    assert alone(compressor, values, {}, ((6,),)).tolist() == [9, 0, 0, 9, 0, 0]


def test_momentum_correction_by_hand():
    """u = 0.5 u + g, v += u, the largest v is sent, and both forget it (arXiv 1712.01887, equations 4, 5 and 7)."""
    compressor = make_compressor(Compression(method="dgc", density=1 / 3, sample=1.0, momentum=0.5))
    state, shapes = {}, ((3,),)
    assert alone(compressor, torch.tensor([4.0, 2.0, 1.0]), state, shapes).tolist() == [4, 0, 0]
    assert [state[key].tolist() for key in ("momentum", "residual")] == [[0, 2, 1], [0, 2, 1]]
    # u = [1, 2, 1.5], v = [1, 4, 2.5]
    assert alone(compressor, torch.tensor([1.0, 1.0, 1.0]), state, shapes).tolist() == [0, 4, 0]
    assert [state[key].tolist() for key in ("momentum", "residual")] == [[1, 0, 1.5], [1, 0, 2.5]]


def test_a_rank_clips_its_own_gradient_to_its_share():
    compressor = make_compressor(
        Compression(method="dgc", density=1.0, sample=1.0, momentum=0.0, clipping=2.0), ranks=4
    )
    assert alone(compressor, torch.tensor([3.0, 4.0]), {}, ((2,),)).tolist() == pytest.approx([0.6, 0.8])
    assert alone(compressor, torch.tensor([0.3, 0.4]), {}, ((2,),)).tolist() == pytest.approx([0.3, 0.4])


def test_warm_up_sends_a_quarter_at_first():
    compressor = make_compressor(Compression(method="dgc", density=0.01, warm_up=2))
    state, kept = {}, []
    for step in range(4):
        kept.append(compressor.pack(0, gradient(step), SHAPE, state, None).numel() // 2)
    assert kept == [250, 50, 10, 10]  # 25 %, sqrt(25 % x 1 %), then what the plan says

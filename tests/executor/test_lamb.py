"""LAMB on one rank is the paper's, parameter by parameter, whatever lies beside it in a bucket."""

from __future__ import annotations

import torch

from simulator.executor import lamb
from simulator.executor.lamb import Layers


def test_each_parameter_moves_by_its_own_norm():
    """Algorithm 2 of arXiv 1904.00962: of two parameters in one flat tensor each is a step of `rate` times its norm;
    one that is zero takes Adam's step."""
    generator = torch.Generator().manual_seed(3)
    whole = torch.randn(10, generator=generator, dtype=torch.float64)
    whole[6:] = 0
    state, expected = {}, [whole[:2].clone(), whole[2:6].clone(), whole[6:].clone()]
    layers = Layers(((0, 0, 2), (1, 2, 6), (2, 6, 10)), 3, lambda squares: squares)
    moments = [[torch.zeros_like(one), torch.zeros_like(one)] for one in expected]
    for step in range(1, 4):
        gradient = torch.randn(10, generator=generator, dtype=torch.float64)
        lamb.update(whole, gradient, state, 0.1, layers)
        for one, (first, second), own in zip(expected, moments, gradient.split([2, 4, 4]), strict=True):
            first.mul_(0.9).add_(0.1 * own)
            second.mul_(0.999).add_(0.001 * own**2)
            direction = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-6) + 0.01 * one
            ratio = one.norm() / direction.norm() if one.norm() > 0 else 1.0
            moved = 0.1 * ratio * direction
            torch.testing.assert_close(moved.norm(), 0.1 * (one.norm() if one.norm() > 0 else direction.norm()))
            one -= moved
        torch.testing.assert_close(whole, torch.cat(expected), rtol=1e-12, atol=1e-14)

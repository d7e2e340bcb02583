"""The dense update: torch's optimizers over whole flat buckets.

Learning rates have no place in a scenario, since they change no cost; a caller may give one. Gradient norm and clipping
are not run: a global norm is a collective over all ranks that the program does not have.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from simulator.errors import NotSupportedYet

LEARNING_RATES = {"adam": 1e-3, "adamw": 1e-3, "adagrad": 1e-2, "sgd": 1e-1}
WEIGHT_DECAY = 0.01


def make_optimizer(name: str, flats: Iterable[torch.Tensor], learning_rate: float | None) -> torch.optim.Optimizer:
    """torch's optimizer of that name over flat tensors, in one fused kernel where torch has it."""
    if name not in LEARNING_RATES:
        raise NotSupportedYet(
            f"{name} cannot be executed yet; use {', '.join(LEARNING_RATES)}", key="optimizer"
        )  # fmt: skip
    rate, flats = LEARNING_RATES[name] if learning_rate is None else learning_rate, list(flats)
    if name == "adagrad":
        return torch.optim.Adagrad(flats, lr=rate)
    if name == "sgd":
        return torch.optim.SGD(flats, lr=rate)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    decay = {"weight_decay": WEIGHT_DECAY} if name == "adamw" else {}
    return kind(flats, lr=rate, fused=True, **decay)

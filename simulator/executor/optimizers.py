"""The dense update over whole flat buckets, in place.

Learning rates have no place in a scenario, since they change no cost; a caller may give one. Gradient norm and clipping
are not run: a global norm is a collective over all ranks that the program does not have. torch.optim's classes import
torch's compiler, seconds in every process: Adam is torch's own fused kernel, called without them.
"""

from __future__ import annotations

import torch

from simulator.executor import lamb
from simulator.executor.lamb import Layers, State

LEARNING_RATES = {"adam": 1e-3, "adamw": 1e-3, "adagrad": 1e-2, "lamb": 1e-2, "sgd": 1e-1}
BETAS, ADAM_EPSILON, ADAGRAD_EPSILON = (0.9, 0.999), 1e-8, 1e-10
WEIGHT_DECAY = 0.01
"""adamw's, decoupled (arXiv 1711.05101); torch's defaults throughout."""


def update(
    name: str,
    weights: torch.Tensor,
    gradient: torch.Tensor,
    state: State,
    rate: float | None,
    layers: Layers | None = None,
) -> None:
    """One step of optimizer `name` on a flat tensor. state: kept by the caller, empty at first. layers: the parameters
    in it, for one that takes them apart."""
    rate = LEARNING_RATES[name] if rate is None else rate
    with torch.no_grad():
        if name == "lamb":
            lamb.update(weights, gradient, state, rate, layers)
        else:
            _UPDATES[name](weights, gradient, state, rate)


def _sgd(weights, gradient, state: State, rate: float) -> None:
    weights.add_(gradient, alpha=-rate)


def _adagrad(weights, gradient, state: State, rate: float) -> None:
    total = state.setdefault("sum", torch.zeros_like(weights))
    total.addcmul_(gradient, gradient)
    weights.addcdiv_(gradient, total.sqrt().add_(ADAGRAD_EPSILON), value=-rate)


def _adam(weights, gradient, state: State, rate: float) -> None:
    _fused(torch._fused_adam_, weights, gradient, state, rate, 0.0)


def _adamw(weights, gradient, state: State, rate: float) -> None:
    _fused(torch._fused_adamw_, weights, gradient, state, rate, WEIGHT_DECAY)


def _fused(kernel, weights, gradient, state: State, rate: float, decay: float) -> None:
    if not state:
        state["first"], state["second"] = torch.zeros_like(weights), torch.zeros_like(weights)
        state["steps"] = torch.zeros((), dtype=torch.float32, device=weights.device)
    state["steps"] += 1
    kernel(
        [weights], [gradient], [state["first"]], [state["second"]], [], [state["steps"]], lr=rate, beta1=BETAS[0],
        beta2=BETAS[1], weight_decay=decay, eps=ADAM_EPSILON, amsgrad=False, maximize=False,
    )  # fmt: skip


_UPDATES = {"sgd": _sgd, "adagrad": _adagrad, "adam": _adam, "adamw": _adamw}

"""Sparse updates: optimizer steps on the touched rows of a table, in place.

State and arithmetic are fp32 (float64 in the correctness tests). Row-wise Adagrad keeps one number a row, the mean of
its squared gradients (FBGEMM's EXACT_ROWWISE_ADAGRAD). Adam's step count is the table's own.
"""

from __future__ import annotations

import torch

EPSILON = 1e-8
BETAS = (0.9, 0.999)


def new_state(optimizer: str, rows: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Zero states for a table's rows."""
    whole = {"adagrad": ("sum",), "adam": ("first", "second")}.get(optimizer, ())
    state = {name: torch.zeros_like(rows, dtype=dtype) for name in whole}
    if optimizer == "rowwise_adagrad":
        state["sum"] = rows.new_zeros(len(rows), dtype=dtype)
    return state


def sgd(weights, state, rows, gradients, rate: float) -> None:
    weights.index_add_(0, rows, (-rate * gradients).to(weights.dtype))


def adagrad(weights, state, rows, gradients, rate: float) -> None:
    state["sum"].index_add_(0, rows, gradients * gradients)
    step = gradients / (state["sum"][rows].sqrt() + EPSILON)
    sgd(weights, state, rows, step, rate)


def rowwise_adagrad(weights, state, rows, gradients, rate: float) -> None:
    state["sum"].index_add_(0, rows, (gradients * gradients).mean(1))
    step = gradients / (state["sum"][rows].sqrt() + EPSILON)[:, None]
    sgd(weights, state, rows, step, rate)


def adam(weights, state, rows, gradients, rate: float) -> None:
    first_beta, second_beta = BETAS
    state["steps"] = count = state.get("steps", 0) + 1
    first = state["first"][rows] * first_beta + gradients * (1 - first_beta)
    second = state["second"][rows] * second_beta + gradients * gradients * (1 - second_beta)
    state["first"][rows], state["second"][rows] = first, second
    first, second = first / (1 - first_beta**count), second / (1 - second_beta**count)
    sgd(weights, state, rows, first / (second.sqrt() + EPSILON), rate)


SPARSE_UPDATES = {"sgd": sgd, "adagrad": adagrad, "rowwise_adagrad": rowwise_adagrad, "adam": adam}

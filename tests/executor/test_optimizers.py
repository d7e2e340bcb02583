"""Updates are torch's own optimizers', dense and sparse."""

from __future__ import annotations

import pytest
import torch

from simulator.executor.optimizers import LEARNING_RATES, update
from simulator.executor.sparse_optimizers import SPARSE_UPDATES, new_state

DENSE = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dense_updates_are_torchs(name, dtype):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(100, generator=generator, dtype=dtype)
    ours, theirs, state = start.clone(), start.clone().requires_grad_(), {}
    extra = {"weight_decay": 0.01} if name == "adamw" else {}
    optimizer = DENSE[name]([theirs], lr=LEARNING_RATES[name], **extra)
    for _ in range(4):
        gradient = torch.randn(100, generator=generator, dtype=dtype)
        update(name, ours, gradient, state, None)
        theirs.grad = gradient
        optimizer.step()
    torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_sparse_updates_are_torchs(name):
    """Rows that are touched follow torch's optimizer; the others stand still."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    state = new_state(name, ours, torch.float64)
    kind = torch.optim.SparseAdam if name == "adam" else DENSE[name]
    options = {"eps": 1e-8} if name == "adagrad" else {}
    optimizer = kind([theirs], lr=0.01, **options)
    for _ in range(4):
        rows = torch.randperm(15, generator=generator)[:6].sort().values
        gradients = torch.randn(6, 3, generator=generator, dtype=torch.float64)
        SPARSE_UPDATES[name](ours, state, rows, gradients, 0.01)
        theirs.grad = torch.sparse_coo_tensor(rows[None], gradients, start.shape, check_invariants=True)
        optimizer.step()
    # SparseAdam adds its epsilon before the bias correction
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(ours[15:], start[15:])


def test_rowwise_adagrad_keeps_one_number_a_row():
    rows, gradient = torch.tensor([1]), torch.tensor([[3.0, 4.0]])
    weights = torch.zeros(2, 2)
    state = new_state("rowwise_adagrad", weights, torch.float32)
    assert state["sum"].shape == (2,)
    SPARSE_UPDATES["rowwise_adagrad"](weights, state, rows, gradient, 0.1)
    # mean of squares 12.5: the step is g / sqrt(12.5)
    torch.testing.assert_close(weights, torch.tensor([[0.0, 0.0], [-0.3, -0.4]]) / 12.5**0.5)

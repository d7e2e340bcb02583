"""The unsplit executor trains the papers' models: losses and parameters against plain torch, float64, two SGD steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from measured_runs import STEPS, unsplit
from reference_models import loss
from small_scenarios import MODELS

from simulator.executor.batches import synthetic
from simulator.executor.optimizers import LEARNING_RATES
from simulator.executor.table_shards import SPARSE_LEARNING_RATE
from simulator.executor.weights import initial
from simulator.model import blocks


@pytest.mark.parametrize("model", MODELS)
def test_losses_and_parameters_are_the_papers(model):
    job, (record,) = unsplit(model, "sgd", ())
    scenario, spec = job.scenario, job.scenario.model
    weights = {
        parameter.name: initial(scenario.seed, parameter.name, parameter.shape).requires_grad_(not parameter.frozen)
        for unit in blocks.units(spec)
        for parameter in blocks.parameters(spec, unit)
    }
    tables, states = {}, {}
    for table in blocks.sparse_tables(spec):
        start = initial(scenario.seed, f"table.{table.name}", (table.rows, table.dim))
        tables[table.name], states[table.name] = start.requires_grad_(), torch.zeros(table.rows, 1).double()
    for step in range(STEPS):
        (microbatch,) = synthetic(scenario, step, 0).microbatches
        ids = {name: torch.from_numpy(array) for name, array in microbatch.ids.items()}
        scored = None if microbatch.scored is None else torch.from_numpy(microbatch.scored)
        labels, given = torch.from_numpy(microbatch.labels.copy()), torch.from_numpy(microbatch.weights.copy())
        numbers = None if microbatch.numbers is None else torch.from_numpy(microbatch.numbers)
        value = loss(spec, weights, ids, labels, given, scored, tables, numbers)
        np.testing.assert_allclose(record.losses[step], value.item(), rtol=1e-9)
        value.backward()
        with torch.no_grad():
            for parameter in (one for one in weights.values() if one.requires_grad):
                parameter -= LEARNING_RATES["sgd"] * parameter.grad
                parameter.grad = None
            for table in blocks.sparse_tables(spec):
                _update_table(table, tables[table.name], states[table.name])
    assert set(weights) == set(record.weights)
    for name, expected in {**weights, **{f"table.{name}": rows for name, rows in tables.items()}}.items():
        found = record.tables[name.removeprefix("table.")] if name.startswith("table.") else record.weights[name]
        start = initial(scenario.seed, name, tuple(expected.shape)).numpy()
        change = expected.detach().numpy() - start
        if expected.requires_grad:
            assert np.abs(found - start - change).max() < 1e-9 * np.abs(change).max(), name
        else:
            assert np.array_equal(found, start), f"{name} is frozen"


def _update_table(table, rows, state) -> None:
    gradient = rows.grad
    if table.optimizer == "rowwise_adagrad":
        state += (gradient**2).mean(1, keepdim=True)
        gradient = gradient / (state.sqrt() + 1e-8)
    rows -= SPARSE_LEARNING_RATE * gradient
    rows.grad = None

"""The whole model out of the shards that ranks hand back."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from simulator.executor.weights import parts, unshard
from simulator.model import blocks
from simulator.model.placements import placements


def whole_model(job, records) -> dict[str, np.ndarray]:
    """Every parameter and table, whole. Copies on replicas and tied stages must agree to the bit, or are an error."""
    scenario, layout, model = job.scenario, job.scenario.layout, job.scenario.model
    found: dict[str, np.ndarray] = {}
    for unit in blocks.units(model):
        for parameter in blocks.parameters(model, unit):
            for pipeline_rank in range(layout.pipeline):
                for data_rank, context_rank in product(range(layout.data), range(layout.context)):
                    ranks = [layout.rank(pipeline_rank, data_rank, context_rank, t) for t in range(layout.tensor)]
                    if parameter.name not in records[ranks[0]].weights:
                        continue
                    shards = [torch.from_numpy(records[rank].weights[parameter.name]) for rank in ranks]
                    if parameter.axis == "none":
                        assert all(torch.allclose(one, shards[0], rtol=1e-12, atol=1e-15) for one in shards)
                    whole = unshard(shards, parameter, parts(model, unit, parameter)).numpy()
                    np.testing.assert_allclose(found.setdefault(parameter.name, whole), whole, rtol=1e-12, atol=1e-15)
            assert found[parameter.name].shape == parameter.shape, parameter.name
    group = layout.group("table", 0)
    for table, place in zip(blocks.sparse_tables(model), placements(scenario), strict=True):
        whole, columns = np.full((table.rows, table.dim), np.nan), table.dim // place.pieces
        for member, rank in enumerate(group):
            if (kept := place.rows_of(member)) is None:
                assert table.name not in records[rank].tables
                continue
            piece = place.piece_of(member)
            part = whole[kept, piece * columns : (piece + 1) * columns]
            if place.kind == "data_parallel" and member:
                np.testing.assert_allclose(part, records[rank].tables[table.name], rtol=1e-12, atol=1e-15)
            part[:] = records[rank].tables[table.name]
        assert not np.isnan(whole).any(), table.name
        found[f"table.{table.name}"] = whole
    return found


def losses(records) -> np.ndarray:
    """The loss of each step: the sum of what the ranks hold of it."""
    return np.sum([record.losses for record in records], axis=0)

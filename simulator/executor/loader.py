"""Microbatches as the data loader gives them, made the inputs of one rank: its own rows, on its device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from simulator.executor.batches import TOKENS, Batch, Microbatch
from simulator.executor.blocks import Env, Inputs
from simulator.executor.blocks.samples import env_of, real_rows, rows_of, rows_of_ids
from simulator.executor.tables import SparseTables
from simulator.model.blocks import Cut, sparse_tables
from simulator.model.lengths import Samples, cuts_of
from simulator.model.lookups import is_positional
from simulator.program.cuts import cut_of


class Loader:
    """What one rank takes of each microbatch; its tables are told which ids it will ask for.

    of_samples: tables of which a sample has ids by itself, not one at each position.
    """

    def __init__(self, scenario, env: Env, tables: SparseTables | None, device: torch.device):
        self.scenario, self.env, self.tables, self.device = scenario, env, tables, device
        self.cuts = cuts_of(scenario, cut_of(scenario))
        self.of_samples = frozenset(table.name for table in scenario.model.tables if not is_positional(table))

    def load(self, batch: Batch, samples: Sequence[Samples]) -> list[Inputs]:
        """The inputs of each microbatch. samples: of each, where they differ in length; else none."""
        samples = samples or [None] * len(batch.microbatches)
        pairs = zip(batch.microbatches, samples, strict=True)
        return [self._inputs(number, *pair, batch.total_weight) for number, pair in enumerate(pairs)]

    def _inputs(self, number: int, microbatch: Microbatch, samples: Samples | None, total_weight: float) -> Inputs:
        env, cut, real = self.env, self.cuts(samples), None
        if samples is not None:
            env = env_of(env, cut, samples.lengths)
            real = real_rows(env, cut, self.device)
        rows = partial(self._rows, env)
        flat = {name: rows(array) for name, array in microbatch.ids.items() if name not in self.of_samples}
        weights = rows(microbatch.weights).to(self.env.numerics.loss) / total_weight
        inputs = Inputs(flat.get(TOKENS, flat.get(self._token_table())), rows(microbatch.labels), weights)
        if samples is not None:
            inputs.env, inputs.real = env, real
        if self.tables is not None:
            self._ask_tables(number, microbatch, flat, env, cut, inputs)
        if microbatch.numbers is not None:
            inputs.numbers = torch.as_tensor(microbatch.numbers).to(self.device, self.env.numerics.activations)
        return inputs

    def _ask_tables(self, number: int, microbatch: Microbatch, flat: dict, env: Env, cut: Cut, inputs: Inputs) -> None:
        """Presents the ids of this rank's positions, and the rows that are scored there behind those of their table;
        padding is not looked up. flat: ids by position."""

        def own(rows: torch.Tensor) -> torch.Tensor:
            rows = env.tensor.own_rows(rows)
            return rows if inputs.real is None else rows[inputs.real]

        asked = {name: own(ids) for name, ids in flat.items() if name != TOKENS}
        for name in self.of_samples & microbatch.ids.keys():
            table, bags = self.scenario.model.table(name), self._bags(microbatch.ids[name])
            if table.pooling == "none":
                places, inputs.rows[name] = rows_of_ids(env, cut, table.lookups_per_sample, self.device)
                bags = bags[places]
            asked[name] = bags
        if microbatch.scored is not None:
            name = self.scenario.model.head.table
            asked[name] = torch.cat([asked[name], own(self._rows(env, microbatch.scored)).reshape(-1)])
        self.tables.present(number, {table.name: asked[table.name] for table in sparse_tables(self.scenario.model)})

    def _token_table(self) -> str | None:
        return self.scenario.model.head.table

    def _rows(self, env: Env, array) -> torch.Tensor:
        """[samples, positions, ...] -> [own rows, ...] on the device."""
        return rows_of(env, torch.as_tensor(array).to(self.device))

    def _bags(self, array) -> torch.Tensor:
        """[samples, lookups] -> [samples * lookups], sample after sample, on the device."""
        return torch.as_tensor(array).to(self.device).reshape(-1)

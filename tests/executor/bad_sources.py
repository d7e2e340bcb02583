"""Batches that go wrong, for tests of what happens then. Importable by the ranks' processes."""

from __future__ import annotations

import time

from simulator.executor.batches import synthetic


def fails_on_replica_1(scenario, step: int, data_rank: int):
    if data_rank == 1 and step == 2:
        raise ValueError("sample 7 has no items")
    return synthetic(scenario, step, data_rank)


def stands_still_on_replica_1(scenario, step: int, data_rank: int):
    if data_rank == 1 and step == 1:
        time.sleep(600)
    return synthetic(scenario, step, data_rank)

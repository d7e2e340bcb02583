"""Random table sets, as problems of the planner: priced by the scenario's own rules, nothing here knows a cost."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from simulator import scenario_from
from simulator.policies.sharding_bound import Totals
from simulator.policies.table_sharding import Problem
from simulator.table_choices import problem_of

MEMBERS = (2, 4, 8, 16, 32, 64)
WIDTHS = (16, 32, 64, 128, 256)


def table(draw: random.Random, place: int, sequences: bool) -> dict:
    """Rows from 1e3 to 1e9, few of them large; widths, ids of a sample and optimizers as recommenders have them."""
    pooled = not sequences or draw.random() < 0.8
    return {
        "name": f"t{place}", "rows": int(1e3 * 10 ** min(6.0, draw.expovariate(0.7))), "dim": draw.choice(WIDTHS),
        "pooling": draw.choice(("sum", "mean")) if pooled else "none",
        "lookups_per_sample": draw.choice((1, 1, 2, 5, 20, 100)),
        "optimizer": draw.choice(("rowwise_adagrad", "sgd", "adam")),
    }  # fmt: skip


def table_set(seed: int, *, fewest: int, most: int, members: int | None = None) -> tuple[Problem, str]:
    """(problem, what it is): fewest to most tables for each member, at least 8.

    Memory is tight (a quarter more than all tables take at least) in every second set, four times that least in others.
    """
    draw = random.Random(seed)
    members = members or draw.choice(MEMBERS)
    nodes = max(1, members // 8)
    count = max(8, draw.randint(fewest * members, most * members))
    model = {
        "trunk": {"block": "hstu", "layers": 1, "hidden": 16, "heads": 1, "seq": 10},
        "tables": [table(draw, place, sequences=True) for place in range(count)],
    }
    scenario = scenario_from({
        "schema_version": 1, "name": f"set{seed}", "model": model,
        "cluster": {"preset": draw.choice(("dgx_h100", "dgx_a100", "p4d")), "nodes": nodes,
                    "gpus_per_node": members // nodes},
        "plan": {"microbatch": draw.choice((128, 1024, 4096)), "global_batch": 4096 * members,
                 "embedding_columns": 4},
    })  # fmt: skip
    problem, tight = problem_of(scenario), seed % 2 == 0
    least = float(np.where(np.isfinite(Totals(problem).size), Totals(problem).size, np.inf).min(axis=1).sum())
    budget = int(least / members * (1.25 if tight else 4.0))
    return replace(
        problem, budgets=(budget,) * members
    ), f"{count} tables on {members}, {'tight' if tight else 'loose'}"

"""What a plan and a head ask of embedding tables that can never work: refused with a change that does."""

from __future__ import annotations

from simulator.errors import ScenarioError
from simulator.model.blocks import sparse_tables
from simulator.model.spec import ModelSpec
from simulator.plans import Plan


def check_tables(model: ModelSpec, plan: Plan) -> None:
    """Heads score rows that do not pool, options have tables to act on, a sharding names tables that are there.

    Raises ScenarioError for the first thing that cannot work.
    """
    head = model.head
    if head.table is not None and model.table(head.table).pooling != "none":
        raise ScenarioError(
            f"{head.table} pools the ids of a sample by {model.table(head.table).pooling}, and a {head.kind} head "
            "scores its rows one by one; use pooling none for it, or another table",
            key="model.head.table",
        )
    if head.kind == "full_softmax" and head.tied and model.trunk.vocab:
        raise ScenarioError(
            f"true ties the output rows to {head.table} as the embedding that is trained with them, and the trunk has "
            f"a vocabulary of {model.trunk.vocab} with an embedding of its own; use --set model.head.tied=false, or "
            "--set model.trunk.vocab=0",
            key="model.head.tied",
        )
    sparse = sparse_tables(model)
    for place, table in enumerate(model.tables):
        if table not in sparse and table.lookups_per_sample not in (None, model.trunk.seq):
            raise ScenarioError(
                f"{table.lookups_per_sample} ids a sample of a table that is the output layer too (head full_softmax, "
                f"tied) are not one for each of the {model.trunk.seq} positions it is predicted at; leave it out, or "
                "use head.tied false",
                key=f"model.tables.{place}.lookups_per_sample",
            )
    if plan.embedding_dedup and sparse and all(table.pooling != "none" for table in sparse):
        raise ScenarioError(
            "true makes ids distinct whose vectors come back one by one, and every table pools (TorchRec's bags have "
            "no such option); use --set plan.embedding_dedup=false",
            key="plan.embedding_dedup",
        )
    if plan.embedding_fused_optimizer and plan.microbatches > 1 and sparse:
        raise ScenarioError(
            f"true updates rows as soon as a microbatch has gradients for them, and {plan.microbatches} microbatches "
            f"are summed first; use --set plan.embedding_fused_optimizer=false, or --set "
            f"plan.microbatch={plan.microbatch * plan.microbatches}",
            key="plan.embedding_fused_optimizer",
        )
    if isinstance(plan.embedding_sharding, str):
        return
    names = [table.name for table in model.tables]
    for name, _ in plan.embedding_sharding:
        if name not in names:
            raise ScenarioError(
                f"the model has no table {name!r}; its tables are {', '.join(names) or 'none'}",
                key="plan.embedding_sharding",
            )

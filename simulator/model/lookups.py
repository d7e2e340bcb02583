"""What one rank asks of each sparse table in one microbatch: ids of its own slice, and the vectors they become.

The table group is all ranks of stage 0. A rank asks for its data rank's samples, its context slice, 1/tensor of the
positions; of a table that pools, for whole samples, since a bag is summed in one place.
"""

from __future__ import annotations

from simulator.model.spec import ModelSpec, Table


def ids_per_sample(model: ModelSpec, table: Table) -> int:
    """Lookups of one sample: its inputs, and the rows that a sampled head scores at each position."""
    inputs = model.trunk.seq if table.lookups_per_sample is None else table.lookups_per_sample
    if samples_rows(model) and model.head.table == table.name:
        return inputs + (1 + model.head.negatives) * model.trunk.seq
    return inputs


def samples_rows(model: ModelSpec) -> bool:
    """Whether the head scores sampled rows of a table."""
    return model.head.kind in ("sampled_softmax", "binary") and model.head.table is not None


def own_ids(scenario, table: Table) -> int:
    """Ids of a rank's slice of one microbatch."""
    plan, asked = scenario.plan, ids_per_sample(scenario.model, table)
    if table.pooling != "none":
        return own_vectors(scenario, table) * asked
    return -(-plan.microbatch * asked // (plan.context * plan.tensor))


def own_vectors(scenario, table: Table) -> int:
    """Vectors that come back for them: one for each id, or one for each sample where the table pools."""
    if table.pooling == "none":
        return own_ids(scenario, table)
    plan = scenario.plan
    return -(-plan.microbatch // (plan.context * plan.tensor))


def group_size(scenario) -> int:
    """Members of the table group."""
    plan = scenario.plan
    return plan.data * plan.context * plan.tensor

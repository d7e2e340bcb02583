"""What one rank asks of each sparse table in one microbatch: ids of its own slice, and the vectors they become.

The table group is all ranks of stage 0. A rank asks for its data rank's samples, its context slice, 1/tensor of the
positions; of a table that pools, for its share of the samples: a bag is summed in one place, so that whole bags are
dealt out over the context and tensor ranks, as many to each, and their vectors gathered. Where lengths differ, ranks of
one data rank have more or less padding among their positions, and all are priced as the one that has least.
"""

from __future__ import annotations

from simulator.model.blocks.cut import Cut
from simulator.model.lengths import PACKED, Samples, laid_out
from simulator.model.slices import most_real_rows
from simulator.model.spec import ModelSpec, Table


def ids_per_sample(model: ModelSpec, table: Table) -> int:
    """Lookups of one sample of `seq` positions: its inputs, and the rows that a sampled head scores at each."""
    return ids_of(model, table, 1, model.trunk.seq)


def ids_of(model: ModelSpec, table: Table, samples: int, positions: int) -> int:
    """Lookups of so many samples that have so many real positions together."""
    inputs = positions if table.lookups_per_sample is None else samples * table.lookups_per_sample
    if samples_rows(model) and model.head.table == table.name:
        return inputs + (1 + model.head.negatives) * positions
    return inputs


def is_positional(model: ModelSpec, table: Table) -> bool:
    """Whether a table is asked for one vector for each position; others give a sample one, or a few in front of it."""
    return table.pooling == "none" and table.lookups_per_sample in (None, model.trunk.seq)


def samples_rows(model: ModelSpec) -> bool:
    """Whether the head scores sampled rows of a table."""
    return model.head.kind in ("sampled_softmax", "binary") and model.head.table is not None


def own_ids(scenario, table: Table, samples: Samples | None = None) -> int:
    """Ids of a rank's slice of one microbatch. samples: those of the microbatch, where they are not all `seq` long."""
    if table.pooling != "none":
        return own_vectors(scenario, table) * ids_per_sample(scenario.model, table)
    if samples is None:
        plan = scenario.plan
        return -(-plan.microbatch * ids_per_sample(scenario.model, table) // (plan.context * plan.tensor))
    plan, model, layout = scenario.plan, scenario.model, scenario.data.lengths.layout
    alike = plan.context == 1 and (layout == PACKED or not plan.sequence_parallel)
    if alike or table.lookups_per_sample is not None or not samples.lengths:
        return _slice(scenario, table, samples.tokens)
    cut = Cut(plan.microbatch, model.trunk.seq, tensor=plan.tensor, context=plan.context,
              context_kind=plan.context_kind, sequence_parallel=plan.sequence_parallel)  # fmt: skip
    causal = bool(model.trunk.causal)
    laid = laid_out(cut, samples.lengths, layout, causal=causal)
    own = ids_of(model, table, plan.microbatch, most_real_rows(laid, samples.lengths, causal=causal))
    return own if plan.sequence_parallel else -(-own // plan.tensor)


def mean_ids(scenario, table: Table, samples: Samples | None = None) -> int:
    """The same, averaged over the data ranks that ask together."""
    if samples is None or table.pooling != "none":
        return own_ids(scenario, table)
    return _slice(scenario, table, samples.mean)


def _slice(scenario, table: Table, positions: int) -> int:
    plan = scenario.plan
    return -(-ids_of(scenario.model, table, plan.microbatch, positions) // (plan.context * plan.tensor))


def own_vectors(scenario, table: Table, samples: Samples | None = None) -> int:
    """Vectors that come back for them: one for each id, or one for each sample where the table pools."""
    if table.pooling == "none":
        return own_ids(scenario, table, samples)
    plan = scenario.plan
    return -(-plan.microbatch // (plan.context * plan.tensor))


def shares_bags(scenario) -> bool:
    """Whether bags of one data rank are dealt out over its context ranks."""
    return scenario.plan.context > 1 and any(table.pooling != "none" for table in scenario.model.tables)


def group_size(scenario) -> int:
    """Members of the table group."""
    plan = scenario.plan
    return plan.data * plan.context * plan.tensor

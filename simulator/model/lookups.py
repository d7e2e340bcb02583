"""What one rank asks of each sparse table in one microbatch: ids of its own slice, and the vectors they become.

The table group is all ranks of stage 0. A rank asks for its data rank's samples, its context slice, 1/tensor of the
positions; of a table that pools, for its share of the samples: a bag is summed in one place, so that whole bags are
dealt out over the context and tensor ranks, as many to each, and their vectors gathered. Ranks of one data rank may
have more or fewer ids at their positions, where padding lies unevenly or a table has a few ids in front of each sample:
all are priced as the one that has most.
"""

from __future__ import annotations

from simulator.model.blocks.cut import Cut
from simulator.model.lengths import PACKED, Samples, laid_out
from simulator.model.slices import ids_by_slice
from simulator.model.spec import ModelSpec, Table


def ids_per_sample(model: ModelSpec, table: Table) -> int:
    """Lookups of one sample of `seq` positions: its inputs, and the rows that a sampled head scores at each."""
    return ids_of(model, table, 1, model.trunk.seq)


def ids_of(model: ModelSpec, table: Table, samples: int, positions: int) -> int:
    """Lookups of so many samples that have so many real positions together."""
    inputs = positions if table.lookups_per_sample is None else samples * table.lookups_per_sample
    return inputs + scored_rows(model, table) * positions


def is_positional(table: Table) -> bool:
    """Whether a table is asked for one vector for each position. Others give a sample one, or a stated number: the k-th
    stands at position k modulo the sample's length (`slices.py`)."""
    return table.pooling == "none" and table.lookups_per_sample is None


def scored_rows(model: ModelSpec, table: Table) -> int:
    """Rows of a table that the head samples at each position."""
    return 1 + model.head.negatives if samples_rows(model) and model.head.table == table.name else 0


def samples_rows(model: ModelSpec) -> bool:
    """Whether the head scores sampled rows of a table."""
    return model.head.kind in ("sampled_softmax", "binary") and model.head.table is not None


def own_ids(scenario, table: Table, samples: Samples | None = None) -> int:
    """Ids of a rank's slice of one microbatch. samples: those of the microbatch, where they are not all `seq` long."""
    return max(ids_by_rank(scenario, table, samples))


def mean_ids(scenario, table: Table, samples: Samples | None = None) -> int:
    """The same, averaged over the ranks that ask together."""
    if table.pooling != "none":
        return own_ids(scenario, table)
    positions = scenario.plan.microbatch * scenario.model.trunk.seq if samples is None else samples.mean
    return _evenly(scenario, table, positions)


def ids_by_rank(scenario, table: Table, samples: Samples | None = None) -> tuple[int, ...]:
    """The ids that ranks which share a data rank's samples ask for; of equal ones not all are told."""
    if table.pooling != "none":
        return (own_vectors(scenario, table) * ids_per_sample(scenario.model, table),)
    plan, model, each = scenario.plan, scenario.model, table.lookups_per_sample
    shards = plan.sequence_parallel and plan.tensor > 1
    positions = plan.microbatch * model.trunk.seq if samples is None else samples.tokens
    layout = None if samples is None else scenario.data.lengths.layout
    uneven = each is not None or (samples is not None and (plan.context > 1 or layout != PACKED))
    if not (uneven and (plan.context > 1 or shards)) or (samples is not None and not samples.lengths):
        return (_evenly(scenario, table, positions),)
    lengths = (model.trunk.seq,) if samples is None else samples.lengths  # all alike: one stands for them
    cut = Cut(len(lengths), model.trunk.seq, tensor=plan.tensor, context=plan.context,
              context_kind=plan.context_kind, sequence_parallel=plan.sequence_parallel)  # fmt: skip
    causal, alike = bool(model.trunk.causal), plan.microbatch if samples is None else 1
    laid = laid_out(cut, lengths, layout, causal=causal)
    found = ids_by_slice(laid, lengths, each, scored_rows(model, table), causal=causal)
    return tuple(-(-alike * count // (1 if shards else plan.tensor)) for count in found)


def _evenly(scenario, table: Table, positions: int) -> int:
    """Of samples that have so many positions together, a rank's share of the ids."""
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

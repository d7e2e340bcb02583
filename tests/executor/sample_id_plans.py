"""Plans of tables that are asked for a number of ids a sample and do not pool (`plans.py`), by number of ranks: fewer
ids than positions and more, each looked up by the rank of the position that it stands at."""

from __future__ import annotations

from table_plans import CUT, KINDS

ZIPF = "data.lengths={kind: zipf, alpha: 1.1, max: 8, layout: %s}"
PACKED, PADDED = ((ZIPF % layout,) for layout in ("packed", "padded"))
MANY = ("model.tables.1.lookups_per_sample=11", "model.tables.2.lookups_per_sample=5")
"""More ids than positions: some positions have two."""
OPTIMIZERS = tuple(f"model.tables.{place}.optimizer={name}" for place, name in enumerate(("adam", "adagrad", "adam")))
SCORED = ("model.tables.0.lookups_per_sample=3",)
"""Of the table whose rows a head samples; labels are some ids."""
MIXED = {"item": "row_wise", "user": "table_wise", "shops": "column_wise"}


def users(*sets, kinds="row_wise", model="hstu_users", **keys):
    return (model, {**keys, "embedding_sharding": kinds, **CUT, "sets": sets})


SAMPLE_ID_PLANS = {
    2: [
        *(users(context=2, kinds=kind) for kind in KINDS),
        *(users(*MANY, tensor=2, sequence_parallel=True, kinds=kind) for kind in KINDS),
        users(*MANY, *OPTIMIZERS, context=2, context_kind="all_to_all", kinds=MIXED, microbatch=4),
        users(*MANY, data=2),
        users(*MANY, *PADDED, tensor=2),
        users(*PACKED, context=2),
        users(*MANY, *PADDED, context=2, kinds="column_wise"),
        users(*PACKED, tensor=2, sequence_parallel=True, kinds=MIXED),
        users(*PADDED, tensor=2, sequence_parallel=True),
        users(*MANY, *PACKED, context=2, context_kind="all_to_all"),
        users(context=2, embedding_dedup=True),
        users(*SCORED, context=2, model="hstu_sampled"),
        users(*SCORED, *PACKED, tensor=2, sequence_parallel=True, model="hstu_sampled"),
        users(*SCORED, *PADDED, tensor=2, model="sasrec_binary"),
        users(*SCORED, pipeline=2, model="hstu_sampled"),
        users(*SCORED, data=2, model="hstu_untied"),
    ],
    4: [
        users(*MANY, *OPTIMIZERS, tensor=2, context=2, sequence_parallel=True, kinds=MIXED),
        users(tensor=2, context=2, kinds="column_wise", microbatch=1),
        *(users(context=2, data=2, nodes=2, kinds=kind) for kind in ("table_row_wise", "grid")),
        users(*SCORED, *PACKED, context=2, tensor=2, sequence_parallel=True, model="hstu_sampled"),
        users(*MANY, context=4, zero=3, microbatch=1),
        users(*PACKED, context=2, data=2, balancer={"kind": "length"}),
    ],
    8: [
        users(*MANY, tensor=2, context=2, data=2, nodes=2, sequence_parallel=True, kinds="grid", microbatch=1),
        users(*PADDED, tensor=2, context=2, data=2, kinds=MIXED, microbatch=1),
    ],
}
